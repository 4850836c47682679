# SPDX-License-Identifier: BSD-3-Clause
"""SIP over UDP and TCP sockets of one event loop (RFC 3261 18). A Flow is where a message came from
and where its answer goes; both programs keep flows by a token that travels in their own Via."""

import asyncio
import collections
import contextlib
import itertools
import socket
import struct
import sys

import sip

RECEIVE_BUFFER_BYTES = 4 << 20  # a burst of calls waits here while Python is busy


class Sockets:
    """Opens sockets. `place`: a context in which they are opened, such as a network namespace."""

    def __init__(self, on_message, place=contextlib.nullcontext):
        self._on_message, self._place = on_message, place

    def _open(self, kind, local):
        with self._place():
            sock = socket.socket(socket.AF_INET6 if ":" in local[0] else socket.AF_INET, kind)
        if kind == socket.SOCK_STREAM:  # one port_pc, connections to many UEs
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setblocking(False)
        try:
            sock.bind(local)
        except OSError:
            sock.close()
            raise
        return sock

    async def datagrams(self, local):
        sock = self._open(socket.SOCK_DGRAM, local)
        _, endpoint = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Datagrams(local, self._on_message), sock=sock)
        return endpoint

    async def listen(self, local):
        sock = self._open(socket.SOCK_STREAM, local)
        return await asyncio.get_running_loop().create_server(
            lambda: Connection(self._on_message), sock=sock)

    async def connect(self, local, remote):
        loop = asyncio.get_running_loop()
        sock = self._open(socket.SOCK_STREAM, local)
        try:
            await loop.sock_connect(sock, remote)
        except BaseException:
            sock.close()
            raise
        _, connection = await loop.create_connection(
            lambda: Connection(self._on_message), sock=sock)
        return connection


def parsed(parse, data, whence):
    """What a stranger sends must not end the program: it is said and dropped."""
    try:
        return parse(data)
    except sip.NotSip as error:
        print(f"not SIP from {whence}: {error}", file=sys.stderr, flush=True)
        return None


class Datagrams(asyncio.DatagramProtocol):
    """One UDP socket."""

    def __init__(self, local, on_message):
        self.local, self._on_message = local, on_message

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, address):
        message = parsed(sip.Message.parse, data, address) if data.strip() else None
        if message:
            self._on_message(message, Flow(self, address[:2]))

    def error_received(self, error):
        print(f"{self.local}: {error}", file=sys.stderr, flush=True)

    def send(self, message, remote):
        self._transport.sendto(bytes(message), remote)

    def close(self):
        self._transport.close()


class Flow(collections.namedtuple("Flow", "endpoint remote")):
    """One UDP socket and one remote end of it."""
    transport = "udp"

    @property
    def local(self):
        return self.endpoint.local

    def send(self, message):
        self.endpoint.send(message, self.remote)


class Connection(asyncio.Protocol):
    """One TCP connection, which is a flow by itself."""
    transport = "tcp"

    def __init__(self, on_message):
        self._on_message, self._stream = on_message, sip.Stream()

    def connection_made(self, transport):
        self._transport = transport
        self.local = transport.get_extra_info("sockname")[:2]
        self.remote = transport.get_extra_info("peername")[:2]

    def data_received(self, data):
        messages = parsed(self._stream.feed, data, self.remote)
        if messages is None:
            return self._transport.abort()
        for message in messages:
            self._on_message(message, self)

    @property
    def is_open(self):
        return not self._transport.is_closing()

    def send(self, message):
        self._transport.write(bytes(message))

    def close(self):
        self._transport.close()

    def reset(self):
        """Without a word to wait for: the SAs under the connection are about to go."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


class Flows:
    """Tokens of flows: what the own Via of a request carries, its response brings back."""
    PARAMETER = "gm-flow"

    def __init__(self):
        self._tokens, self._flows, self._numbers = {}, {}, itertools.count(1)

    def via(self, transport, local, request, flow):
        """The Via to push on a request that came over `flow`. The branch is a function of the one
        before, so that a request sent again stays the same request (RFC 3261 16.11)."""
        if flow not in self._tokens:
            token = str(next(self._numbers))
            self._tokens[flow], self._flows[token] = token, flow
        branch = request.via().parameters.get("branch") or sip.new_branch()
        return sip.Via(transport, local[0], local[1],
                       {"branch": f"{branch}.{local[1]}", self.PARAMETER: self._tokens[flow]})

    def take(self, response):
        """Takes our Via out of a response; the flow on which its request came, if it was ours."""
        via = sip.Via.parse(response.pop("Via"))
        return self._flows.get(via.parameters.get(self.PARAMETER))
