#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""scapy as the UE, frame by frame: ESP built here must come out of the host port as exactly the
frame that was protected; a plain frame put into the host port must come out as ESP that scapy opens
and that is exactly that frame again. Every suite x IPv4, IPv6 x UDP, TCP x the shapes below; then
what must not pass."""

import dataclasses
import itertools

from scapy.layers.inet import (IP, TCP, UDP, IPOption_NOP, IPOption_Router_Alert, defragment)
from scapy.layers.inet6 import (IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                                PadN, RouterAlert, defragment6)
from scapy.layers.ipsec import ESP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.plist import PacketList

import lab
import raw
import report
import scapy_esp
import suites

ARRIVAL_SECONDS = 2
SILENCE_SECONDS = 0.02  # after the drop was counted
VLAN = 100
UE_PORT = 20000
FIRST_SPI = 0x2000
PAYLOAD_BYTES = (0, 1, 100, 1300)
MSS = 1460  # in a SYN: what a kernel offers on a link of 1500 bytes
IP_SHAPES = {4: ("plain", "options", "vlan"),
             6: ("plain", "hop-by-hop", "destination options", "vlan")}


@dataclasses.dataclass
class Flow:
    """One suite, family and protocol: an SA each way, their numbers so far."""

    number: int
    suite: suites.Suite
    family: int
    proto: str

    def __post_init__(self):
        ue = (lab.UE[self.family], UE_PORT + self.number)
        pcscf = (lab.PCSCF[self.family], lab.PORT_PS)
        self.inbound = self._sa(FIRST_SPI + 2 * self.number, ue, pcscf)
        self.outbound = self._sa(FIRST_SPI + 2 * self.number + 1, pcscf, ue)
        self.sent = self.received = 0

    def _sa(self, spi, src, dst):
        keys = suites.make_keys(self.suite, str(spi))
        return suites.Sa(spi, self.suite, keys, src[0], dst[0], self.proto, src[1], dst[1])

    @property
    def name(self):
        return f"{self.suite.name} ipv{self.family} {self.proto}"


FLOWS = [Flow(number, *axes) for number, axes in enumerate(
    itertools.product(suites.SUITES, (4, 6), ("udp", "tcp")))]


@dataclasses.dataclass
class Ends:
    ue: raw.RawPort
    core: raw.RawPort

    def drain(self):
        """What a failed case left behind must not fail the next one."""
        self.ue.drain()
        self.core.drain()


def ip_headers(sa, shape):
    if ":" not in sa.src:
        options = [IPOption_Router_Alert(), IPOption_NOP()] if shape == "options" else []
        return IP(src=sa.src, dst=sa.dst, id=7, options=options)
    header = IPv6(src=sa.src, dst=sa.dst, fl=0x12345)
    if shape == "hop-by-hop":
        return header / IPv6ExtHdrHopByHop(options=[RouterAlert()])
    if shape == "destination options":
        return header / IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(10))])
    return header


def link(from_ue, shape):
    ends = (lab.UE_MAC, lab.PCSCF_MAC) if from_ue else (lab.PCSCF_MAC, lab.UE_MAC)
    ether = Ether(src=ends[0], dst=ends[1])
    return ether / Dot1Q(vlan=VLAN, prio=5) if shape == "vlan" else ether


def plain_packet(sa, shape, length, ports=None):
    sport, dport = ports or (sa.sport, sa.dport)
    transport = (UDP(sport=sport, dport=dport) if sa.proto == "udp" else
                 TCP(sport=sport, dport=dport, flags="PA", seq=1000, ack=2000))
    packet = ip_headers(sa, shape) / transport / bytes(i % 251 for i in range(length))
    return packet.__class__(bytes(packet))  # lengths and checksums as they will travel


def protect(flow, packet):
    flow.sent += 1
    # As bytes and back: building it again must not meet scapy's half-finished fields.
    return packet.__class__(bytes(scapy_esp.esp_sa(flow.inbound).encrypt(packet, flow.sent)))


def network_packet(frame):
    """The IP packet of an Ethernet frame, tagged or not."""
    ether = Ether(frame)
    return ether.getlayer(IP) or ether.getlayer(IPv6)


def check_inbound(flow, shape, ends):
    ends.drain()
    for length in PAYLOAD_BYTES:
        packet = plain_packet(flow.inbound, shape, length)
        ends.ue.send(link(True, shape) / protect(flow, packet))
        frame = ends.core.receive(ARRIVAL_SECONDS)
        report.check(frame is not None, f"{length} bytes: nothing came out of the host port")
        report.check_equal(frame, bytes(link(True, shape) / packet), f"{length} bytes")


def protected_part(plain):
    """What the engine puts inside ESP: all but the headers that routers on the way read, so
    destination options too (RFC 4303 section 3.1.1). scapy's own ESP leaves those in front."""
    part = plain.payload
    return part.payload if isinstance(part, IPv6ExtHdrHopByHop) else part


def receive_protected(flow, ends, plain):
    """The next frame of the access port, checked as ESP of this flow and opened."""
    frame = ends.ue.receive(ARRIVAL_SECONDS)
    report.check(frame is not None, "nothing came out of the access port")
    packet = network_packet(frame)
    esp = packet.getlayer(ESP)
    report.check(esp is not None, f"not ESP but {packet.summary()}")
    expected, flow.received = flow.received + 1, esp.seq
    report.check_equal((esp.spi, esp.seq), (flow.outbound.spi, expected), "SPI, number")
    report.check_equal(len(bytes(esp)),
                       scapy_esp.esp_bytes(flow.outbound, len(bytes(protected_part(plain)))),
                       "bytes of ESP")
    link_bytes = len(frame) - len(bytes(packet))
    return frame[:link_bytes], scapy_esp.esp_sa(flow.outbound).decrypt(packet)


def check_outbound(flow, shape, ends):
    ends.drain()
    for length in PAYLOAD_BYTES:
        packet = plain_packet(flow.outbound, shape, length)
        ends.core.send(link(False, shape) / packet)
        ethernet, opened = receive_protected(flow, ends, packet)
        report.check_equal(bytes(opened), bytes(packet), f"{length} bytes")
        report.check_equal(ethernet, bytes(link(False, shape) / packet)[:len(ethernet)],
                           "Ethernet header")


def receive_datagram(ends, mtu):
    """The next datagram of the access port, put together by scapy, and its fragments; each of them
    no longer than the MTU."""
    fragments = []
    while True:
        frame = ends.ue.receive(ARRIVAL_SECONDS)
        report.check(frame is not None, f"nothing came behind {len(fragments)} fragments")
        packet = network_packet(frame)
        report.check(len(bytes(packet)) <= mtu, f"{len(bytes(packet))} bytes over MTU {mtu}")
        part = packet.getlayer(IPv6ExtHdrFragment)
        offset, more = ((packet.frag, bool(packet.flags.MF)) if isinstance(packet, IP) else
                        (part.offset, bool(part.m)) if part else (0, False))
        fragments.append(packet)
        if not more:
            break
    if offset == 0:
        return packet, fragments
    if isinstance(packet, IP):
        report.check(not any(fragment.flags.DF for fragment in fragments), "DF in a fragment")
        (whole,) = defragment(PacketList(fragments))
    else:
        whole = defragment6(PacketList(fragments))
    return whole.__class__(bytes(whole)), fragments


def same_but_identification(opened, plain):
    """What a datagram says, wherever it was cut."""
    if isinstance(opened, IP):
        opened, plain = opened.copy(), plain.copy()
        for packet in (opened, plain):
            packet.id, packet.flags = 0, 0
            del packet.chksum
    report.check_equal(bytes(opened), bytes(plain), "opened")


def check_too_long(flow, ends):
    """As ESP longer than the access MTU: in fragments, whatever DF says (RFC 4303 section 3.3.4)."""
    ends.drain()
    packet = plain_packet(flow.outbound, "plain", 1500 - len(bytes(plain_packet(
        flow.outbound, "plain", 0))))
    ends.core.send(link(False, "plain") / packet)
    whole, fragments = receive_datagram(ends, 1500)
    report.check_equal(len(fragments), 2, "fragments")
    expected, flow.received = flow.received + 1, flow.received + 1
    report.check_equal((whole[ESP].spi, whole[ESP].seq), (flow.outbound.spi, expected),
                       "SPI, number")
    same_but_identification(scapy_esp.esp_sa(flow.outbound).decrypt(whole), packet)


def check_syn(flow, ends):
    """The MSS that either end offers is lowered so that a full segment fits as ESP."""
    fits = esp_mss(flow)
    ends.drain()
    for sa in (flow.inbound, flow.outbound):
        syn = ip_headers(sa, "plain") / TCP(sport=sa.sport, dport=sa.dport, flags="S", seq=1,
                                            options=[("MSS", MSS), ("SAckOK", b"")])
        syn = syn.__class__(bytes(syn))
        if sa is flow.inbound:
            ends.ue.send(link(True, "plain") / protect(flow, syn))
            frame = ends.core.receive(ARRIVAL_SECONDS)
            report.check(frame is not None, "the SYN did not come out of the host port")
            seen = network_packet(frame)
        else:
            ends.core.send(link(False, "plain") / syn)
            _, seen = receive_protected(flow, ends, syn)
        offered = dict(seen[TCP].options)["MSS"]
        report.check_equal(offered, fits, "MSS, and the largest that fits")
        expected = syn.copy()
        expected[TCP].options = [("MSS", offered), ("SAckOK", b"")]
        del expected[TCP].chksum
        report.check_equal(bytes(seen), bytes(expected.__class__(bytes(expected))), "mended SYN")


def esp_mss(flow):
    """The largest TCP payload whose protected packet is not longer than 1500 bytes."""
    ip_bytes = {4: 20, 6: 40}[flow.family]
    return max(n for n in range(MSS + 1)
               if ip_bytes + scapy_esp.esp_bytes(flow.outbound, 20 + n) <= 1500)


def expect_drop(bed, send, port, reason):
    before = bed.drops()
    send()
    changed = bed.wait_for_drop(before, ARRIVAL_SECONDS)
    report.check_equal(changed, {reason: 1}, "drops")
    frame = port.receive(SILENCE_SECONDS)
    report.check(frame is None, f"counted, but it came out: {frame.hex() if frame else ''}")


def altered(packet, offset):
    """One bit of the ESP header (offset >= 0) or of its end (offset < 0) changed."""
    content = bytearray(bytes(packet))
    start = len(content) - len(bytes(packet[ESP]))
    content[start + offset if offset >= 0 else offset] ^= 1
    return packet.__class__(bytes(content))


def run_refused_inbound(results, bed, flow, ends):
    """After RFC 4303 section 3.4: each packet stops at its own check."""
    def case(name, packet, reason):
        with results.case(f"scapy in: {flow.name}: {name} is {reason}"):
            expect_drop(bed, lambda: ends.ue.send(link(True, "plain") / packet), ends.core, reason)

    plain = plain_packet(flow.inbound, "plain", 100)
    good = protect(flow, plain)
    with results.case(f"scapy in: {flow.name}: the packet that is then replayed passes"):
        ends.ue.send(link(True, "plain") / good)
        report.check_equal(ends.core.receive(ARRIVAL_SECONDS), bytes(link(True, "plain") / plain),
                           "frame")
    case("the same again", good, "replayed")
    case("one bit of the ICV", altered(protect(flow, plain), -1), "icv_mismatch")
    case("one bit of the payload", altered(protect(flow, plain), 30), "icv_mismatch")
    case("one bit of the sequence number", altered(protect(flow, plain), 6), "icv_mismatch")
    case("an SPI of nobody", altered(protect(flow, plain), 0), "unknown_spi")
    other_ports = plain_packet(flow.inbound, "plain", 100, (flow.inbound.sport, lab.PORT_PC))
    case("another inner port", protect(flow, other_ports), "selector_mismatch")
    case("no ESP", plain, "cleartext_on_protected_port")


def run_refused_outbound(results, bed, flow, ends):
    stray = plain_packet(flow.outbound, "plain", 100, (flow.outbound.sport, UE_PORT - 1))
    with results.case(f"scapy out: {flow.name}: protected port without SA is dropped"):
        expect_drop(bed, lambda: ends.core.send(link(False, "plain") / stray), ends.ue,
                    "cleartext_on_protected_port")
    broken = plain_packet(flow.outbound, "plain", 100)
    broken.lastlayer().load = b"x" + bytes(99)  # its checksum is that of other bytes
    with results.case(f"scapy out: {flow.name}: wrong checksum is dropped"):
        expect_drop(bed, lambda: ends.core.send(link(False, "plain") / broken), ends.ue,
                    "bad_checksum")


def run_cases(results):
    with lab.Lab() as bed:
        ends = Ends(bed.open_raw(bed.ue, "ue0"), bed.open_raw(bed.core, "core0"))
        bed.add_sas([sa for flow in FLOWS
                     for sa in (("in", flow.inbound), ("out", flow.outbound))])
        for flow in FLOWS:
            for shape in IP_SHAPES[flow.family]:
                with results.case(f"scapy in: {flow.name} {shape}"):
                    check_inbound(flow, shape, ends)
                with results.case(f"scapy out: {flow.name} {shape}"):
                    check_outbound(flow, shape, ends)
            with results.case(f"scapy out: {flow.name} too long for the access MTU as ESP"):
                check_too_long(flow, ends)
            if flow.proto == "tcp":
                with results.case(f"scapy: {flow.name} SYN: MSS clamped both ways"):
                    check_syn(flow, ends)
        for flow in FLOWS:
            if flow.proto == "udp":
                run_refused_inbound(results, bed, flow, ends)
                run_refused_outbound(results, bed, flow, ends)
        with results.case("scapy: no frame unaccounted for"):
            bed.check_conservation()


if __name__ == "__main__":
    report.run(run_cases)
