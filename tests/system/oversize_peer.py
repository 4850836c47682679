#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Packets longer than the access MTU. scapy and a Linux kernel, as the UE, put together and open
what the engine cuts; a router of scapy's making lowers the path MTU; a host's kernel that is told
"too big" learns the plain size that fits."""

import dataclasses
import errno
import itertools
import socket

from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.ipsec import ESP

import kernel_peer
import lab
import report
import scapy_esp
import scapy_peer

HOST_MTU = 9000  # so that the host's kernel never fragments by itself
PAYLOAD_BYTES = (1150, 1260, 1400, 4000, 8900)
LEARNED_MTU = 1290
ROUTER = {4: "203.0.113.9", 6: "2001:db8:9::1"}
IP_BYTES = {4: 20, 6: 40}
UDP_BYTES = 8
KERNEL_BYTES = [1260, 1400, 1480, 3000, 8900]
# The names that Python's socket module lacks (ip(7), ipv6(7)).
MTU_DISCOVER, PMTUDISC_DO, PATH_MTU = {4: 10, 6: 23}, 2, {4: 14, 6: 24}


class MtuLab(lab.Lab):
    def __init__(self, access_mtu, host_mtu=HOST_MTU, oversize="fragment", **options):
        super().__init__(**options)
        self._mtu = {"acc0": access_mtu, "hst0": host_mtu}
        self._oversize = oversize

    def configuration(self, **values):
        text = super().configuration(**values)
        for interface, mtu in self._mtu.items():
            text = text.replace(f'iface={interface}"', f'iface={interface}"\nmtu = {mtu}')
        return text.replace("[host]", f'oversize = "{self._oversize}"\n[host]')

    def _make_network(self):
        super()._make_network()
        for space, interface in ((self.engine, "hst0"), (self.core, "core0")):
            lab.command("ip", "-n", space, "link", "set", interface, "mtu", str(self._mtu["hst0"]))

    def path_mtu(self, sa):
        (answer,) = self.gmespctl("sa", "show", "dir", "out", "spi", hex(sa.spi))
        return answer.get("path_mtu")


def udp_flows():
    return [scapy_peer.Flow(number, *axes, "udp") for number, axes in enumerate(
        itertools.product(scapy_peer.suites.SUITES, (4, 6)))]


def install(bed, flows):
    bed.add_sas([("out", flow.outbound) for flow in flows])


def open_ends(bed):
    return scapy_peer.Ends(bed.open_raw(bed.ue, "ue0"), bed.open_raw(bed.core, "core0"))


def send_and_open(flow, ends, shape, length, mtu):
    """One plain datagram in, the fragments of its ESP packet out, checked; answers them."""
    plain = scapy_peer.plain_packet(flow.outbound, shape, length)
    ends.core.send(scapy_peer.link(False, shape) / plain)
    whole, fragments = scapy_peer.receive_datagram(ends, mtu)
    flow.received += 1
    report.check_equal((whole[ESP].spi, whole[ESP].seq), (flow.outbound.spi, flow.received),
                       "SPI, number")
    header_bytes = len(bytes(plain)) - len(bytes(scapy_peer.protected_part(plain)))
    esp_bytes = len(bytes(whole[ESP]))
    fits = header_bytes + esp_bytes <= mtu
    report.check_equal(len(fragments) == 1, fits, f"{length} bytes: whole")
    opened = scapy_esp.esp_sa(flow.outbound).decrypt(whole.copy())  # scapy decrypts in place
    scapy_peer.same_but_identification(opened, plain)
    return fragments


def run_fragments(results, mtu):
    flows = udp_flows()
    with MtuLab(mtu) as bed:
        ends = open_ends(bed)
        install(bed, flows)
        for flow in flows:
            for shape in scapy_peer.IP_SHAPES[flow.family]:
                with results.case(f"oversize: {flow.name} {shape}, access MTU {mtu}: scapy opens"):
                    ends.drain()
                    for length in PAYLOAD_BYTES:
                        send_and_open(flow, ends, shape, length, mtu)
        with results.case(f"oversize: access MTU {mtu}: no frame unaccounted for"):
            bed.check_conservation()


def too_big(flow, mtu, quoted):
    """Of a router between, about a packet of the engine's."""
    error = (IP(src=ROUTER[4], dst=flow.outbound.src) / ICMP(type=3, code=4, nexthopmtu=mtu)
             if flow.family == 4 else
             IPv6(src=ROUTER[6], dst=flow.outbound.src) / ICMPv6PacketTooBig(mtu=mtu))
    return error / bytes(quoted)[:1280 - 48]


def tell(bed, ends, error):
    before = bed.drops()
    ends.ue.send(scapy_peer.link(True, "plain") / error)
    report.check_equal(bed.wait_for_drop(before, scapy_peer.ARRIVAL_SECONDS),
                       {"icmp_about_esp": 1}, "drops")


def check_learning(bed, flow, ends):
    ends.drain()
    (whole,) = send_and_open(flow, ends, "plain", 1200, 1500)
    first, *_ = send_and_open(flow, ends, "plain", 3000, 1500)
    for mtu, quoted in ((LEARNED_MTU + 10, whole), (LEARNED_MTU, first)):
        tell(bed, ends, too_big(flow, mtu, quoted))
        report.check_equal(bed.path_mtu(flow.outbound), mtu, "path_mtu")
    for length in PAYLOAD_BYTES:
        send_and_open(flow, ends, "plain", length, LEARNED_MTU)


def check_strangers(bed, flow, ends):
    """Who does not know the SPI, or says what cannot be."""
    (packet,) = send_and_open(flow, ends, "plain", 1000, LEARNED_MTU)
    wrong_spi = scapy_peer.altered(packet, 3)
    ancient = packet.copy()
    ancient[ESP].seq = 0
    raised = too_big(flow, 1400, packet)
    content = bytes(too_big(flow, 1280, packet))
    bad_sum = raised.__class__(content[:-1] + bytes((content[-1] ^ 1,)))
    errors = [raised, too_big(flow, 1280, wrong_spi), too_big(flow, 1280, bytes(ancient)), bad_sum]
    if flow.family == 6:
        errors.append(too_big(flow, 1279, packet))
    for error in errors:
        tell(bed, ends, error)
        report.check_equal(bed.path_mtu(flow.outbound), LEARNED_MTU, "path_mtu")


def run_learning(results):
    flows = udp_flows()
    with MtuLab(1500, workers=2) as bed:
        ends = open_ends(bed)
        install(bed, flows)
        by_family = [next(flow for flow in flows if flow.family == family) for family in (4, 6)]
        for flow in by_family:
            with results.case(f"oversize: ipv{flow.family}: a router's ICMP lowers the path MTU"):
                check_learning(bed, flow, ends)
            with results.case(f"oversize: ipv{flow.family}: nobody raises it, no stranger lowers it"):
                check_strangers(bed, flow, ends)
            other = flows[flows.index(flow) + 2]
            with results.case(f"oversize: ipv{flow.family}: the UE's other SAs have learned too"):
                report.check_equal(bed.path_mtu(other.outbound), LEARNED_MTU, "path_mtu")
        with results.case("oversize: path MTU: no frame unaccounted for"):
            bed.check_conservation()


@dataclasses.dataclass
class HostSocket:
    """A UDP socket of the host's kernel that never lets it fragment."""

    bed: lab.Lab
    flow: scapy_peer.Flow

    def __enter__(self):
        sa, family = self.flow.outbound, self.flow.family
        with lab.inside(self.bed.core):
            self.socket = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6,
                                        socket.SOCK_DGRAM)
        self.level = socket.IPPROTO_IP if family == 4 else socket.IPPROTO_IPV6
        self.socket.setsockopt(self.level, MTU_DISCOVER[family], PMTUDISC_DO)
        self.socket.bind((sa.src, sa.sport))
        self.socket.connect((sa.dst, sa.dport))
        return self

    def __exit__(self, *_):
        self.socket.close()

    def mtu(self):
        return self.socket.getsockopt(self.level, PATH_MTU[self.flow.family])


def largest_plain(flow, mtu):
    """The longest IP packet whose ESP packet is not longer than the MTU."""
    room = mtu - IP_BYTES[flow.family]
    return IP_BYTES[flow.family] + max(
        n for n in range(mtu) if scapy_esp.esp_bytes(flow.outbound, n) <= room)


def check_host_learns(bed, flow, ends, access_mtu):
    fits = largest_plain(flow, access_mtu)
    header_bytes = IP_BYTES[flow.family] + UDP_BYTES
    with HostSocket(bed, flow) as host:
        report.check_equal(host.mtu(), 1500, "MTU before")
        before = bed.drops()
        host.socket.send(bytes(1500 - header_bytes))
        report.check_equal(bed.wait_for_drop(before, scapy_peer.ARRIVAL_SECONDS),
                           {"packet_too_big": 1}, "drops")
        report.check_equal(host.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
                           errno.EMSGSIZE, "error told to the socket")
        report.check_equal(host.mtu(), fits, "MTU that the host's kernel has learned")
        ends.drain()
        try:
            host.socket.send(bytes(fits + 1 - header_bytes))
        except OSError as error:
            report.check_equal(error.errno, errno.EMSGSIZE, "error")
        else:
            raise report.Failure("the host's kernel sent more than it was told")
        host.socket.send(bytes(fits - header_bytes))
    whole, fragments = scapy_peer.receive_datagram(ends, access_mtu)
    report.check_equal(len(fragments), 1, "fragments")
    opened = scapy_esp.esp_sa(flow.outbound).decrypt(whole)
    report.check_equal(len(bytes(opened)), fits, "bytes opened")


def run_too_big(results):
    access_mtu = 1400
    flows = [flow for flow in udp_flows()  # one a UE: what is told is for its address
             if (flow.suite.alg, flow.suite.ealg) == ("hmac-sha-1-96", "aes-cbc")]
    with MtuLab(access_mtu, host_mtu=1500, oversize="too-big") as bed:
        ends = open_ends(bed)
        install(bed, flows)
        bed.start_core_sockets()
        for family in (4, 6):
            lab.command("ip", "-n", bed.core, "neigh", "add", lab.UE[family], "lladdr",
                        lab.UE_MAC, "dev", "core0")
        for flow in flows:
            with results.case(f"oversize: {flow.name}: the host's kernel is told what fits"):
                check_host_learns(bed, flow, ends, access_mtu)
        with results.case("oversize: too-big: no frame unaccounted for"):
            bed.check_conservation()


def run_kernel(results):
    with MtuLab(1400, ue_is_guest=True) as bed:
        guest, core = bed.boot_guest(), bed.start_core_sockets()
        kernel_peer.install(bed, guest)
        for cell in kernel_peer.CELLS:
            if (cell.proto, cell.caller) != ("udp", "pcscf"):
                continue
            with results.case(f"oversize: {cell.suite.name} ipv{cell.family}: "
                              "a Linux kernel puts fragments together and opens them"):
                before = bed.drops(), bed.stats()["fragments_made"]
                guest.order(op="serve", proto="udp", addr=cell.ue[0], port=cell.ue[1], digest=True)
                core.order(op="exchange", proto="udp", seed=cell.number, **{"from": cell.pcscf},
                           to=cell.ue, sizes=KERNEL_BYTES, digest=True)
                report.check_equal(bed.new_drops(before[0]), {}, "drops")
                report.check(bed.stats()["fragments_made"] > before[1], "nothing was fragmented")
        with results.case("oversize: kernel: no frame unaccounted for"):
            bed.check_conservation()


def run_cases(results):
    for mtu in (1280, 1400):
        run_fragments(results, mtu)
    run_learning(results)
    run_too_big(results)
    run_kernel(results)


if __name__ == "__main__":
    report.run(run_cases)
