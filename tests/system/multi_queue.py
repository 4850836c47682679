#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Several workers on devices with several queues: many UEs, both directions, nothing lost, and
`status` tells how packets came to the worker that owns their UE.

  af_packet  qpairs=2 on either side: the kernel spreads by a hash of its own (packet fanout)
  tap        two queues behind the host port: the kernel follows the queue that last sent to a flow
  memif, vhost  a second gmespd (role ue) in front of the access port: its worker n sends into queue
             n, and knows the UE's worker by the same hash, so everything lands right

  jumbo      one queue, MTU 9000: one buffer per packet or a reason

No device of a test machine has RSS in hardware; tests/rss_test.cc has what NICs say of themselves.
"""

import hashlib
import hmac
import ipaddress
import json
import pathlib
import struct
import subprocess
import time

import lab
import report
import suites

WORKERS = 2
UES = 200
ROUNDS = 5
IN_FLIGHT = 50  # UEs at a time: no ring of a kernel-backed port overflows
ARRIVAL_SECONDS = 3
UE_PORT = 20000
FIRST_SPI = 0x10000
SUITE = next(suite for suite in suites.SUITES
             if (suite.alg, suite.ealg) == ("hmac-sha-1-96", "null"))
ICV_BYTES = 12
VHOST_MEGABYTES = 240  # two engines; virtio-user shares its memory, which takes hugepages
UDP = 17
ESP = 50
ETHERTYPE = {4: 0x0800, 6: 0x86DD}


class Ue:
    """The n-th UE, of IPv4 and IPv6 by turns, with an SA each way."""

    def __init__(self, number):
        self.family = 4 if number % 2 == 0 else 6
        first = ipaddress.ip_address("10.7.0.1" if self.family == 4 else "2001:db8:7::1")
        self.address = str(first + number * (1 if self.family == 4 else 1 << 64))
        ends = (self.address, UE_PORT), (lab.PCSCF[self.family], lab.PORT_PS)
        self.inbound = self._sa(FIRST_SPI + 2 * number, *ends)
        self.outbound = self._sa(FIRST_SPI + 2 * number + 1, *reversed(ends))

    @staticmethod
    def _sa(spi, src, dst):
        keys = suites.make_keys(SUITE, str(spi))
        return suites.Sa(spi, SUITE, keys, src[0], dst[0], "udp", src[1], dst[1])


def checksum(data):
    words = struct.unpack(f">{len(data) // 2}H", data)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def frame(sa, from_ue, protocol, content):
    """An Ethernet frame with the content behind its IP header."""
    ends = (lab.PCSCF_MAC, lab.UE_MAC) if from_ue else (lab.UE_MAC, lab.PCSCF_MAC)
    src, dst = ipaddress.ip_address(sa.src), ipaddress.ip_address(sa.dst)
    link = b"".join(bytes.fromhex(mac.replace(":", "")) for mac in ends)
    link += struct.pack(">H", ETHERTYPE[src.version])
    if src.version == 6:
        header = struct.pack(">IHBB", 6 << 28, len(content), protocol, 64)
        return link + header + src.packed + dst.packed + content
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(content), 7, 0, 64, protocol, 0)
    header += src.packed + dst.packed
    return link + header[:10] + struct.pack(">H", checksum(header)) + header[12:] + content


def datagram(sa, payload):
    length = 8 + len(payload)
    src, dst = ipaddress.ip_address(sa.src), ipaddress.ip_address(sa.dst)
    udp = struct.pack(">HHHH", sa.sport, sa.dport, length, 0)
    padded = udp + payload + bytes(len(payload) % 2)
    total = checksum(src.packed + dst.packed + struct.pack(">HH", UDP, length) + padded)
    return udp[:6] + struct.pack(">H", total or 0xFFFF) + payload


def protected(sa, number, plain):
    """ESP with NULL encryption (RFC 2410) and HMAC-SHA-1-96 (RFC 2404)."""
    padding = -(len(plain) + 2) % 4
    covered = struct.pack(">II", sa.spi, number) + plain
    covered += bytes(range(1, padding + 1)) + bytes((padding, UDP))
    return covered + hmac.new(sa.keys.auth, covered, hashlib.sha1).digest()[:ICV_BYTES]


class QueueLab(lab.Lab):
    """The usual test bed with other devices, and no UE interface where the access port needs none."""

    def __init__(self, access, host, workers=WORKERS):
        super().__init__(workers=workers)
        self._access, self._host = access, host

    def configuration(self, **values):
        text = super().configuration(**values)
        return (text.replace("net_af_packet0,iface=acc0", self._access)
                .replace("net_af_packet1,iface=hst0", self._host))

    def _make_network(self):
        super()._make_network()
        if "net_tap" in self._host:  # the engine makes hst0 itself
            lab.command("ip", "-n", self.engine, "link", "del", "hst0")

    def open_core(self):
        if "net_tap" not in self._host:
            return self.open_raw(self.core, "core0")
        lab.command("ip", "-n", self.engine, "link", "set", "hst0", "netns", self.core)
        lab.command("ip", "-n", self.core, "link", "set", "hst0", "up")
        return self.open_raw(self.core, "hst0")


class JumboLab(QueueLab):
    MTU = 9000

    def __init__(self, access, host):
        super().__init__(access, host, workers=1)

    def configuration(self, **values):
        text = super().configuration(**values)
        for device in (self._access, self._host):
            text = text.replace(f'"{device}"', f'"{device}"\nmtu = {self.MTU}')
        return text

    def _make_network(self):
        super()._make_network()
        for space, name in ((self.ue, "ue0"), (self.engine, "acc0"), (self.engine, "hst0"),
                            (self.core, "core0")):
            lab.command("ip", "-n", space, "link", "set", name, "mtu", str(self.MTU))


class TapLab(QueueLab):
    """Checksums verified: by the TAP's driver, which marks each frame for the engine."""

    def __init__(self):
        super().__init__("net_af_packet0,iface=acc0,qpairs=2", "net_tap1,iface=hst0")

    def configuration(self, **values):
        host = f'"{self._host}"'
        return super().configuration(**values).replace(host, f'{host}\nverify_checksums = "yes"')


class PairLab(QueueLab):
    """A second gmespd, role ue, between ue0 and the access port: ESP travels in shared memory."""

    MEMIF = ("net_memif0,role=server,socket={}/pair.sock,socket-abstract=no",
             "net_memif0,role=client,socket={}/pair.sock,socket-abstract=no")
    VHOST = ("net_vhost0,iface={}/pair.sock,queues=2",
             "virtio_user0,path={}/pair.sock,queues=2")

    def __init__(self, devices):
        super().__init__("", "net_af_packet1,iface=hst0,qpairs=2")
        self._devices = devices

    def _start_gmespd(self):
        self._access, far_end = (device.format(self.folder) for device in self._devices)
        super()._start_gmespd()
        socket = self.folder / "ue.sock"
        text = super().configuration(socket=socket, cpus=self._cpus, port_pc=1, port_ps=2)
        text = (text.replace('role = "pcscf"', 'role = "ue"')
                .replace(self._access, far_end)
                .replace("iface=hst0", "iface=acc0"))
        configuration = self.folder / "ue.toml"
        configuration.write_text(text)
        ue_engine = subprocess.Popen(
            ["ip", "netns", "exec", self.engine, str(lab.BUILD / "tools" / "gmespd"),
             "-c", str(configuration)], stdin=subprocess.DEVNULL, stdout=self._log,
            stderr=self._log, start_new_session=True)
        # The client end goes first, before gmespd behind it: see the order of callbacks.
        self.callback(ue_engine.wait, 10)
        self.callback(ue_engine.terminate)
        deadline = time.monotonic() + 20
        while not all(self.link_is_up(name) for name in ("gmespd.sock", "ue.sock")):
            report.check(ue_engine.poll() is None and time.monotonic() < deadline,
                         f"the engines do not meet: {self._gmespd_words()}")
            time.sleep(0.05)

    def ask(self, socket, *words, script=None):
        return subprocess.run(
            [str(lab.BUILD / "tools" / "gmespctl"), "-s", str(self.folder / socket), "-j", *words],
            input=script, capture_output=True, text=True, check=False, timeout=30)

    def link_is_up(self, socket):
        done = self.ask(socket, "status")
        return done.returncode == 0 and json.loads(done.stdout)["ports"][0]["link"] == "up"

    def add_sas(self, sas):
        super().add_sas(sas)
        opposite = {"in": "out", "out": "in"}
        script = "".join(sa.gmespctl(opposite[direction]) + "\n" for direction, sa in sas)
        report.check_equal(self.ask("ue.sock", "-f", "-", script=script).returncode, 0, "UE's SAs")


def receive_all(port, expected, what):
    """Every expected frame once; others (a kernel's own) may be among them."""
    missing = set(expected)
    report.check_equal(len(missing), len(expected), f"{what}: different frames sent")
    while missing:
        arrived = port.receive(ARRIVAL_SECONDS)
        report.check(arrived is not None, f"{what}: {len(missing)} of {len(expected)} lost")
        missing.discard(arrived)


def exchange_in_clear(ues, number, ue_port, core_port):
    """The same, seen from outside of two engines that face each other."""
    inbound, outbound = [], []
    for ue in ues:
        inbound.append(frame(ue.inbound, True, UDP, datagram(ue.inbound, b"REGISTER %d" % number)))
        outbound.append(frame(ue.outbound, False, UDP, datagram(ue.outbound, b"OK %d" % number)))
        ue_port.send(inbound[-1])
        core_port.send(outbound[-1])
    receive_all(core_port, inbound, f"round {number}, to the host")
    receive_all(ue_port, outbound, f"round {number}, to the UEs")


def exchange_one(ue, number, request, answer, ue_port, core_port):
    """These datagrams of one UE; `number` is the sequence number of both."""
    ue_port.send(frame(ue.inbound, True, ESP, protected(ue.inbound, number, request)))
    core_port.send(frame(ue.outbound, False, UDP, answer))
    receive_all(core_port, [frame(ue.inbound, True, UDP, request)], f"{len(request)} bytes in")
    receive_all(ue_port, [frame(ue.outbound, False, ESP, protected(ue.outbound, number, answer))],
                f"{len(answer)} bytes out")


def exchange(ues, number, ue_port, core_port):
    """One packet each way for every UE, `number` the sequence number of both."""
    inbound, outbound = [], []
    for ue in ues:
        request = datagram(ue.inbound, b"REGISTER %d" % number)
        answer = datagram(ue.outbound, b"200 OK %d" % number)
        ue_port.send(frame(ue.inbound, True, ESP, protected(ue.inbound, number, request)))
        core_port.send(frame(ue.outbound, False, UDP, answer))
        inbound.append(frame(ue.inbound, True, UDP, request))
        outbound.append(frame(ue.outbound, False, ESP, protected(ue.outbound, number, answer)))
    receive_all(core_port, inbound, f"round {number}, to the host")
    receive_all(ue_port, outbound, f"round {number}, to the UEs")


def install(bed, ues):
    bed.add_sas([pair for ue in ues for pair in (("in", ue.inbound), ("out", ue.outbound))])


def run_traffic(bed, ue_port, core_port, one_round=exchange):
    ues = [Ue(number) for number in range(UES)]
    install(bed, ues)
    before = bed.drops()
    for number in range(1, ROUNDS + 1):
        for first in range(0, UES, IN_FLIGHT):
            one_round(ues[first:first + IN_FLIGHT], number, ue_port, core_port)
    report.check_equal(bed.new_drops(before), {}, "drops")
    bed.check_conservation()


def ports_of(bed):
    (status,) = bed.gmespctl("status")
    return {port["port"]: port for port in status["ports"]}


def check_every_worker_served(bed):
    (stats,) = bed.gmespctl("stats")
    for worker in stats["workers"]:
        report.check(worker["protected_in"] > UES and worker["protected_out"] > UES,
                     f"worker {worker['worker']} had hardly any UEs: {worker}")
        report.check_equal(worker["protected_in"], worker["protected_out"],
                           "both directions of a UE at one worker")
    report.check_equal(stats["total"]["steered_for_tx"], 0, "each worker sends by its own queue")


def check_landing(port, packets):
    landed = port["rx_landed_right"], port["rx_steered"]
    report.check_equal(sum(landed), packets, f"{port['port']}: IP packets landed or steered")
    report.check_equal(port["rx_queues"], WORKERS, f"{port['port']}: receive queues")
    print(f"     {port['port']} ({port['driver']}): {landed[0]} landed right, {landed[1]} steered; "
          f"rss: {port['rss']}")
    return landed


def check_checksum_verdict(bed, core_port):
    """The device's word for a UDP checksum decides: one bit wrong, one drop."""
    for ue in (Ue(0), Ue(1)):
        before = bed.drops()
        right = datagram(ue.outbound, b"checksum")
        core_port.send(frame(ue.outbound, False, UDP, right[:-1] + bytes((right[-1] ^ 1,))))
        report.check_equal(bed.wait_for_drop(before, ARRIVAL_SECONDS), {"bad_checksum": 1},
                           f"IPv{ue.family} datagram with one bit wrong")


def af_packet(report_):
    with report_.case("multi_queue: two workers, af_packet with two queue pairs each side"), \
            QueueLab("net_af_packet0,iface=acc0,qpairs=2",
                     "net_af_packet1,iface=hst0,qpairs=2") as bed:
        run_traffic(bed, bed.open_raw(bed.ue, "ue0"), bed.open_core())
        check_every_worker_served(bed)
        for port in ports_of(bed).values():
            right, steered = check_landing(port, UES * ROUNDS)
            report.check(right > 0 and steered > 0, "the kernel's hash is not ours")
            report.check(port["rss"].startswith("software: "), port["rss"])


def tap(report_):
    with report_.case("multi_queue: two workers, a TAP of two queues behind the host port"), \
            TapLab() as bed:
        core_port = bed.open_core()
        run_traffic(bed, bed.open_raw(bed.ue, "ue0"), core_port)
        check_every_worker_served(bed)
        ports = ports_of(bed)
        check_landing(ports["access"], UES * ROUNDS)
        check_landing(ports["host"], UES * ROUNDS)
        report.check_equal(ports["host"]["rss"], "software: it has no indirection table", "rss")
        check_checksum_verdict(bed, core_port)


def pair(report_, name, devices):
    with report_.case(f"multi_queue: two engines of two workers, {name} of two queues"), \
            PairLab(devices) as bed:
        run_traffic(bed, bed.open_raw(bed.ue, "ue0"), bed.open_core(), exchange_in_clear)
        check_every_worker_served(bed)
        ports = ports_of(bed)
        _, steered = check_landing(ports["access"], UES * ROUNDS)
        report.check_equal(steered, 0, "both engines know a UE's worker by the same hash")
        check_landing(ports["host"], UES * ROUNDS)


def jumbo(report_):
    with report_.case("multi_queue: packets of 9000 bytes in one buffer, longer ones in two"), \
            JumboLab("net_af_packet0,iface=acc0", "net_af_packet1,iface=hst0") as bed:
        ue_port, core_port = bed.open_raw(bed.ue, "ue0"), bed.open_core()
        ues = [Ue(number) for number in range(2)]
        install(bed, ues)
        before = bed.drops()
        for ue in ues:
            header_bytes = 20 if ue.family == 4 else 40
            for number, esp_bytes in enumerate((9000 - header_bytes, 8000), start=1):
                # SPI, number, UDP header, payload, padding length, next header, ICV
                payload = bytes(esp_bytes - 8 - 8 - 2 - ICV_BYTES)
                request, answer = datagram(ue.inbound, payload), datagram(ue.outbound, payload)
                exchange_one(ue, number, request, answer, ue_port, core_port)
        report.check_equal(bed.new_drops(before), {}, "drops")
        # One byte more of plaintext is four more of ESP: over the access MTU.
        longest = datagram(ues[0].outbound, bytes(9000 - 20 - 8 - 8 - 2 - ICV_BYTES + 1))
        core_port.send(frame(ues[0].outbound, False, UDP, longest))
        for name in ("first", "second"):
            fragment = ue_port.receive(ARRIVAL_SECONDS)
            report.check(fragment is not None and len(fragment) <= 14 + 9000, f"{name} fragment")
        report.check_equal(bed.new_drops(before), {}, "drops")
        bed.check_conservation()


def free_hugepage_mb():
    pools = pathlib.Path("/sys/kernel/mm/hugepages").glob("hugepages-*kB")
    return sum(int(pool.name[10:-2]) * int((pool / "free_hugepages").read_text()) // 1024
               for pool in pools)


def run_cases(report_):
    jumbo(report_)
    af_packet(report_)
    tap(report_)
    pair(report_, "memif", PairLab.MEMIF)
    if free_hugepage_mb() >= VHOST_MEGABYTES:
        pair(report_, "vhost and virtio-user", PairLab.VHOST)
    else:
        print(f"     vhost and virtio-user left out: {VHOST_MEGABYTES} MB of hugepages are not free")


if __name__ == "__main__":
    report.run(run_cases)
