# SPDX-License-Identifier: BSD-3-Clause
"""A client of gmespd's control socket (control/README.md): calls and events, one JSON object each,
for programs with an event loop."""

import asyncio
import collections
import json
import socket

MAX_RECORD_BYTES = 65536


class Refused(Exception):
    """gmespd's answer was an error: its code and sentence."""

    def __init__(self, answer):
        super().__init__(f"{answer['error']} ({answer['code']})")
        self.code = answer["code"]


class Engine:
    """One connection. Calls may overlap: answers come in the order of the requests."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self._socket.connect(path)
        self._waiting = collections.deque()
        self._on_event = None
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    async def call(self, command, **keys):
        """The keys are those of the command, with _ for -; one that is None is left out."""
        request = {"command": command, **{name.replace("_", "-"): value
                                          for name, value in keys.items() if value is not None}}
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        await asyncio.get_running_loop().sock_sendall(self._socket, json.dumps(request).encode())
        return await answer

    async def monitor(self, on_event, **kinds):
        """From now on every event of these kinds goes to on_event, as a dict."""
        self._on_event = on_event
        return await self.call("monitor", **kinds)

    def half_of_its_time_later(self, handle, callback):
        """Calls callback(handle) when a set that is old now has lived half of what is left."""
        async def wait():
            try:
                shown = await self.call("ue show", handle=handle)
            except Refused:
                return
            await asyncio.sleep(shown["left_ms"] / 2000)
            callback(handle)
        asyncio.ensure_future(wait())

    def _read(self):
        try:
            record = self._socket.recv(MAX_RECORD_BYTES)
        except BlockingIOError:
            return
        if not record:
            return self._lost()
        answer = json.loads(record)
        if "event" in answer and self._on_event:
            self._on_event(answer)
        elif self._waiting:
            future = self._waiting.popleft()
            if not future.cancelled():
                if "error" in answer:
                    future.set_exception(Refused(answer))
                else:
                    future.set_result(answer)

    def _lost(self):
        self.close()
        for future in self._waiting:
            future.set_exception(ConnectionError("gmespd has closed the control socket"))
        self._waiting.clear()

    def close(self):
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
