#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A running gmespd under stress: links that go down and up while packets are on their way, a
process that is stopped for a while, SAs and policies that come and go under traffic. Afterwards the
same SAs serve all UEs as before, in both directions, and every frame that came in went out or is
counted.

  af_packet  the access port's interface goes down and up
  tap        so does the host's
  stopped    SIGSTOP, a flood of hostile packets and good ones meanwhile, SIGCONT
  storm      thousands of SAs added and deleted, some of them while they have traffic
  reload     one policy after the other, hostile packets and good ones meanwhile
"""

import json
import os
import signal
import struct
import threading
import time

import lab
import multi_queue
import report

FLAPS = 5
UES = 40
HOSTILE = 400  # frames: a queue of af_packet holds them with the good ones
STOPPED_SECONDS = 1.5
SETTLE_SECONDS = 5
UNKNOWN_SPI = 0x7FFF0000
STORM_UES = 1000  # each has two SAs
UNDER_FIRE = 8  # of these UEs have traffic all the time
STORM_SECONDS = 6
RELOAD_SECONDS = 4
SILENCE_SECONDS = 0.3


class Traffic:
    """Rounds of one packet each way for every UE; numbers go on over whatever was lost."""

    def __init__(self, bed, ue_port, core_port):
        self.bed, self.ue_port, self.core_port = bed, ue_port, core_port
        self.ues = [multi_queue.Ue(number) for number in range(UES)]
        self.sent_in = self.sent_out = 0  # by each UE, to each UE
        multi_queue.install(bed, self.ues)

    def send_in(self, text):
        """A packet of every UE. Answers what is to arrive at the host."""
        self.sent_in += 1
        plain = []
        for ue in self.ues:
            request = multi_queue.datagram(ue.inbound, text)
            content = multi_queue.protected(ue.inbound, self.sent_in, request)
            try_to_send(self.ue_port, multi_queue.frame(ue.inbound, True, multi_queue.ESP, content))
            plain.append(multi_queue.frame(ue.inbound, True, multi_queue.UDP, request))
        return plain

    def send_out(self, text):
        """A packet to every UE. Answers what is to arrive there."""
        self.sent_out += 1
        esp = []
        for ue in self.ues:
            answer = multi_queue.datagram(ue.outbound, text)
            self.core_port.send(multi_queue.frame(ue.outbound, False, multi_queue.UDP, answer))
            content = multi_queue.protected(ue.outbound, self.sent_out, answer)
            esp.append(multi_queue.frame(ue.outbound, False, multi_queue.ESP, content))
        return esp

    def exchange(self):
        text = b"%d" % self.sent_in
        plain, esp = self.send_in(b"REGISTER " + text), self.send_out(b"200 OK " + text)
        multi_queue.receive_all(self.core_port, plain, f"round {text}, to the host")
        multi_queue.receive_all(self.ue_port, esp, f"round {text}, to the UEs")

    def settle(self):
        """Waits until nothing is on its way any more."""
        deadline = time.monotonic() + SETTLE_SECONDS
        before = None
        while (now := received_of(self.bed.stats())) != before:
            report.check(time.monotonic() < deadline, "packets arrive for ever")
            before = now
            time.sleep(0.2)
        for port in (self.ue_port, self.core_port):
            port.drain()


def received_of(stats):
    return [stats[port]["rx_packets"] for port in ("access", "host")]


def try_to_send(port, frame):
    try:
        port.send(frame)
    except OSError:
        pass  # the link is down


def set_link(namespace, interface, state):
    lab.command("ip", "-n", namespace, "link", "set", interface, state)


def wait_for_carrier(*links):
    """The kernel looks at links once a second, and throws away what is sent before."""
    deadline = time.monotonic() + SETTLE_SECONDS
    for namespace, interface in links:
        while json.loads(lab.command("ip", "-n", namespace, "-j", "link", "show", "dev",
                                     interface))[0]["operstate"] not in ("UP", "UNKNOWN"):
            report.check(time.monotonic() < deadline, f"{interface} has no carrier")
            time.sleep(0.02)


def wait_for_status(bed, port, link):
    """Until `status` says so of the port. gmespd asks under its filter of system calls."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        (status,) = bed.gmespctl("status")
        (said,) = (one["link"] for one in status["ports"] if one["port"] == port)
        if said == link:
            return
        report.check(time.monotonic() < deadline, f"{port}: link {said} instead of {link}")
        time.sleep(0.02)


def flap(traffic, namespace, interface, host_is_up, others=()):
    """Down and up again, with packets that find it down: they may be lost, nothing else is."""
    for _ in range(FLAPS):
        traffic.exchange()
        set_link(namespace, interface, "down")
        traffic.send_in(b"lost?")
        if host_is_up:
            traffic.send_out(b"lost?")  # uses a number of each SA up
        time.sleep(0.05)
        # A TAP in another namespace is not to be seen from gmespd's.
        in_sight = namespace == traffic.bed.engine
        port = "access" if interface == "acc0" else "host"
        wait_for_status(traffic.bed, port, "down" if in_sight else "unknown")
        set_link(namespace, interface, "up")
        wait_for_carrier((namespace, interface), *others)
        wait_for_status(traffic.bed, port, "up" if in_sight else "unknown")
        if host_is_up:
            # A packet socket still has the error of the link that was down: DPDK's first kick fails,
            # and what it was for goes out with the next.
            traffic.send_out(b"late")
            time.sleep(0.05)
            traffic.send_out(b"late")
        traffic.settle()
        traffic.bed.check_gmespd()


def check_memory(bed, before):
    after = resident_kilobytes(bed)
    report.check(after <= before + 2048, f"resident memory grew from {before} to {after} KB")


def resident_kilobytes(bed):
    with open(f"/proc/{bed.pid()}/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1])


def access_link(report_):
    with report_.case("stress: the access link goes down and up under traffic"), \
            multi_queue.QueueLab("net_af_packet0,iface=acc0", "net_af_packet1,iface=hst0",
                                 workers=1) as bed:
        traffic = Traffic(bed, bed.open_raw(bed.ue, "ue0"), bed.open_core())
        flap(traffic, bed.engine, "acc0", host_is_up=True, others=((bed.ue, "ue0"),))
        traffic.exchange()
        bed.check_conservation()


def host_link(report_):
    with report_.case("stress: the TAP of the host goes down and up under traffic"), \
            multi_queue.QueueLab("net_af_packet0,iface=acc0", "net_tap1,iface=hst0",
                                 workers=1) as bed:
        traffic = Traffic(bed, bed.open_raw(bed.ue, "ue0"), bed.open_core())
        flap(traffic, bed.core, "hst0", host_is_up=False)
        traffic.exchange()
        bed.check_conservation()


def hostile_frame(ue, number):
    esp = struct.pack(">II", UNKNOWN_SPI + number, number) + bytes(64)
    return multi_queue.frame(ue.inbound, True, multi_queue.ESP, esp)


def stopped(report_):
    with report_.case("stress: a process that is stopped and continued serves what has come"), \
            multi_queue.QueueLab("net_af_packet0,iface=acc0", "net_af_packet1,iface=hst0",
                                 workers=1) as bed:
        traffic = Traffic(bed, bed.open_raw(bed.ue, "ue0"), bed.open_core())
        traffic.exchange()
        memory = resident_kilobytes(bed)
        for _ in range(3):
            before = bed.drops()
            os.kill(bed.pid(), signal.SIGSTOP)
            try:
                for number in range(HOSTILE):
                    traffic.ue_port.send(hostile_frame(traffic.ues[number % UES], number))
                started = time.monotonic()
                time.sleep(STOPPED_SECONDS)
            finally:
                os.kill(bed.pid(), signal.SIGCONT)
            traffic.exchange()
            report.check(time.monotonic() - started < STOPPED_SECONDS + 10, "it went on at once")
            traffic.settle()
            report.check_equal(bed.new_drops(before), {"unknown_spi": HOSTILE}, "drops")
        check_memory(bed, memory)
        check_audit(bed)
        bed.check_conservation()


def check_audit(bed):
    """RFC 4303 4: a sample of the flood was told, the rest is counted, nothing was lost."""
    (audit,) = bed.gmespctl("audit", "status")
    report.check_equal(audit["recorded"] + audit["left_out"], 3 * HOSTILE, "audited packets")
    report.check_equal(audit["lost"], 0, "records lost")
    report.check(audit["recorded"] >= audit["per_second"], "a sample of each second")
    bed.gmespctl("audit", "off")
    report.check_equal(bed.gmespctl("audit", "status")[0]["enabled"], False, "audit off")


class Repeated:
    """Does something again and again on a thread of its own until left; its error is then ours."""

    def __init__(self, action):
        self._action, self._stop, self._error = action, threading.Event(), None
        self.times = 0
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            while not self._stop.is_set():
                self._action()
                self.times += 1
        except Exception as error:
            self._error = error

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._stop.set()
        self._thread.join()
        if self._error and kind is None:
            raise self._error


class Storm(Traffic):
    """The good traffic, and packets of UEs whose SAs come and go meanwhile."""

    def __init__(self, bed, ue_port, core_port):
        super().__init__(bed, ue_port, core_port)
        passing = [multi_queue.Ue(UES + number) for number in range(STORM_UES)]
        sas = [pair for ue in passing for pair in (("in", ue.inbound), ("out", ue.outbound))]
        self._script = "".join(f"{sa.gmespctl(direction)}\n" for direction, sa in sas)
        self._script += "".join(f"sa delete dir {direction} spi {sa.spi:#x} dst {sa.dst}\n"
                                for direction, sa in sas)
        self._under_fire = passing[::STORM_UES // UNDER_FIRE]
        self._spis = {ue.outbound.spi for ue in self._under_fire}
        self._plain = set()  # what may arrive at the host, once
        self.fired = self.got_in = self.got_out = 0

    def add_and_delete(self):
        """Every command is answered, and with success."""
        self.bed.gmespctl("-f", "-", script=self._script)

    def fire(self):
        self.fired += 1
        text = b"storm %d" % self.fired
        for ue in self._under_fire:
            request = multi_queue.datagram(ue.inbound, text)
            content = multi_queue.protected(ue.inbound, self.fired, request)
            self.ue_port.send(multi_queue.frame(ue.inbound, True, multi_queue.ESP, content))
            self._plain.add(multi_queue.frame(ue.inbound, True, multi_queue.UDP, request))
            self.core_port.send(multi_queue.frame(ue.outbound, False, multi_queue.UDP,
                                                  multi_queue.datagram(ue.outbound, text)))

    def exchange(self):
        text = b"%d" % self.sent_in
        self.fire()
        plain, esp = set(self.send_in(b"REGISTER " + text)), set(self.send_out(b"200 OK " + text))
        for port, missing, judge in ((self.core_port, plain, self._judge_plain),
                                     (self.ue_port, esp, self._judge_esp)):
            while missing:
                arrived = port.receive(multi_queue.ARRIVAL_SECONDS)
                report.check(arrived is not None, f"round {text}: {len(missing)} good ones lost")
                if arrived in missing:
                    missing.remove(arrived)
                else:
                    judge(arrived)

    def take_the_rest(self):
        for port, judge in ((self.core_port, self._judge_plain), (self.ue_port, self._judge_esp)):
            while (arrived := port.receive(SILENCE_SECONDS)) is not None:
                judge(arrived)

    def _judge_plain(self, arrived):
        report.check(arrived in self._plain, f"at the host, never sent: {arrived.hex()}")
        self._plain.remove(arrived)
        self.got_in += 1

    def _judge_esp(self, arrived):
        """An SA that has come again counts from 1, so only whose packet it is can be said."""
        v4 = arrived[14] >> 4 == 4
        protocol, content = (arrived[23], arrived[34:]) if v4 else (arrived[20], arrived[54:])
        report.check(protocol == multi_queue.ESP, f"in clear on the access side: {arrived.hex()}")
        (spi,) = struct.unpack_from(">I", content)
        report.check(spi in self._spis, f"SPI {spi:#x} on the access side")
        self.got_out += 1


def storm(report_):
    with report_.case("stress: SAs come and go by thousands, under traffic of their own and not"), \
            multi_queue.QueueLab("net_af_packet0,iface=acc0", "net_af_packet1,iface=hst0",
                                 workers=1) as bed:
        traffic = Storm(bed, bed.open_raw(bed.ue, "ue0"), bed.open_core())
        traffic.add_and_delete()  # takes the memory that is kept
        memory, before = resident_kilobytes(bed), bed.drops()
        with Repeated(traffic.add_and_delete) as storms:
            deadline = time.monotonic() + STORM_SECONDS
            while storms.times < 2 or time.monotonic() < deadline:
                report.check(time.monotonic() < deadline + 60, f"{storms.times} storms in a minute")
                traffic.exchange()
        traffic.take_the_rest()
        sent, new = traffic.fired * UNDER_FIRE, bed.new_drops(before)
        # RFC 4301 5.1, 5.2: without its SA a packet is dropped, on either side.
        report.check_equal(new, {"unknown_spi": sent - traffic.got_in,
                                 "cleartext_on_protected_port": sent - traffic.got_out}, "drops")
        report.check(min(traffic.got_in, traffic.got_out) > 0, "no SA was there for its packets")
        (count,) = bed.gmespctl("sa", "count")
        report.check_equal(count, {"in": UES, "out": UES, "total": 2 * UES, "installing": 0,
                                   "deleting": 0}, "SAs left")
        check_memory(bed, memory)
        bed.check_conservation()
        print(f"     {storms.times} times {2 * STORM_UES} SAs; {traffic.got_in} in and "
              f"{traffic.got_out} out of {sent} packets met theirs")


def forged(ue):
    """Its SA's next number but no good ICV: nothing may move the window."""
    esp = struct.pack(">II", ue.inbound.spi, 0x7FFFFFFF) + bytes(64)
    return multi_queue.frame(ue.inbound, True, multi_queue.ESP, esp)


def in_clear(ue):
    text = multi_queue.datagram(ue.inbound, b"in clear")
    return multi_queue.frame(ue.inbound, True, multi_queue.UDP, text)


def reload(report_):
    with report_.case("stress: policies come and go under hostile packets, good ones pass"), \
            multi_queue.QueueLab("net_af_packet0,iface=acc0", "net_af_packet1,iface=hst0",
                                 workers=1) as bed:
        traffic = Traffic(bed, bed.open_raw(bed.ue, "ue0"), bed.open_core())
        file = bed.folder / "gmespd.toml"
        texts = [file.read_text()]
        texts.append(texts[0] + '[[policy.rule]]\nname = "rest"\nmatch = "any"\naction = "drop"\n')

        def reload_the_other():
            texts.reverse()
            file.write_text(texts[0])
            bed.gmespctl("config", "reload")

        reload_the_other()
        memory, before = resident_kilobytes(bed), bed.drops()
        rounds = 0
        with Repeated(reload_the_other) as reloads:
            deadline = time.monotonic() + RELOAD_SECONDS
            while reloads.times < 10 or time.monotonic() < deadline:
                report.check(time.monotonic() < deadline + 60, f"{reloads.times} in a minute")
                for number, ue in enumerate(traffic.ues):
                    for hostile in (hostile_frame(ue, number), forged(ue), in_clear(ue)):
                        traffic.ue_port.send(hostile)
                traffic.exchange()
                rounds += 1
        traffic.settle()
        each = rounds * UES
        report.check_equal(bed.new_drops(before), {"unknown_spi": each, "icv_mismatch": each,
                                                   "cleartext_on_protected_port": each}, "drops")
        check_memory(bed, memory)
        bed.check_conservation()


def run_cases(report_):
    for case in (access_link, host_link, stopped, storm, reload):
        case(report_)


if __name__ == "__main__":
    report.run(run_cases)
