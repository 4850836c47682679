#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Registrations as on the air, through two gmespd: real AKA, Security-* headers, SM1 to SM12,
again, refreshed, ended, and every way in which they fail. Each case has a UE of its own, and is run
over UDP and TCP, IPv4 and IPv6."""

import asyncio

import report
import sip_failures
import two_ends
from two_ends import SLACK_S, refresh_over_the_current_set, registered, registers

CASE_SECONDS = 30
AT_ONCE = 12
HOW = ((4, "udp"), (6, "tcp"), (4, "tcp"), (6, "udp"))


def numbers(row):
    """Addresses, ports and SPIs: what both ends must have the same of."""
    return {key: value for key, value in row.items()
            if key.startswith(("ue", "pcscf")) or key in ("alg", "ealg")}


# INT-07, INT-31, INT-35, INT-50, INT-51, INT-52, INT-54, INT-55: agreed in SM1 and SM6, both ends
# have the same numbers. INT-53: SM7 comes at once after the 401, and none is lost. INT-56, INT-58,
# INT-59: SM7 and the 200 OK go through the new SAs.
async def initial(bed, family, transport):
    before = bed.drops("pcscf")
    phone = await registered(bed, family, transport)
    report.check_equal([status for _, status in registers(phone)],
                       ["REGISTER", 401, "REGISTER", 200], "sent and received")
    (ours,), (theirs,) = await bed.sets("ue", phone), await bed.sets("pcscf", phone)
    report.check_equal(numbers(ours), numbers(theirs), "numbers of both ends")
    report.check_equal((ours["state"], theirs["state"]), ("established", "established"), "states")
    report.check_equal((theirs["alg"], theirs["ealg"]), ("hmac-sha-1-96", "aes-cbc"), "suite")
    packets = {sa["dir"]: 0 for sa in theirs["sas"]}
    for sa in theirs["sas"]:
        packets[sa["dir"]] += sa["packets"]
    report.check(packets["in"] > 0 and packets["out"] > 0, f"packets through the set: {packets}")
    report.check_equal(len(theirs["sas"]), 4, "SAs of the set (SPEC 0.1)")
    report.check_equal({reason: count - before[reason] for reason, count in
                        bed.drops("pcscf").items() if count != before[reason]}, {}, "new drops")


# INT-70, INT-72, INT-73, INT-74, PUB-01, PUB-03, PUB-04, PUB-11, JNT-1, JNT-5: SM1 over the old
# set, SM7 over the new one beside it; port_us stays, port_uc and port_pc change; the old set serves
# until something comes over the new one, and is gone 64*T1 later.
async def again(bed, family, transport):
    phone = await registered(bed, family, transport)
    (old,) = await bed.sets("pcscf", phone)
    outcome = await phone.register()
    report.check_equal(outcome.status, 200, "status of the second registration")
    was, new = await bed.sets("pcscf", phone)
    report.check_equal((was["handle"], new["state"]), (old["handle"], "established"), "the sets")
    if transport == "udp":  # over TCP the acknowledgement of the 200 OK is a first packet already
        report.check_equal((was["state"], new["in_use"]), ("established", False), "before its use")
    report.check_equal(new["over"], old["handle"], "the set that protected SM1")
    report.check_equal(new["ue_port_s"], old["ue_port_s"], "port_us")
    report.check(new["ue_port_c"] != old["ue_port_c"], "port_uc is the old one")
    report.check(new["pcscf_port_c"] != old["pcscf_port_c"], "port_pc is the old one")
    await refresh_over_the_current_set(bed, phone)
    report.check_equal(await bed.states("pcscf", phone), ["old", "established"], "after first use")
    report.check_equal(await bed.wait_for_states("pcscf", phone, ["established"],
                                                 two_ends.OLD_S + SLACK_S),
                       ["established"], "after 64*T1")
    report.check_equal(await bed.wait_for_states("ue", phone, ["established"],
                                                 two_ends.OLD_S + SLACK_S),
                       ["established"], "at the UE")


# PUB-06, INT-70: without a challenge the set that protected the REGISTER lives longer, no other
# comes of it.
async def refresh(bed, family, transport):
    phone = await registered(bed, family, transport)
    (before,) = await bed.sets("pcscf", phone)
    await asyncio.sleep(0.2)
    await refresh_over_the_current_set(bed, phone)
    (after,) = await bed.sets("pcscf", phone)
    report.check_equal(after["handle"], before["handle"], "the set")
    report.check(after["left_ms"] > before["left_ms"] - 150, "its lifetime was not extended")
    report.check_equal(len(await bed.sets("ue", phone)), 1, "sets of the UE")


# PUB-07: the 200 OK still goes out protected; 64*T1 later nothing is left.
async def deregistration(bed, family, transport):
    phone = await registered(bed, family, transport)
    bed.unchallenged.add(phone.impi)
    outcome = await phone.register(expires=0)
    report.check_equal(outcome.status, 200, "status")
    report.check_equal(await bed.states("pcscf", phone), ["old"], "states")
    for end in two_ends.ENDS:
        report.check_equal(await bed.wait_for_states(end, phone, [], two_ends.OLD_S + SLACK_S), [],
                           f"sets of the {end} end after 64*T1")


# PUB-07 with a challenge: the new set carries the 200 OK too.
async def deregistration_challenged(bed, family, transport):
    phone = await registered(bed, family, transport)
    outcome = await phone.register(expires=0)
    report.check_equal(outcome.status, 200, "status")
    for end in two_ends.ENDS:
        report.check_equal(await bed.wait_for_states(end, phone, [], two_ends.OLD_S + SLACK_S), [],
                           f"sets of the {end} end after 64*T1")


# INT-71, JNT-3 (case 3): in clear at any time; it is challenged, and ends every set before it.
async def again_in_clear(bed, family, transport):
    phone = await registered(bed, family, transport)
    (old,) = await bed.sets("pcscf", phone)
    outcome = await phone.register(in_clear=True)
    report.check_equal(outcome.status, 200, "status")
    report.check_equal([status for _, status in registers(phone)][-3:], [401, "REGISTER", 200],
                       "sent and received")
    (left,) = await bed.sets("pcscf", phone)
    report.check(left["handle"] != old["handle"], "the old set is still the one")


CASES = (again, refresh, deregistration, deregistration_challenged, again_in_clear,
         *sip_failures.CASES)


async def run_all(results, bed):
    """Most of a case is waiting for deadlines, and each has a UE of its own: several at a time. The
    first one by itself, because it counts everything that is dropped."""
    await bed.start_programs()
    for family, transport in HOW[:2]:  # so that both kernels know their neighbours
        await (await bed.phone(family, transport)).register()
    gate = asyncio.Semaphore(AT_ONCE)

    async def run(case, family, transport):
        async with gate:
            with results.case(f"sip: {case.__name__} ipv{family} {transport}"):
                await asyncio.wait_for(case(bed, family, transport), CASE_SECONDS)
                bed.check_gmespd()

    for how in HOW:
        await run(initial, *how)
    await asyncio.gather(*(run(case, *how) for case in CASES for how in HOW))


def run_cases(results):
    with two_ends.TwoEnds() as bed:
        asyncio.run(run_all(results, bed))


if __name__ == "__main__":
    report.run(run_cases)
