# SPDX-License-Identifier: BSD-3-Clause
"""Registrations that fail, and what is left of them: part of the group `sip` (sip_registration.py).
A case is a function of the test bed, IP version and transport; its UEs are its own."""

import report
import two_ends
from two_ends import refresh_over_the_current_set, registered, registers

SLACK_S = two_ends.SLACK_S


# INT-61, INT-76: the UE does not know K. SM7 fails the ESP check, the SIP layer never sees it, the
# temporary set ends after reg-await-auth.
async def impostor(bed, family, transport):
    phone = await bed.phone(family, transport, k="00" * 16, fault="impostor")
    outcome = await phone.register()
    report.check_equal(outcome.status, 0, "last response to SM7")
    (row,) = await bed.sets("pcscf", phone)
    report.check_equal(row["state"], "temporary", "before reg-await-auth")
    report.check(sum(sa.get("icv_failures", 0) for sa in row["sas"]) > 0, "no bad ICV")
    report.check_equal(sum(sa["packets"] for sa in row["sas"]), 0, "packets that passed")
    report.check_equal(await bed.wait_for_states("pcscf", phone, [],
                                                 two_ends.AWAIT_AUTH_S + SLACK_S), [],
                       "after reg-await-auth")


# INT-62, PUB-08: right IK, wrong RES: 403, protected, and the set ends.
async def wrong_res(bed, family, transport):
    phone = await bed.phone(family, transport, fault="wrong-res")
    outcome = await phone.register()
    report.check_equal(outcome.status, 403, "status")
    report.check_equal(await bed.wait_for_states("pcscf", phone, [], two_ends.OLD_S + SLACK_S), [],
                       "sets after 64*T1")
    report.check_equal(await bed.wait_for_states("ue", phone, [], two_ends.OLD_S + SLACK_S), [],
                       "sets of the UE")


# INT-75: a re-registration fails; the answer comes over the established set, which goes on.
async def wrong_res_again(bed, family, transport):
    phone = await registered(bed, family, transport)
    (old,) = await bed.sets("pcscf", phone)
    phone.fault = "wrong-res"
    outcome = await phone.register()
    phone.fault = None
    report.check_equal((outcome.status, outcome.handle), (403, phone.current.handle), "outcome")
    for end in two_ends.ENDS:
        report.check_equal(await bed.states(end, phone), ["established"], f"sets of the {end} end")
    await refresh_over_the_current_set(bed, phone)
    (after,) = await bed.sets("pcscf", phone)
    report.check_equal(after["handle"], old["handle"], "the set that goes on")


# INT-63, INT-36: the network does not know K either: an unprotected REGISTER says so, the new set
# ends at once.
async def wrong_network(bed, family, transport):
    phone = await bed.phone(family, transport, k="00" * 16)
    outcome = await phone.register()
    report.check_equal((outcome.status, outcome.reason), (403, "network authentication failed"),
                       "outcome")
    report.check_equal([over for over, status in registers(phone) if status == "REGISTER"],
                       [None, None], "REGISTERs went over")
    report.check_equal(await bed.wait_for_states("pcscf", phone, [], SLACK_S), [], "sets")


# INT-64: the UE's sequence number is ahead of the network's: AUTS, another challenge, registered.
async def resynchronisation(bed, family, transport):
    phone = await registered(bed, family, transport, sqn=1000)
    report.check_equal([status for _, status in registers(phone)],
                       ["REGISTER", 401, "REGISTER", 401, "REGISTER", 200], "sent and received")
    report.check_equal(await bed.states("pcscf", phone), ["established"], "states")


def loses(phone, wanted, count=None):
    """The phone's next `count` messages that `wanted` takes are lost; None: all."""
    left = [count]

    def lost(message):
        if not wanted(message) or left[0] == 0:
            return False
        left[0] = None if left[0] is None else left[0] - 1
        return True
    phone.loses = lost


def is_sm12(message):
    return message.status == 200


# INT-60, INT-76: SM7 never comes: the new set ends after reg-await-auth, the old one goes on.
async def lost_sm7(bed, family, transport):
    phone = await registered(bed, family, transport)
    (old,) = await bed.sets("pcscf", phone)
    sent = []
    loses(phone, lambda message: message.method == "REGISTER" and (
        sent.append(message) or len(sent) > 1))
    outcome = await phone.register()
    loses(phone, lambda message: False)
    report.check_equal(outcome.status, 0, "last response to SM7")
    report.check_equal(await bed.states("pcscf", phone), ["established", "temporary"], "states")
    report.check_equal(await bed.wait_for_states("pcscf", phone, ["established"],
                                                 two_ends.AWAIT_AUTH_S + SLACK_S), ["established"],
                       "after reg-await-auth")
    await refresh_over_the_current_set(bed, phone)
    (after,) = await bed.sets("pcscf", phone)
    report.check_equal(after["handle"], old["handle"], "the set that goes on")


# INT-68, JNT-2, JNT-3 (case 5): the 200 OK is lost, the UE has only its old set and goes on with
# it. A message on it drops nothing; its next REGISTER over it ends the set that nobody uses, and is
# answered over it (JNT-8), which is all that the UE still has.
async def lost_200(bed, family, transport):
    phone = await registered(bed, family, transport)
    (old,) = await bed.sets("pcscf", phone)
    loses(phone, is_sm12)
    phone.t1 = two_ends.PATIENCE_S  # SM7 sent again would be a message on the new set
    outcome = await phone.register()
    loses(phone, lambda message: False)
    report.check_equal((outcome.status, outcome.handle), (0, phone.current.handle), "outcome")
    # Over TCP the UE's kernel has acknowledged what the UE has lost: a packet on the new set.
    report.check_equal(await bed.states("pcscf", phone),
                       ["established" if transport == "udp" else "old", "established"], "states")
    await refresh_over_the_current_set(bed, phone)
    (left,) = await bed.sets("pcscf", phone)
    report.check_equal(left["handle"], old["handle"], "the set that is left")


# INT-59: the first 200 OK is lost; over UDP SM7 sent again gets it again, over the new set.
async def resent(bed, family, transport):
    phone = await bed.phone(family, transport)
    loses(phone, is_sm12, 1)
    outcome = await phone.register()
    report.check_equal(outcome.status, 200 if transport == "udp" else 0, "status")


# INT-57, INT-67, PRS-10: SM7 does not repeat what SM6 said: bidding down is refused.
async def bidding_down(bed, family, transport):
    phone = await bed.phone(family, transport)
    honest = phone._sm7

    def tampered(fresh, expires):
        message = honest(fresh, expires)
        message.set("Security-Verify", message.get("Security-Verify").replace("aes-cbc", "null"))
        return message
    phone._sm7 = tampered
    outcome = await phone.register()
    report.check(outcome.status != 200, "registered")
    report.check_equal(await bed.states("pcscf", phone), [], "states")


# INT-65: nothing that the UE offers is acceptable: SM1 gets a failure, no SA.
async def unacceptable(bed, family, transport):
    phone = await bed.phone(family, transport, suite=("hmac-sha-1-96", "null"))
    outcome = await phone.register()
    report.check_equal(outcome.status, 494, "status")
    for end in two_ends.ENDS:
        report.check_equal(await bed.states(end, phone), [], f"sets of the {end} end")


# INT-44, INT-49a: an identity of somebody else through one's own SAs is refused.
async def other_identity(bed, family, transport):
    phone, victim = [await registered(bed, family, transport) for _ in range(2)]
    own, phone.impu = phone.impu, victim.impu
    request = phone._register(phone.current, 0, phone.current.port_us)
    phone.impu = own
    response = await phone._exchange(request, phone.current)
    report.check_equal(response.status, 403, "status")
    report.check_equal(await bed.states("pcscf", victim), ["established"], "the victim's sets")


# PUB-01: only REGISTER may come over a temporary set, whatever its IMPU.
async def too_early(bed, family, transport):
    phone = await bed.phone(family, transport)
    sm7 = phone._sm7

    def invite(fresh, expires):
        message = sm7(fresh, expires)
        message.method = "INVITE"  # and CSeq of the REGISTER, by which the phone knows the answer
        return message
    phone._sm7 = invite
    outcome = await phone.register()
    report.check_equal(outcome.status, 403, "status")
    report.check_equal(await bed.states("pcscf", phone), ["temporary"], "states")


CASES = (impostor, wrong_res, wrong_res_again, wrong_network, resynchronisation, lost_sm7, lost_200,
         resent, bidding_down, unacceptable, other_identity,
         too_early)
