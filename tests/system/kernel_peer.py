#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The ESP of a real Linux kernel as the UE: it speaks ESP with gmespd, ordinary sockets behind
gmespd speak plain UDP and TCP with it. One guest and one gmespd for the whole matrix; each cell has
its own pair of SAs, its own keys and its own UE port. Two workers behind ports of one queue: what
the wrong one receives or must send is steered.

  suite x IPv4, IPv6 x UDP, TCP x {the UE calls port_ps, the P-CSCF calls from port_pc}
"""

import dataclasses
import itertools
import re

import lab
import report
import suites

DATAGRAM_BYTES = [0, 1, 100, 1300]
# As ESP in two fragments, and in many. IPv4's are joined by our own kernel here (net_af_packet), and
# what it makes must fit a ring slot.
LONG_DATAGRAM_BYTES = {4: [1420, 1450], 6: [1450, 6000]}
STREAM_BYTES = 120_000  # each way; some 85 segments of full size
FIRST_SPI = 0x1000
FIRST_UE_PORT = 20000
LEAK_PORT = 19999  # no SA has it


@dataclasses.dataclass(frozen=True)
class Cell:
    number: int
    suite: suites.Suite
    family: int
    proto: str
    caller: str  # "ue" or "pcscf"

    @property
    def name(self):
        return f"kernel {self.caller} calls: {self.suite.name} ipv{self.family} {self.proto}"

    @property
    def ue(self):
        return [lab.UE[self.family], FIRST_UE_PORT + self.number]

    @property
    def pcscf(self):
        port = lab.PORT_PS if self.caller == "ue" else lab.PORT_PC
        return [lab.PCSCF[self.family], port]

    @property
    def inbound(self):
        return self._sa(FIRST_SPI + 2 * self.number, self.ue, self.pcscf)

    @property
    def outbound(self):
        return self._sa(FIRST_SPI + 2 * self.number + 1, self.pcscf, self.ue)

    def _sa(self, spi, src, dst):
        keys = suites.make_keys(self.suite, str(spi))
        return suites.Sa(spi, self.suite, keys, src[0], dst[0], self.proto, src[1], dst[1])


CELLS = [Cell(number, *axes) for number, axes in enumerate(
    itertools.product(suites.SUITES, (4, 6), ("udp", "tcp"), ("ue", "pcscf")))]


def install(bed, guest):
    guest.ip_batch("link set eth0 up\n" + "".join(
        f"addr add {address}/{lab.PREFIX_BITS[family]} dev eth0 nodad\n"
        for family, address in lab.UE.items()))
    guest.ip_batch("".join(cell.inbound.ip_xfrm("out") + cell.outbound.ip_xfrm("in")
                           for cell in CELLS))
    bed.add_sas([sa for cell in CELLS for sa in (("in", cell.inbound), ("out", cell.outbound))])


def start_echoes(guest, core):
    for family, proto, port in itertools.product((4, 6), ("udp", "tcp"), (lab.PORT_PS, 5060)):
        core.order(op="serve", proto=proto, addr=lab.PCSCF[family], port=port)
    for cell in CELLS:
        if cell.caller == "pcscf":
            guest.order(op="serve", proto=cell.proto, addr=cell.ue[0], port=cell.ue[1])


def converse(cell, guest, core):
    caller, ends = (guest, (cell.ue, cell.pcscf)) if cell.caller == "ue" else (
        core, (cell.pcscf, cell.ue))
    caller.order(op="exchange", proto=cell.proto, seed=cell.number, **{"from": ends[0]},
                 to=ends[1], sizes=DATAGRAM_BYTES, bytes=STREAM_BYTES)


def run_matrix(results, bed, guest, core):
    for cell in CELLS:
        with results.case(cell.name):
            before = bed.drops()
            converse(cell, guest, core)
            report.check_equal(bed.new_drops(before), {}, "drops")
            bed.check_gmespd()


def run_long(results, bed, guest):
    """The guest fragments behind ESP, the host's kernel before it: both ways in fragments."""
    for cell in CELLS:
        if (cell.caller, cell.proto) != ("ue", "udp"):
            continue
        with results.case(f"kernel, in fragments: {cell.suite.name} ipv{cell.family}"):
            before, joined = bed.drops(), bed.stats()["datagrams_joined"]
            guest.order(op="exchange", proto="udp", seed=cell.number, **{"from": cell.ue},
                        to=cell.pcscf, sizes=LONG_DATAGRAM_BYTES[cell.family])
            report.check_equal(bed.new_drops(before), {}, "drops")
            if cell.family == 6:
                # Each of the guest's; and the host's echo of the longer one.
                report.check_equal(bed.stats()["datagrams_joined"] - joined, 3, "joined")


def guest_sas(guest):
    """SPI -> (packets, replayed, failed) as the guest's kernel counted them."""
    found = {}
    for state in re.split(r"(?m)^src ", guest.run("ip", "-s", "xfrm", "state"))[1:]:
        spi = int(re.search(r"spi (0x[0-9a-f]+)", state)[1], 16)
        packets = int(re.search(r"(\d+)\(packets\)", state)[1])
        replayed, failed = re.search(r"replay (\d+) failed (\d+)", state).groups()
        found[spi] = packets, int(replayed), int(failed)
    return found


def check_counts(results, bed, guest):
    theirs = guest_sas(guest)
    with results.case("kernel: each SA has as many packets at either end, none failed"):
        for cell in CELLS:
            for direction, sa in (("in", cell.inbound), ("out", cell.outbound)):
                packets, replayed, failed = theirs[sa.spi]
                report.check(packets > 0, f"{cell.name}, {direction}: no packet")
                report.check_equal((replayed, failed), (0, 0), f"{cell.name}: replayed, failed")
                ours = bed.sa_packets(direction, sa)
                report.check_equal(ours, packets, f"{cell.name}, {direction}: packets of gmespd")
    with results.case("kernel: the packets of all SAs are those that gmespctl stats shows"):
        total = bed.stats()
        for direction, sas in (("in", [cell.inbound for cell in CELLS]),
                               ("out", [cell.outbound for cell in CELLS])):
            report.check_equal(total[f"protected_{direction}"],
                               sum(theirs[sa.spi][0] for sa in sas), f"protected_{direction}")
    with results.case("kernel: no error in the guest's xfrm_stat"):
        words = guest.run("cat", "/proc/net/xfrm_stat").split()
        errors = {name: int(count) for name, count in zip(words[::2], words[1::2])}
        report.check_equal({name: n for name, n in errors.items() if n}, {}, "errors")


def expect_lost(bed, caller, proto, ends, reason):
    """A conversation in clear that must not happen, and the reason counted for it."""
    before = bed.drops()
    try:
        caller.order(op="exchange", proto=proto, seed=0, **{"from": ends[0]}, to=ends[1],
                     sizes=[100], bytes=100, seconds=1)
    except lab.guest.PeerError as error:
        report.check("timed out" in str(error), f"lost for another reason: {error}")
    else:
        raise report.Failure("it got through in clear")
    drops = bed.new_drops(before)
    report.check(set(drops) == {reason}, f"drops {drops} instead of {reason} only")


def run_cleartext(results, bed, guest, core):
    for family in (4, 6):
        ue, pcscf = lab.UE[family], lab.PCSCF[family]
        with results.case(f"kernel in clear: ipv{family} to unprotected port 5060 passes"):
            guest.order(op="exchange", proto="udp", seed=1, **{"from": [ue, 5060]},
                        to=[pcscf, 5060], sizes=DATAGRAM_BYTES)
        for proto in ("udp", "tcp"):
            with results.case(f"kernel in clear: ipv{family} {proto} to port_ps is dropped"):
                expect_lost(bed, guest, proto, ([ue, LEAK_PORT], [pcscf, lab.PORT_PS]),
                            "cleartext_on_protected_port")
            with results.case(f"kernel in clear: ipv{family} {proto} from port_pc is dropped"):
                expect_lost(bed, core, proto, ([pcscf, lab.PORT_PC], [ue, LEAK_PORT]),
                            "cleartext_on_protected_port")


def run_quoted(results, bed, guest):
    """Nobody listens on port_pc: the host's kernel answers a protected datagram with an ICMP error
    that quotes it, decrypted."""
    for family in (4, 6):
        cell = next(cell for cell in CELLS
                    if (cell.caller, cell.proto, cell.family) == ("pcscf", "udp", family))
        with results.case(f"kernel: ipv{family} port unreachable does not carry SIP in clear"):
            expect_lost(bed, guest, "udp", (cell.ue, cell.pcscf), "icmp_quotes_protected")


def run_deleted(results, bed, guest):
    """The peer goes on with an SA that the engine has forgotten."""
    cell = next(cell for cell in CELLS if cell.caller == "ue" and cell.proto == "udp")
    with results.case("kernel: ESP of a deleted SA is dropped as unknown_spi"):
        bed.gmespctl("sa", "delete", "dir", "in", "spi", hex(cell.inbound.spi))
        expect_lost(bed, guest, cell.proto, (cell.ue, cell.pcscf), "unknown_spi")


def run_cases(results):
    with lab.Lab(ue_is_guest=True, workers=2) as bed:
        guest, core = bed.boot_guest(), bed.start_core_sockets()
        install(bed, guest)
        start_echoes(guest, core)
        for family in (4, 6):
            with results.case(f"kernel: ping ipv{family}, addresses resolved through gmespd"):
                guest.run("busybox", "ping", f"-{family}", "-c", "2", "-W", "2",
                          lab.PCSCF[family])
        run_matrix(results, bed, guest, core)
        run_long(results, bed, guest)
        check_counts(results, bed, guest)
        run_cleartext(results, bed, guest, core)
        run_quoted(results, bed, guest)
        run_deleted(results, bed, guest)
        with results.case("kernel: no frame unaccounted for"):
            bed.check_conservation()


if __name__ == "__main__":
    report.run(run_cases)
