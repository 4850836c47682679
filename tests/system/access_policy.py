#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The access policy on real links (TS 33.203 Annex J; PRV-20, PRV-21, R3): what pretends to be us
does not get to the kernel behind the host port, other hosts are out of reach, a flood is held to
its rate while others are served, and another policy takes its place under traffic."""

import threading
import time

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA,
                                ICMPv6NDOptDstLLAddr, ICMPv6NDOptPrefixInfo, ICMPv6NDOptSrcLLAddr,
                                IPv6, IPv6ExtHdrDestOpt)
from scapy.layers.l2 import ARP, Dot1Q, Ether

import lab
import report

HIDDEN = {4: "192.0.2.99", 6: "2001:db8::99"}
OTHER_UE = "192.0.2.11"
ROUTER, PHONE = "fe80::1", "fe80::10"
RATE_PER_SOURCE = 20
PATIENCE_SECONDS = 2
SILENCE_SECONDS = 0.2
FLOOD_SECONDS = 3
BROADCAST = "ff:ff:ff:ff:ff:ff"

RULES = """
[[policy.rule]]
name = "arp"
match = "arp"
[[policy.rule]]
name = "neighbour-discovery"
match = "nd"
[[policy.rule]]
name = "ping"
match = "icmp-echo"
direction = "in"
rate = 100
rate_per_source = {rate}
[[policy.rule]]
name = "sip"
match = "udp"
local_ports = [5060]
[[policy.rule]]
name = "sip-tcp"
match = "tcp"
local_ports = [5060]
"""

ROUTER_RULE = f"""
[[policy.rule]]
name = "router"
match = "nd-router"
direction = "in"
remote = ["{ROUTER}"]
"""


class PolicyLab(lab.Lab):
    def configuration(self, **values):
        everything = super().configuration(**values)
        before = everything[:everything.index("[[policy.rule]]")]
        prefixes = ", ".join(f'"{address}"' for address in lab.PCSCF.values())
        return (f"{before}own_prefixes = [{prefixes}]\nreachable = [{prefixes}]\n"
                + RULES.format(rate=RATE_PER_SOURCE))

    def file(self):
        return self.folder / "gmespd.toml"

    def policy(self):
        (answer,) = self.gmespctl("policy", "list")
        return answer

    def rule(self, name):
        return next(rule for rule in self.policy()["rules"] if rule["name"] == name)


def frame(packet, destination=lab.PCSCF_MAC):
    return bytes(Ether(src=lab.UE_MAC, dst=destination) / packet)


def advertisement(target):
    return (IPv6(src="fe80::10", dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=target, R=0, S=0, O=1)
            / ICMPv6NDOptDstLLAddr(lladdr=lab.UE_MAC))


def claims():
    """Everything by which a phone says that it has the P-CSCF's address."""
    own, ue = lab.PCSCF[4], lab.UE[4]
    for operation in (1, 2):
        for sender, target in ((own, ue), (own, own), ("0.0.0.0", own)):
            arp = ARP(op=operation, hwsrc=lab.UE_MAC, psrc=sender, hwdst=lab.PCSCF_MAC, pdst=target)
            yield frame(arp, BROADCAST)
            yield frame(Dot1Q(vlan=0) / arp, BROADCAST)
    own, ue = lab.PCSCF[6], lab.UE[6]
    yield frame(advertisement(own), BROADCAST)
    yield frame(IPv6(src="::", dst="ff02::1:ff00:1", hlim=255) / ICMPv6ND_NS(tgt=own), BROADCAST)
    yield frame(IPv6(src=own, dst=ue) / UDP(sport=5060, dport=5060))
    yield frame(IP(src=lab.PCSCF[4], dst=lab.UE[4]) / TCP(sport=5060, dport=5060))


def martians():
    own = lab.PCSCF[4]
    for source in ("127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"):
        yield frame(IP(src=source, dst=own) / UDP(sport=1, dport=5060))
    for source in ("::1", "::", "ff02::1"):
        yield frame(IPv6(src=source, dst=lab.PCSCF[6]) / UDP(sport=1, dport=5060))


def to_hidden_hosts():
    yield frame(ARP(op=1, hwsrc=lab.UE_MAC, psrc=lab.UE[4], pdst=HIDDEN[4]), BROADCAST)
    yield frame(IP(src=lab.UE[4], dst=HIDDEN[4]) / UDP(sport=1, dport=5060))
    yield frame(IP(src=lab.UE[4], dst="255.255.255.255") / UDP(sport=1, dport=5060))
    yield frame(IPv6(src=lab.UE[6], dst=HIDDEN[6]) / ICMPv6EchoRequest())
    yield frame(IPv6(src=lab.UE[6], dst="ff02::1:ff00:99", hlim=255) / ICMPv6ND_NS(tgt=HIDDEN[6]))
    yield frame(IPv6(src=lab.UE[6], dst="ff02::1") / ICMPv6EchoRequest())


def all_dropped(bed, ue, core, frames, reason):
    frames = list(frames)
    before = bed.drops()
    core.drain()
    for one in frames:
        ue.send(one)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sum(bed.new_drops(before).values()) < len(frames) and time.monotonic() < deadline:
        time.sleep(0.01)
    report.check_equal(bed.new_drops(before), {reason: len(frames)}, "drops")
    report.check(core.receive(SILENCE_SECONDS) is None, "a frame got to the core")


def passes(ue, core, one):
    core.drain()
    ue.send(one)
    got = core.receive(PATIENCE_SECONDS)
    report.check(got is not None and got[:len(one)] == one, "did not get to the core as it was")


def ping(source, number):
    return frame(IP(src=source, dst=lab.PCSCF[4]) / ICMP(id=7, seq=number))


def flood_is_held(bed, ue, core):
    """200 at once from one source: a second's worth passes, and another source has its own."""
    before, counted = bed.drops(), bed.rule("ping")
    core.drain()
    for number in range(200):
        ue.send(ping(lab.UE[4], number))
    got = 0
    while core.receive(SILENCE_SECONDS) is not None:
        got += 1
    refused = bed.new_drops(before).get("rate_of_source", 0)
    report.check_equal(got + refused, 200, "frames that passed or were refused")
    report.check(RATE_PER_SOURCE <= got <= 2 * RATE_PER_SOURCE, f"{got} passed")
    now = bed.rule("ping")
    report.check_equal((now["hits"] - counted["hits"], now["limited"] - counted["limited"]),
                       (200, refused), "hits and limited")
    passes(ue, core, ping(OTHER_UE, 1))


def of_a_router(source, destination="ff02::1", headers=None):
    """A router advertisement; headers: extension headers that hide it (RFC 7113)."""
    said = (ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptSrcLLAddr(lladdr=lab.UE_MAC)
            / ICMPv6NDOptPrefixInfo(prefix="2001:db8:bad::", prefixlen=64))
    said = headers / said if headers else said
    return frame(IPv6(src=source, dst=destination, hlim=255) / said, BROADCAST)


def no_phone_is_a_router(bed, ue, core):
    """Neighbour discovery passes all the while, an advertisement only from whom a rule names."""
    claims_to_be = [of_a_router(PHONE), of_a_router(PHONE, lab.PCSCF[6]),
                    of_a_router(PHONE, headers=IPv6ExtHdrDestOpt())]
    of_the_router = of_a_router(ROUTER)
    all_dropped(bed, ue, core, [*claims_to_be, of_the_router], "policy_default")
    text = bed.file().read_text()
    try:
        bed.file().write_text(text + ROUTER_RULE)
        bed.gmespctl("config", "reload")
        passes(ue, core, of_the_router)
        report.check_equal(bed.rule("router")["hits"], 1, "hits of the router's rule")
        all_dropped(bed, ue, core, claims_to_be, "policy_default")
        passes(ue, core, frame(advertisement(lab.UE[6])))
    finally:
        bed.file().write_text(text)
        bed.gmespctl("config", "reload")
    all_dropped(bed, ue, core, [of_the_router], "policy_default")


def reload_under_traffic(bed, ue, core):
    """Every frame of a stream is judged by one policy or the other; none is lost."""
    text = bed.file().read_text()
    refusing = text.replace("local_ports = [5060]", 'local_ports = [5060]\naction = "drop"')
    stop = threading.Event()
    sent = got = 0

    def drain():
        nonlocal got
        while not stop.is_set() or core.receive(SILENCE_SECONDS) is not None:
            while core.receive(0.01) is not None:
                got += 1

    before, stats, drops = bed.policy()["reloads"], bed.stats(), bed.drops()
    reader = threading.Thread(target=drain)
    reader.start()
    reloads = 0
    deadline = time.monotonic() + FLOOD_SECONDS
    try:
        while time.monotonic() < deadline:
            for _ in range(20):
                ue.send(frame(IP(src=lab.UE[4], dst=lab.PCSCF[4]) / UDP(sport=1, dport=5060)))
                sent += 1
            bed.file().write_text(refusing if reloads % 2 == 0 else text)
            bed.gmespctl("config", "reload")
            reloads += 1
    finally:
        stop.set()
        reader.join()
        bed.file().write_text(text)
        bed.gmespctl("config", "reload")
    # The last is one only where another policy was in use.
    report.check_equal(bed.policy()["reloads"], before + reloads + reloads % 2, "reloads")
    refused = bed.new_drops(drops).get("policy_rule", 0)
    passed = bed.stats()["bypassed_in"] - stats["bypassed_in"]
    report.check(reloads > 10 and passed > 0 and refused > 0, f"{reloads} reloads, {passed} passed")
    report.check_equal(passed + refused, sent, "frames that passed or were refused")
    bed.check_conservation()


def reload_is_refused_whole(bed):
    text, before = bed.file().read_text(), bed.policy()["rules"]
    try:
        for bad, code in ((text + "[sa]\nwindow = 128\n", "needs_restart: sa.window"),
                          (text.replace('"udp"', '"sctp"'), "policy.rule.match")):
            bed.file().write_text(bad)
            try:
                bed.gmespctl("config", "reload")
            except lab.LabError as refused:
                report.check(code.rsplit(" ", maxsplit=1)[-1] in str(refused), str(refused))
            else:
                raise report.Failure(f"accepted: {code}")
            names = [rule["name"] for rule in bed.policy()["rules"]]
            report.check_equal(names, [rule["name"] for rule in before], "rules in use")
    finally:
        bed.file().write_text(text)


def run_cases(results):
    with PolicyLab() as bed:
        ue, core = bed.open_raw(bed.ue, "ue0"), bed.open_raw(bed.core, "core0")
        with results.case("policy: nobody claims the P-CSCF's addresses by ARP, ND or as a source"):
            all_dropped(bed, ue, core, claims(), "spoofed_source")
            passes(ue, core, frame(ARP(op=2, hwsrc=lab.UE_MAC, psrc=lab.UE[4], pdst=lab.PCSCF[4])))
            passes(ue, core, frame(advertisement(lab.UE[6])))
        with results.case("policy: nothing comes from what is no source"):
            all_dropped(bed, ue, core, martians(), "martian_source")
        with results.case("policy: other hosts are out of reach and not asked for"):
            all_dropped(bed, ue, core, to_hidden_hosts(), "unreachable_host")
        with results.case("policy: no phone becomes the host's router, the router may be let in"):
            no_phone_is_a_router(bed, ue, core)
        with results.case("policy: a flood is held to its rate, others are served"):
            flood_is_held(bed, ue, core)
        with results.case("policy: another policy under traffic loses no frame"):
            reload_under_traffic(bed, ue, core)
        with results.case("policy: a file that is not accepted changes nothing"):
            reload_is_refused_whole(bed)


if __name__ == "__main__":
    report.run(run_cases)
