#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""ue.py FILE: many UEs in one process, each with its own client and server ports; SIPp speaks to
them in clear on a loopback address and is heard through their SAs.
ue.py --order SOCKET WORDS...: one order to it; prints the answer. Status 1: not all went well.

  register all|NAME...         the answer is a row per UE: name, status, reason, handle
  deregister NAME...

FILE, JSON: engine (control socket of gmespd, role ue), orders (socket to make), t1 (seconds),
groups (rows: transport, local [host, port]: where SIPp calls), phones (rows of Phone, and name,
group; `later`: true for those that `register all` leaves out, `patience` in seconds).
"""

import asyncio
import contextlib
import json
import os
import resource
import socket
import sys

import sip
import transport
from engine import Engine
from phone import Phone

AT_ONCE = 16
GONE = ("expired", "deleted", "authentication_timeout")


class Ue:
    def __init__(self, config, place=contextlib.nullcontext):
        self._config, self._place = config, place
        self._flows, self._calls, self._sending = transport.Flows(), {}, {}
        self.phones, self._by_impu, self._by_address, self._group = {}, {}, {}, {}

    async def start(self):
        self.engine = Engine(self._config["engine"])
        self._monitor = Engine(self._config["engine"])
        await self._monitor.monitor(self._on_event, ue=True)
        for row in self._config["phones"]:
            await self.add(row)
        for index, group in enumerate(self._config.get("groups", [])):
            await self._open_group(index, group)

    async def add(self, row):
        sockets = transport.Sockets(
            lambda message, flow: self._from_network(phone, message, flow), self._place)
        phone = Phone(row, self.engine, sockets, self._config.get("t1", 2.0))
        phone.patience = row.get("patience", phone.patience)
        phone.later = row.get("later", False)
        self.phones[row["name"]] = self._by_impu[phone.impu] = phone
        self._by_address[phone.address] = phone
        self._group[phone.impi] = row.get("group")
        await phone.start()
        return phone

    async def _open_group(self, index, group):
        sockets = transport.Sockets(
            lambda message, flow: self._spawn(self._from_sipp(index, message, flow)), self._place)
        local = tuple(group["local"])
        if group["transport"] == "udp":
            self._sending[index] = await sockets.datagrams(local)
        else:
            await sockets.listen(local)

    @staticmethod
    def _spawn(coroutine):
        async def guarded():
            try:
                await coroutine
            except (sip.NotSip, OSError) as error:
                print(f"dropped: {error}", file=sys.stderr, flush=True)
        asyncio.ensure_future(guarded())

    def _on_event(self, event):
        handle = event.get("handle")
        if event["event"] in GONE:
            for phone in self.phones.values():
                phone.set_is_gone(handle)
        elif event["event"] == "retired":
            for phone in self.phones.values():
                if phone.has(handle):
                    self.engine.half_of_its_time_later(handle, phone.set_is_old)

    # -- between SIPp and the SAs

    async def _from_sipp(self, index, message, flow):
        if not message.is_request:
            return await self._response_to_network(message)
        phone = self._by_impu[sip.Uri(message.get("From") or "").identity()]
        current = phone.current
        if current is None:
            return flow.send(message.response(503, "Not Registered"))
        self._calls[message.get("Call-ID")] = flow
        self._own_contact(message, phone, current)
        if message.method != "ACK":  # TS 24.229 5.1.2A.1.1
            for name, value in (("Require", "sec-agree"), ("Proxy-Require", "sec-agree"),
                                ("Security-Verify", current.verify)):
                message.set(name, value)
        message.push("Via", str(self._flows.via(
            phone.transport, (phone.address, current.port_us), message, flow)))
        return await current.send(message)

    @staticmethod
    def _own_contact(message, phone, current):
        if message.get("Contact"):
            message.set("Contact", phone.contact(current.port_us))

    async def _response_to_network(self, response):
        flow = self._flows.take(response)
        if flow is None:
            return
        phone = self._by_address[flow.local[0]]
        if phone.current is None:
            return
        self._own_contact(response, phone, phone.current)
        if flow.transport == "tcp":
            flow.send(response)
        else:
            await phone.current.send(response)

    def _from_network(self, phone, message, flow):
        if message.is_request:
            return self._request_to_sipp(phone, message, flow)
        if not phone.take_response(message):
            target = self._flows.take(message)
            if target:
                target.send(message)

    def _request_to_sipp(self, phone, request, flow):
        target = self._calls.get(request.get("Call-ID"))
        if target is None:
            return self._spawn(self._refuse(phone, request, flow))
        request.push("Via", str(self._flows.via(target.transport, target.local, request, flow)))
        target.send(request)

    @staticmethod
    async def _refuse(phone, request, flow):
        answer = request.response(481, "Call/Transaction Does Not Exist")
        if flow.transport == "tcp":
            flow.send(answer)
        elif phone.current:
            await phone.current.send(answer)

    # -- orders

    async def obey(self, words):
        """(answer, whether all went well)"""
        order, *names = words
        if order == "register" and names == ["all"]:
            names = [name for name, phone in self.phones.items() if not phone.later]
        if order not in ("register", "deregister") or not names:
            return "no such order", False
        if unknown := [name for name in names if name not in self.phones]:
            return f"no such UE: {' '.join(unknown)}", False
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(name):
            async with gate:
                expires = {"expires": 0} if order == "deregister" else {}
                return name, await self.phones[name].register(**expires)

        rows = await asyncio.gather(*(one(name) for name in names))
        text = "\n".join(f"{name}\t{done.status}\t{done.reason}\t{done.handle or '-'}"
                         for name, done in rows)
        return text, all(done.status == 200 for _, done in rows)

    async def serve_orders(self, path):
        async def answer(reader, writer):
            try:
                text, well = await self.obey((await reader.readline()).decode().split())
            except Exception as error:  # the program goes on; whoever asked is told
                text, well = f"{type(error).__name__}: {error}", False
            writer.write(f"{'ok' if well else 'failed'}\n{text}\n".encode())
            writer.close()
        return await asyncio.start_unix_server(answer, path)


def give_order(path, words):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall((" ".join(words) + "\n").encode())
        answer = b""
        while data := sock.recv(65536):
            answer += data
    verdict, _, text = answer.decode().partition("\n")
    print(text, end="")
    return 0 if verdict == "ok" else 1


async def main(path):
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    ue = Ue(config)
    await ue.start()
    async with await ue.serve_orders(config["orders"]):
        os.chmod(config["orders"], 0o600)
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    if sys.argv[1] == "--order":
        sys.exit(give_order(sys.argv[2], sys.argv[3:]))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(main(sys.argv[1]))
