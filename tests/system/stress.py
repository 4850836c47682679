#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A running gmespd under stress: links that go down and up while packets are on their way, and a
process that is stopped for a while. Afterwards the same SAs serve all UEs as before, in both
directions, and every frame that came in went out or is counted.

  af_packet  the access port's interface goes down and up
  tap        so does the host's
  stopped    SIGSTOP, a flood of hostile packets and good ones meanwhile, SIGCONT
"""

import json
import os
import signal
import struct
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


def flap(traffic, namespace, interface, host_is_up, others=()):
    """Down and up again, with packets that find it down: they may be lost, nothing else is."""
    for _ in range(FLAPS):
        traffic.exchange()
        set_link(namespace, interface, "down")
        traffic.send_in(b"lost?")
        if host_is_up:
            traffic.send_out(b"lost?")  # uses a number of each SA up
        time.sleep(0.05)
        set_link(namespace, interface, "up")
        wait_for_carrier((namespace, interface), *others)
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


def run_cases(report_):
    for case in (access_link, host_link, stopped):
        case(report_)


if __name__ == "__main__":
    report.run(run_cases)
