#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""pcscf.py FILE: a P-CSCF with its home network behind it. REGISTERs end here; everything else is
passed between the UEs' protected sockets and a plain SIP server (SIPp).

FILE, JSON: engine (control socket of gmespd, role pcscf), addresses (one per family), servers
({"udp 192.0.2.1": [host, port], ...}: the plain server by transport and own address), plain_port
(own port towards it), subscribers (rows: impi, impu, k, opc), keys and sets (files to write, see
tools/run.d/report.py), challenge_again (bool).

  UE port_uc -> port_ps  requests, and over UDP responses         (TS 33.203 7.1)
  UE port_us <- port_pc  over UDP everything; over TCP requests, on a connection of ours
"""

import asyncio
import collections
import json
import sys

import esp_keys
import sip
import transport
from engine import Engine, Refused
from registrations import Registrations
from scscf import Scscf

PORT_CLEAR = 5060
PORT_PS = 5063
PORTS_PC = (5062, 5064)
TRANSACTION_S = 64  # a REGISTER sent again within this time is the same one
GONE = ("expired", "deleted", "authentication_timeout")


class Pcscf:
    def __init__(self, config, place=transport.contextlib.nullcontext):
        self._config = config
        self._sockets = transport.Sockets(self._from_network, place)
        self._plain = transport.Sockets(self._from_server, place)
        self._flows, self._checked, self._registers = transport.Flows(), {}, {}
        self._sending, self._connections = {}, {}
        self.scscf = Scscf(config["subscribers"],
                           lambda impi: config.get("challenge_again", True))
        self.events = collections.Counter()

    async def start(self):
        self.engine = Engine(self._config["engine"])
        self._monitor = Engine(self._config["engine"])
        self.registrations = Registrations(self.engine, self.scscf, self._reply, self._on_keys)
        await self._monitor.monitor(self._on_event, ue=True)
        for address in self._config["addresses"]:
            for port in (PORT_CLEAR, PORT_PS, *PORTS_PC):
                self._sending[address, port] = await self._sockets.datagrams((address, port))
            await self._sockets.listen((address, PORT_PS))
        for key, server in self._config.get("servers", {}).items():
            if key.startswith("udp"):
                self._sending[key] = await self._plain.datagrams(
                    (server[0], self._config["plain_port"]))

    def _on_event(self, event):
        self.events[event["event"]] += 1
        handle = event.get("handle")
        if event["event"] in GONE:
            gone = self.registrations.set_is_gone(handle)
            self._checked = {key: one for key, one in self._checked.items() if one is not gone}
        elif event["event"] == "retired" and handle in self.registrations.sets:
            self.engine.half_of_its_time_later(handle, self._set_is_old)

    def _set_is_old(self, handle):
        """What was under way is over; the connection ends while there are SAs to say it through."""
        one = self.registrations.sets.get(handle)
        if one and one.connection and one.connection.done() and not one.connection.exception():
            one.connection.result().reset()

    def _on_keys(self, one, answer):
        if "keys" in self._config:
            esp_keys.write(self._config["keys"], self._config["sets"], one, answer)

    # -- from the access network

    def _from_network(self, message, flow):
        asyncio.ensure_future(self._take(message, flow))

    async def _take(self, message, flow):
        try:
            if flow.local[1] == PORT_CLEAR:
                if message.method == "REGISTER":  # INT-36: nothing else in clear
                    await self._register(message, flow, None)
            elif message.is_request:
                await self._take_request(message, flow)
            else:
                await self._take_response(message, flow)
        except (sip.NotSip, OSError) as error:
            print(f"{message!r}: {error}", file=sys.stderr, flush=True)

    async def _take_request(self, request, flow):
        impu = sip.Uri(request.get("P-Preferred-Identity") or request.get("From") or "").identity()
        try:
            one = await self._check(flow, impu)
        except Refused as refused:  # INT-44, INT-49a
            print(f"{request!r}: {refused}", file=sys.stderr, flush=True)
            return self._to_ue(request.response(403, "Forbidden"), flow,
                               self.registrations.by_port(*flow.remote))
        self.registrations.packet_came_over(one)
        if request.method == "REGISTER":
            return await self._register(request, flow, one)
        if not one.established:  # PUB-01: nobody has been authenticated yet
            return self._to_ue(request.response(403, "Forbidden"), flow, one)
        self._leave_route(request)
        if request.method == "INVITE":
            request.push("Record-Route", f"<sip:{sip.bracketed(flow.local[0])}:{PORT_PS};lr>")
        for name in ("Security-Verify", "Require", "Proxy-Require"):  # TS 24.229 5.2.6.3.3
            request.remove(name)
        request.push("Via", str(self._flows.via(flow.transport, (flow.local[0], PORT_PS), request,
                                                flow)))
        await self._to_server(request, flow)

    @staticmethod
    def _leave_route(request):
        """What our Record-Route has put there (RFC 3261 16.4)."""
        route = request.top("Route")
        if route and sip.Uri(route).port == PORT_PS:
            request.pop("Route")

    async def _check(self, flow, impu):
        """Which registration this came through, and whether the identity is its; asked once for
        each socket and port of a UE: its sets end with an event."""
        key = flow.remote, flow.local[1], impu
        one = self._checked.get(key)
        if one is None or not one.established:
            answer = await self.engine.call(
                "ue check", ue=flow.remote[0], ue_port=flow.remote[1], pcscf_port=flow.local[1],
                impu=impu)
            one = self._checked[key] = self.registrations.sets[answer["handle"]]
        return one

    async def _register(self, request, flow, one):
        """The same REGISTER again gets the same answer, once there is one (RFC 3261 17.2.2)."""
        key = (flow.remote[0], *request.transaction())
        if key in self._registers:
            if self._registers[key]:
                self._registers[key]()
            return
        self._registers[key] = None
        asyncio.get_running_loop().call_later(TRANSACTION_S, self._registers.pop, key, None)
        await self.registrations.on_register(request, flow, one)

    def _reply(self, request, response, flow, one):
        def send():
            self._to_ue(response, flow, one)
        self._registers[(flow.remote[0], *request.transaction())] = send
        send()

    def _to_ue(self, response, flow, one):
        """A response, by the connection of its request (JNT-8) while its SAs live, else on one of
        the set's; over UDP from port_pc to port_us."""
        if flow.transport == "tcp":
            if one is None or self.registrations.by_port(*flow.remote):
                return flow.send(response)
            return asyncio.ensure_future(self._through(response, "tcp", one))
        via = response.via()
        if one is None:  # in clear, to an unprotected port, whatever the request came through
            port = via.port if flow.local[1] == PORT_CLEAR else PORT_CLEAR
            return self._sending[flow.local[0], PORT_CLEAR].send(response, (flow.remote[0], port))
        return self._sending[one.pcscf, one.port_pc].send(response, (one.ue, via.port))

    async def _take_response(self, response, flow):
        try:
            self.registrations.packet_came_over(await self._check(flow, None))
        except Refused:
            return
        target = self._flows.take(response)
        if target:
            target.send(response)

    # -- from the plain server

    async def _to_server(self, request, flow):
        key = f"{flow.transport} {flow.local[0]}"
        server = tuple(self._config["servers"][key])
        if flow.transport == "udp":
            return self._sending[key].send(request, server)
        if key not in self._connections:
            self._connections[key] = asyncio.ensure_future(
                self._plain.connect((server[0], 0), server))
        (await asyncio.shield(self._connections[key])).send(request)

    def _from_server(self, message, flow):
        asyncio.ensure_future(self._take_plain(message, flow))

    async def _take_plain(self, message, flow):
        try:
            if not message.is_request:
                return self._plain_response(message)
            self._leave_route(message)
            target = sip.Uri(message.uri)
            impi = self.registrations.contacts.get((target.host, target.port))
            one = self.registrations.in_use.get(impi)
            if one is None:
                return flow.send(message.response(480, "Temporarily Unavailable"))
            kind = target.parameters.get("transport", "udp")
            message.push("Via", str(self._flows.via(kind, (one.pcscf, PORT_PS), message, flow)))
            await self._through(message, kind, one)
        except (sip.NotSip, OSError) as error:
            print(f"{message!r}: {error}", file=sys.stderr, flush=True)

    def _plain_response(self, response):
        flow = self._flows.take(response)
        if flow:
            impi = self.registrations.contacts.get((flow.remote[0], response.via().port))
            self._to_ue(response, flow, self.registrations.in_use.get(impi))

    async def _through(self, message, kind, one):
        """From port_pc to port_us of the set; over TCP on a connection of ours."""
        if kind == "udp":
            return self._sending[one.pcscf, one.port_pc].send(message, (one.ue, one.port_us))
        if one.connection is None:
            one.connection = asyncio.ensure_future(self._sockets.connect(
                (one.pcscf, one.port_pc), (one.ue, one.port_us)))
        (await asyncio.shield(one.connection)).send(message)


async def main(path):
    with open(path, encoding="utf-8") as file:
        await Pcscf(json.load(file)).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
