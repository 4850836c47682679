#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Part of tools/run: what the wire carried, judged by tshark, and what the SIP programs counted.

usage: report.py FOLDER

A transaction is a SIP request with its final response (RFC 3261 17; an ACK to a 2xx is none). It
counts as protected only when SIPp (calls) or the UE (REGISTERs) finished it and tshark, with the
keys that the home network gave the P-CSCF, saw its request and its final response inside ESP
packets whose ICV is good. Exit status 0 only if that holds for every transaction that was asked
for, the hand-over lost no call and used both sets, the UEs that had to fail did, nothing of SIP but
first REGISTERs was seen outside ESP, and both gmespd counted the packets that the wire carried.
"""

import csv
import json
import pathlib
import sys
import xml.etree.ElementTree as xml

import wire

SCENARIOS = pathlib.Path(__file__).parent
SUITES = {"aes-sha1": "AES-CBC + HMAC-SHA-1", "null-md5": "NULL + HMAC-MD5"}
# REGISTERs through SAs: a first registration has SM7, one more time has SM1 as well.
FIRST_REGISTERS, AGAIN_REGISTERS = 1, 2
MOVING = {"moving-udp": "IPv4  UDP  registers again", "moving-tcp": "IPv6  TCP  registers again"}
IMPOSTOR, WRONG_RES = "impostor", "wrong-res"


def is_transaction(step):
    """A final response to a request of SIPp's, or a request that it answers."""
    return int(step) >= 200 if step.isdigit() else step != "ACK"


def transactions_in(scenario):
    """The scenario file alone says how many."""
    steps = xml.parse(SCENARIOS / f"{scenario}.xml").getroot().iter("recv")
    return sum(is_transaction(step.get("response") or step.get("request")) for step in steps)


def sipp_counts(folder):
    """(transactions finished, requests sent again) by the last line of SIPp's counts."""
    finished = resent = 0
    for file in folder.glob("*_counts.csv"):
        with open(file, newline="") as text:
            *_, last = csv.DictReader(text, delimiter=";")
        for name, value in last.items():
            step = (name or "").split("_")  # such as 3_200_Recv, 5_BYE_Recv, 0_INVITE_Retrans
            if step[-1] == "Recv" and is_transaction(step[1]):
                finished += int(value)
            elif step[-1] == "Retrans" and not step[1].isdigit():
                resent += int(value)
    return finished, resent


def registered_ues(file, name):
    """Rows of the UEs' own answers that end in 200: NAME, or NAME-number."""
    rows = (line.split("\t") for line in file.read_text().splitlines())
    return sum(row[1] == "200" and name in (row[0], row[0].rpartition("-")[0]) for row in rows)


class Set:
    """One SA set as the wire has it."""

    def __init__(self):
        self.up = self.down = self.bad = 0  # packets with a good ICV each way; with a bad one
        self.last = 0.0  # time of the last good one
        self.calls = set()  # Call-IDs of all but REGISTERs

    @property
    def packets(self):
        return self.up + self.down + self.bad


class Group:
    """UEs of one kind: what was asked of them, counted by SIPp and by them, seen on the wire."""

    def __init__(self, label, asked, finished, resent):
        self.label, self.asked, self.finished, self.resent = label, asked, finished, resent
        self.sets, self.bytes = [], 0
        self.requests, self.answered, self.statuses = set(), set(), []

    def take(self, one, upwards, packet):
        """One ESP packet of one of the sets' SAs, decrypted."""
        self.bytes += int(packet["frame.len"])
        if packet["esp.icv_good"] not in ("1", "True"):
            one.bad += 1
            return
        one.up, one.down = one.up + upwards, one.down + (not upwards)
        one.last = float(packet["frame.time_epoch"])
        # A TCP segment can hold several messages, requests or responses: each has its Call-ID and
        # CSeq, a response its status too.
        messages = list(zip(packet["sip.Call-ID"].split("|"), packet["sip.CSeq"].split("|")))
        one.calls |= {call for call, cseq in messages if cseq and not cseq.endswith("REGISTER")}
        statuses = [int(status) for status in packet["sip.Status-Code"].split("|") if status]
        self.statuses += statuses
        if statuses:
            self.answered |= {(key, not upwards) for key, status in zip(messages, statuses)
                              if status >= 200}
        else:
            self.requests |= {(key, upwards) for key in messages
                              if key[1] and not key[1].endswith("ACK")}

    @property
    def packets(self):
        return sum(one.packets for one in self.sets)

    @property
    def bad(self):
        return sum(one.bad for one in self.sets)

    @property
    def up(self):
        return sum(one.up for one in self.sets) + self.bad

    @property
    def seen(self):
        return len(self.requests & self.answered)

    @property
    def protected(self):
        return min(self.seen, self.finished, self.asked)

    def is_exact(self):
        return self.asked == self.finished == self.seen


def read_groups(folder):
    """Groups by the name of their UEs: ue0 to ue7, the UE that moved, those that had to fail."""
    groups = {}
    with open(folder / "combinations", newline="") as rows:
        for index, family, transport, suite, ues, calls in csv.reader(rows, delimiter="\t"):
            finished, resent = sipp_counts(folder / "sipp" / index)
            name = f"ue{index}"
            groups[name] = Group(
                f"IPv{family}  {transport.upper()}  {SUITES[suite]}",
                FIRST_REGISTERS * int(ues) + int(calls) * transactions_in("call"),
                registered_ues(folder / "registered", name) + finished, resent)
    calls = int((folder / "moving-calls").read_text())
    both = FIRST_REGISTERS + AGAIN_REGISTERS
    for index, (name, label) in enumerate(MOVING.items(), len(groups)):
        finished, resent = sipp_counts(folder / "sipp" / str(index))
        twice = registered_ues(folder / "moving", name) == 2
        groups[name] = Group(label, both + calls * transactions_in("call"),
                             twice * both + finished, resent)
    groups[IMPOSTOR] = Group("one that does not know K", 0, 0, 0)
    groups[WRONG_RES] = Group("one with another RES", FIRST_REGISTERS, FIRST_REGISTERS, 0)
    return groups


def read_sets(folder, groups):
    """SPI -> (group, set, whether its packets go to the P-CSCF)."""
    by_spi = {}
    with open(folder / "sets", newline="") as rows:
        for _, impi, *spis in csv.reader(rows, delimiter="\t"):
            name = impi.partition("@")[0]
            group = groups[name if name in groups else name.rpartition("-")[0]]
            one = Set()
            group.sets.append(one)
            for place, spi in enumerate(spis):  # those that arrive at the P-CSCF are first
                by_spi[int(spi)] = group, one, place < 2
    return by_spi


def read_esp(folder, by_spi):
    """Gives each ESP packet to its set; returns how many belonged to none."""
    strangers = 0
    for packet in wire.esp_packets(folder):
        if found := by_spi.get(int(packet["esp.spi"], 0)):
            group, one, upwards = found
            group.take(one, upwards, packet)
        else:
            strangers += 1
    return strangers


def drops(folder, end):
    """What one gmespd dropped, in words."""
    rows = json.loads((folder / f"{end}.drops").read_text())["drops"]
    return ", ".join(f"{row['count']} {row['reason']}" for row in rows if row["count"]) or "nothing"


def engines_agree(folder, up, down, refused):
    """Whether both gmespd count as many packets protected and verified as the wire carried; what
    the P-CSCF's refused is not verified."""
    agree = True
    for end, sent, received in (("ue", up, down), ("pcscf", down, up - refused)):
        total = json.loads((folder / f"{end}.stats").read_text())["total"]
        counted = total["protected_out"], total["protected_in"]
        if counted != (sent, received):
            print(f"gmespd {end}: counts {counted[0]} out and {counted[1]} in, "
                  f"the wire {sent} and {received}")
            agree = False
    return agree


def print_table(groups):
    def total(what):
        return sum(getattr(one, what) for one in groups)

    head = (f"{'':<33}{'transactions':>14}{'resent':>8}{'sets':>6}{'ESP packets':>13}"
            f"{'to P-CSCF':>11}{'bytes':>11}")
    rule = "-" * len(head)
    print(f"\n{head}\n{rule}")
    for one in groups:
        print(f"{one.label:<33}{one.protected:>6} of {one.asked:>4}{one.resent:>8}"
              f"{len(one.sets):>6}{one.packets:>13,}{one.up:>11,}{one.bytes:>11,}")
    print(rule)
    print(f"{'all':<33}{total('protected'):>6} of {total('asked'):>4}{total('resent'):>8}"
          f"{sum(len(one.sets) for one in groups):>6}{total('packets'):>13,}"
          f"{total('up'):>11,}{total('bytes'):>11,}\n")


def judge_hand_over(moving):
    """True: both sets have carried packets both ways, calls have gone on from the one to the
    other, and the new one has the last word."""
    words = f"hand-over, {moving.label[6:9]}    "
    if len(moving.sets) != 2:
        print(f"{words}{len(moving.sets)} sets instead of 2")
        return False
    old, new = moving.sets
    if not (old.up and old.down and new.up and new.down):
        print(f"{words}a set has carried nothing one way")
        return False
    moved = len(old.calls & new.calls)
    print(f"{words}{old.packets:,} packets on the old set, {new.packets:,} on the new; {moved} "
          "calls began on the one and ended on the other; "
          f"{moving.asked - moving.protected} transactions lost")
    return moved > 0 and new.last > old.last


def judge_refused(folder, groups):
    """True: the impostor's packets failed the ICV, and those alone; the other heard 403 (INT-61,
    INT-62)."""
    with open(folder / "refused", newline="") as rows:
        refused = {name: (status, int(dropped))
                   for name, status, dropped in csv.reader(rows, delimiter="\t")}
    impostor, wrong = groups[IMPOSTOR], groups[WRONG_RES]
    print(f"no K              {impostor.bad} packets with a bad ICV, "
          f"{refused[IMPOSTOR][1]} dropped for it, {impostor.packets - impostor.bad} others")
    print(f"another RES       {wrong.statuses} through its SAs")
    return (impostor.bad == impostor.packets == refused[IMPOSTOR][1] > 0
            and refused[IMPOSTOR][0] == "0" and refused[WRONG_RES] == ("403", 0)
            and wrong.statuses == [403])


def main(folder):
    groups = read_groups(folder)
    strangers = read_esp(folder, read_sets(folder, groups))
    registers, challenges, in_clear = wire.read_clear(folder)
    lost = wire.capture_loss(folder)
    rows = list(groups.values())
    bad = sum(one.bad for one in rows)
    packets = sum(one.packets for one in rows)

    print_table([one for one in rows if one.asked])
    print(f"ESP on the wire   {packets - bad:,} packets with a good ICV, {bad} bad, "
          f"{strangers} of unknown SPI")
    moved = all([judge_hand_over(groups[name]) for name in MOVING])
    refused = judge_refused(folder, groups)
    print(f"before the SAs    {registers} REGISTERs in clear to port {wire.PORT_UNPROTECTED}, "
          f"{challenges} challenged (401)")
    print(f"dropped, UE       {drops(folder, 'ue')}")
    print(f"dropped, P-CSCF   {drops(folder, 'pcscf')}")
    print(f"the capture       lost {lost} packets")
    up = sum(one.up for one in rows)
    agree = engines_agree(folder, up, packets - up, bad)
    for one in rows:
        if not one.is_exact():
            print(f"{one.label}: {one.asked} asked for, {one.finished} finished by the SIP "
                  f"programs, {one.seen} seen by tshark")

    asked, protected = (sum(getattr(one, what) for one in rows) for what in ("asked", "protected"))
    print(f"\nprotected {protected} of {asked} SIP transactions; {in_clear} SIP packets in clear")
    proven = (asked > 0 and agree and moved and refused and all(one.is_exact() for one in rows)
              and bad == groups[IMPOSTOR].bad and in_clear == strangers == lost == 0
              and 0 < registers == challenges)
    return 0 if proven else 1


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
