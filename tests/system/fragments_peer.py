#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""scapy as the UE and as the host, in fragments: ESP that arrives in pieces, in every order, must
come out of the host port as the frame that was protected; what the host sends in pieces must come
out as one ESP packet; and what must not become whole (RFC 5722, 6946, 6980, 7112, 3128)."""

import itertools
import struct

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NA, IPv6

import fragments
import lab
import report
import scapy_peer
import suites
from scapy_peer import ARRIVAL_SECONDS, IP_SHAPES, SILENCE_SECONDS, Ends, Flow, link

PIECE_BYTES = 480
PLAIN_BYTES = 1300
TIMEOUT_SECONDS = 5
OPEN_PORT = 5060

SUITES = [suite for suite in suites.SUITES if suite.name.endswith(("aes-cbc", "aes-gcm"))]
FLOWS = [Flow(number, *axes) for number, axes in enumerate(
    itertools.product(SUITES, (4, 6), ("udp",)))]


class TapLab(lab.Lab):
    """Both ports are TAPs: net_af_packet of DPDK 22.11 has the kernel put IPv4 fragments together
    (PACKET_FANOUT_FLAG_DEFRAG), and what does not become whole is never seen."""

    def configuration(self, **values):
        text = super().configuration(**values)
        for number, interface in ((0, "acc0"), (1, "hst0")):
            text = text.replace(f"net_af_packet{number},iface={interface}",
                                f"net_tap{number},iface={interface}")
        return text

    def _make_network(self):
        for namespace in (self.ue, self.engine, self.core):
            lab.command("ip", "netns", "add", namespace)
            self.callback(lab.command, "ip", "netns", "del", namespace)
            self._set_ipv6(namespace, "default", disabled=True)

    def _start_gmespd(self):
        super()._start_gmespd()
        for interface, namespace in (("acc0", self.ue), ("hst0", self.core)):
            self._set_ipv6(self.engine, interface, disabled=True)
            lab.command("ip", "-n", self.engine, "link", "set", interface, "netns", namespace)
            self._set_ipv6(namespace, interface, disabled=True)
            lab.command("ip", "-n", namespace, "link", "set", interface, "up")


def send_all(port, from_ue, shape, packets):
    for packet in packets:
        port.send(link(from_ue, shape) / packet)


def check_inbound(flow, shape, ends):
    """Every order of three or four pieces, another datagram each time."""
    ends.drain()
    identification = 100 * flow.number
    plain = scapy_peer.plain_packet(flow.inbound, shape, PLAIN_BYTES)
    count = len(fragments.pieces(scapy_peer.protect(flow, plain), PIECE_BYTES))
    for order in itertools.permutations(range(count)):
        identification += 1
        pieces = fragments.pieces(scapy_peer.protect(flow, plain), PIECE_BYTES, identification)
        send_all(ends.ue, True, shape, [pieces[i] for i in order])
        frame = ends.core.receive(ARRIVAL_SECONDS)
        report.check(frame is not None, f"{order}: nothing came out of the host port")
        expected = plain.copy()
        if IP in expected:  # identification of the fragments
            expected.id = identification
            del expected.chksum
        report.check_equal(frame, bytes(link(True, shape) / expected), f"{order}")


def check_outbound(flow, shape, ends):
    ends.drain()
    plain = scapy_peer.plain_packet(flow.outbound, shape, PLAIN_BYTES)
    for order in itertools.permutations(range(3)):
        pieces = fragments.pieces(plain, PIECE_BYTES)
        report.check_equal(len(pieces), 3, "pieces")
        send_all(ends.core, False, shape, [pieces[i] for i in order])
        _, opened = scapy_peer.receive_protected(flow, ends, plain)
        report.check_equal(bytes(opened), bytes(plain), f"{order}")


def check_atomic(flow, ends):
    plain = scapy_peer.plain_packet(flow.inbound, "plain", 100)
    esp = scapy_peer.protect(flow, plain)
    ends.drain()
    send_all(ends.ue, True, "plain", fragments.pieces(esp, 65528))
    report.check_equal(ends.core.receive(ARRIVAL_SECONDS), bytes(link(True, "plain") / plain),
                       "frame")


def expect_drops(bed, ends, packets, expected):
    """The reasons and how many of each; nothing comes out."""
    ends.drain()
    before = bed.drops()
    send_all(ends.ue, True, "plain", packets)
    wanted = sum(expected.values())
    while sum(bed.wait_for_drop(before, ARRIVAL_SECONDS).values()) < wanted:
        report.check(bed.new_drops(before), "no drop was counted")
    report.check_equal(bed.new_drops(before), expected, "drops")
    frame = ends.core.receive(SILENCE_SECONDS)
    report.check(frame is None, f"counted, but it came out: {frame.hex() if frame else ''}")


def run_refused(results, bed, flow, ends):
    numbers = itertools.count(50_000)

    def esp_pieces():
        plain = scapy_peer.plain_packet(flow.inbound, "plain", PLAIN_BYTES)
        packet = scapy_peer.protect(flow, plain)
        number = next(numbers)
        content = bytes(packet)[fragments.headers_bytes(packet):]
        return packet, number, content, fragments.pieces(packet, PIECE_BYTES, number)

    def case(name, packets, expected):
        with results.case(f"fragments: {flow.name}: {name}"):
            expect_drops(bed, ends, packets, expected)

    packet, number, content, pieces = esp_pieces()
    overlap = fragments.fragment(packet, 472, content[472:960], True, number)
    case("an overlap takes all of them, also what comes later", [pieces[0], overlap, *pieces[1:]],
         {"overlapping_fragment": 1 + len(pieces)})
    packet, number, content, pieces = esp_pieces()
    odd = fragments.fragment(packet, 0, content[:477], True, number)
    case("a length that is no multiple of 8", [odd], {"bad_fragment": 1})
    beyond = fragments.fragment(packet, 65528, content[:8], True, number)
    case("a datagram of more than 65,535 bytes", [beyond], {"datagram_too_long": 1})
    flooded = [fragments.fragment(packet, 8 * i, content[8 * i:8 * i + 8], True, number)
               for i in range(65)]
    case("65 pieces", flooded, {"too_many_fragments": 65})
    header = IP if flow.family == 4 else IPv6
    tcp = header(src=flow.inbound.src, dst=flow.inbound.dst) / TCP(
        sport=1, dport=OPEN_PORT) / bytes(100)
    tiny = [fragments.fragment(tcp, start, bytes(tcp)[-120:][start:end], True, next(numbers))
            for start, end in ((0, 8), (8, 32))]
    case("TCP header in two fragments", tiny, {"bad_fragment": 2})
    open_udp = header(src=flow.inbound.src, dst=flow.inbound.dst) / UDP(
        sport=flow.inbound.sport, dport=lab.PORT_PS) / bytes(PLAIN_BYTES)
    case("cleartext to a protected port", fragments.pieces(open_udp, PIECE_BYTES, next(numbers)),
         {"cleartext_on_protected_port": 1})
    if flow.family == 6:
        nd = IPv6(src=flow.inbound.src, dst=flow.inbound.dst) / ICMPv6ND_NA(tgt=flow.inbound.src)
        case("neighbour discovery", fragments.pieces(nd, 65528, next(numbers)),
             {"bad_fragment": 1})
        nested = struct.pack("!BBHI", 17, 0, 0, 1) + bytes(100)
        front = IPv6(src=flow.inbound.src, dst=flow.inbound.dst, nh=44) / nested
        case("a fragment inside a fragment", fragments.pieces(front, 56, next(numbers)),
             {"fragment": 1})


def check_timeout(bed, flow, ends):
    plain = scapy_peer.plain_packet(flow.inbound, "plain", PLAIN_BYTES)
    pieces = fragments.pieces(scapy_peer.protect(flow, plain), PIECE_BYTES, 60_000)
    before = bed.drops()
    send_all(ends.ue, True, "plain", pieces[1:])
    new = bed.wait_for_drop(before, TIMEOUT_SECONDS + ARRIVAL_SECONDS)
    report.check_equal(new, {"fragment_timeout": len(pieces) - 1}, "drops")
    report.check_equal(bed.stats()["fragments_held"], 0, "fragments held")


def run_cases(results):
    with TapLab() as bed:
        ends = Ends(bed.open_raw(bed.ue, "acc0"), bed.open_raw(bed.core, "hst0"))
        bed.add_sas([sa for flow in FLOWS
                     for sa in (("in", flow.inbound), ("out", flow.outbound))])
        for flow in FLOWS:
            for shape in IP_SHAPES[flow.family]:
                with results.case(f"fragments in: {flow.name} {shape}, in every order"):
                    check_inbound(flow, shape, ends)
                with results.case(f"fragments out: {flow.name} {shape}, in every order"):
                    check_outbound(flow, shape, ends)
            if flow.family == 6:
                with results.case(f"fragments in: {flow.name}, atomic"):
                    check_atomic(flow, ends)
        for flow in FLOWS[:2]:
            run_refused(results, bed, flow, ends)
            with results.case(f"fragments: {flow.name}: timeout"):
                check_timeout(bed, flow, ends)
        with results.case("fragments: no frame unaccounted for"):
            bed.check_conservation()


if __name__ == "__main__":
    report.run(run_cases)
