#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Part of tools/run: what the wire carried, judged by tshark, against what SIPp counted.

usage: report.py FOLDER

A transaction is a SIP request with its final response (RFC 3261 17; an ACK to a 2xx is none). It
counts as protected only when SIPp finished it and tshark, with the keys of the run, saw its request
and its final response inside ESP packets whose ICV is good. Exit status 0 only if that holds for
every transaction that was asked for, nothing of SIP was seen outside ESP, and both gmespd counted
the packets that the wire carried.
"""

import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

SCENARIOS = pathlib.Path(__file__).parent
PORT_PS = "5063"
PORT_UNPROTECTED = "5060"
SUITES = {"aes-sha1": "AES-CBC + HMAC-SHA-1", "null-md5": "NULL + HMAC-MD5"}


def tshark(capture, display_filter, fields, options=(), config=None):
    """A row of `fields` for each packet that the filter takes; values of one field joined by |."""
    with tempfile.TemporaryDirectory() as empty:  # nobody's own settings may change the verdict
        command = ["tshark", "-n", "-r", capture, "-Y", display_filter, *options,
                   "-T", "fields", "-E", "aggregator=|"]
        for field in fields:
            command += ["-e", field]
        done = subprocess.run(command, capture_output=True, text=True,
                              env={**os.environ, "WIRESHARK_CONFIG_DIR": str(config or empty)})
    if done.returncode != 0:
        sys.exit(f"tshark cannot judge {capture}: {done.stderr.strip()}")
    return [dict(zip(fields, line.split("\t"))) for line in done.stdout.splitlines()]


def transactions_in(scenario):
    """Requests of a scenario file that wait for a final response: it alone says how many."""
    steps = xml.parse(SCENARIOS / f"{scenario}.xml").getroot().iter("recv")
    return sum(int(step.get("response")) >= 200 for step in steps)


def sipp_counts(folder):
    """(final responses received, requests sent again) by the last line of each of SIPp's counts."""
    finished = resent = 0
    for file in folder.glob("*_counts.csv"):
        with open(file, newline="") as text:
            *_, last = csv.DictReader(text, delimiter=";")
        for name, value in last.items():
            step = (name or "").split("_")  # such as 3_200_Recv, 0_INVITE_Retrans
            if step[-1] == "Recv" and step[1].isdigit() and int(step[1]) >= 200:
                finished += int(value)
            elif step[-1] == "Retrans" and not step[1].isdigit():
                resent += int(value)
    return finished, resent


class Combination:
    """One of {IPv4, IPv6} x {UDP, TCP} x suites: asked for, counted by SIPp, seen on the wire."""

    def __init__(self, folder, row):
        index, family, transport, suite, spi_up, spi_down, calls = row
        self.label = f"IPv{family}  {transport.upper()}  {SUITES[suite]}"
        self.spi_up, self.spi_down = int(spi_up), int(spi_down)
        self.asked = int(calls) * (transactions_in("register") + transactions_in("call"))
        self.finished, self.resent = sipp_counts(folder / "sipp" / index)
        self.packets = self.packets_up = self.bytes = self.bad_icv = 0
        self.times = []
        self.requests, self.answered = set(), set()

    def take(self, packet):
        """One ESP packet of this combination's two SAs, decrypted."""
        upwards = int(packet["esp.spi"], 0) == self.spi_up
        self.packets += 1
        self.packets_up += upwards
        self.bytes += int(packet["frame.len"])
        self.times.append(float(packet["frame.time_epoch"]))
        if packet["esp.icv_good"] not in ("1", "True"):
            self.bad_icv += 1
            return
        # A TCP segment can hold several messages: each has its Call-ID and CSeq, a response its
        # status too.
        messages = list(zip(packet["sip.Call-ID"].split("|"), packet["sip.CSeq"].split("|")))
        if upwards:
            self.requests |= {key for key in messages if key[1] and not key[1].endswith("ACK")}
        else:
            statuses = packet["sip.Status-Code"].split("|")
            self.answered |= {key for key, status in zip(messages, statuses)
                              if status and int(status) >= 200}

    @property
    def seen(self):
        return len(self.requests & self.answered)

    @property
    def protected(self):
        return min(self.seen, self.finished, self.asked)

    @property
    def seconds(self):
        return max(max(self.times, default=0) - min(self.times, default=0), 0.001)

    def is_exact(self):
        return self.asked == self.finished == self.seen


def read_esp(folder, combinations):
    """Gives each ESP packet to its combination; returns how many belonged to none."""
    by_spi = {spi: one for one in combinations for spi in (one.spi_up, one.spi_down)}
    options = []
    for preference in ("esp.enable_encryption_decode", "esp.enable_authentication_check",
                       "tcp.reassemble_out_of_order"):
        options += ["-o", f"{preference}:TRUE"]
    for transport in ("udp", "tcp"):
        options += ["-d", f"{transport}.port=={PORT_PS},sip"]
    fields = ["esp.spi", "frame.len", "frame.time_epoch", "esp.icv_good", "sip.Call-ID", "sip.CSeq",
              "sip.Status-Code"]
    strangers = 0
    for packet in tshark(folder / "wire.pcap", "esp", fields, options, folder / "wireshark"):
        combination = by_spi.get(int(packet["esp.spi"], 0))
        if combination:
            combination.take(packet)
        else:
            strangers += 1
    return strangers


def read_clear(folder):
    """(first REGISTERs, their challenges, packets in clear that should have been ESP).

    Judged by the IP protocol, not by readable bytes: NULL encryption is readable, and is ESP. ICMP
    and ND are no SIP unless they quote some. All else over IP that is not ESP counts as in clear.
    """
    beside_esp = '!esp && (((ip || ipv6) && !icmp && !icmpv6) || frame contains "SIP/2.0")'
    fields = ["udp.srcport", "udp.dstport", "sip.CSeq.method", "sip.Status-Code"]
    registers = challenges = in_clear = 0
    for packet in tshark(folder / "wire.pcap", beside_esp, fields):
        ports = {packet["udp.srcport"], packet["udp.dstport"]}
        if ports == {PORT_UNPROTECTED} and packet["sip.CSeq.method"] == "REGISTER":
            registers += packet["sip.Status-Code"] == ""
            challenges += packet["sip.Status-Code"] == "401"
        else:
            in_clear += 1
    return registers, challenges, in_clear


def drops(folder, end):
    """What one gmespd dropped, in words."""
    rows = json.loads((folder / f"{end}.drops").read_text())["drops"]
    return ", ".join(f"{row['count']} {row['reason']}" for row in rows if row["count"]) or "nothing"


def engines_agree(folder, up, down):
    """Whether both gmespd count as many packets protected and verified as the wire carried."""
    agree = True
    for end, sent, received in (("ue", up, down), ("pcscf", down, up)):
        total = json.loads((folder / f"{end}.stats").read_text())["total"]
        counted = total["protected_out"], total["protected_in"]
        if counted != (sent, received):
            print(f"gmespd {end}: counts {counted[0]} out and {counted[1]} in, "
                  f"the wire {sent} and {received}")
            agree = False
    return agree


def capture_loss(folder):
    """Packets that the kernel could not hand to tcpdump: a proof needs 0."""
    for line in (folder / "tcpdump.log").read_text().splitlines():
        if line.endswith("dropped by kernel"):
            return int(line.split()[0])
    sys.exit("tcpdump ended without its count of lost packets")


def print_table(combinations):
    def total(what):
        return sum(getattr(one, what) for one in combinations)

    head = (f"{'':<33}{'transactions':>14}{'resent':>8}{'ESP packets':>13}{'bytes':>11}"
            f"{'SIP/s':>7}{'packets/s':>11}")
    rule = "-" * len(head)
    print(f"\n{head}\n{rule}")
    for one in combinations:
        print(f"{one.label:<33}{one.protected:>6} of {one.asked:>4}{one.resent:>8}"
              f"{one.packets:>13,}{one.bytes:>11,}{one.seen / one.seconds:>7.0f}"
              f"{one.packets / one.seconds:>11.0f}")
    print(rule)
    print(f"{'all':<33}{total('protected'):>6} of {total('asked'):>4}{total('resent'):>8}"
          f"{total('packets'):>13,}{total('bytes'):>11,}\n")


def main(folder):
    with open(folder / "combinations", newline="") as rows:
        combinations = [Combination(folder, row) for row in csv.reader(rows, delimiter="\t")]
    strangers = read_esp(folder, combinations)
    registers, challenges, in_clear = read_clear(folder)
    lost = capture_loss(folder)
    bad = sum(one.bad_icv for one in combinations)
    good = sum(one.packets for one in combinations) - bad

    print_table(combinations)
    print(f"ESP on the wire   {good:,} packets with a good ICV, {bad} bad, "
          f"{strangers} of unknown SPI")
    print(f"before the SAs    {registers} REGISTERs in clear to port {PORT_UNPROTECTED}, "
          f"{challenges} challenged (401)")
    print(f"dropped, UE       {drops(folder, 'ue')}")
    print(f"dropped, P-CSCF   {drops(folder, 'pcscf')}")
    print(f"the capture       lost {lost} packets")
    up = sum(one.packets_up for one in combinations)
    agree = engines_agree(folder, up, good + bad - up)
    for one in combinations:
        if not one.is_exact():
            print(f"{one.label}: {one.asked} asked for, {one.finished} finished by SIPp, "
                  f"{one.seen} seen by tshark")

    asked, protected = (sum(getattr(one, what) for one in combinations)
                        for what in ("asked", "protected"))
    print(f"\nprotected {protected} of {asked} SIP transactions; {in_clear} SIP packets in clear")
    proven = (asked > 0 and agree and all(one.is_exact() for one in combinations)
              and in_clear == bad == strangers == lost == 0 and 0 < registers == challenges)
    return 0 if proven else 1


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
