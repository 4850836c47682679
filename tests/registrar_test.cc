// SPDX-License-Identifier: BSD-3-Clause
// A registration's set from SM1 to its end, at both ends, with packets between them.
#include "control/registration/registrar.h"

#include <gtest/gtest.h>

#include "tests/registration_lab.h"

namespace gmesp {
namespace {

using namespace std::chrono_literals;

constexpr auto k64T1 = 128s;  // T1 = 2 s (PUB-10)

// INT-01, INT-03, INT-06, INT-07, INT-53, INT-56, INT-59, PRS-01: SM1 to SM12, then traffic on all
// four SAs (SPEC 0.1), UDP and TCP in one set.
TEST(RegistrarTest, ARegistrationProtectsAllFourLegs) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.enrol();
  const SetView at_ue = lab.ue.registrar.view(set.ue);
  EXPECT_EQ(lab.pcscf.state(set.pcscf), SetState::established);
  EXPECT_EQ(lab.pcscf.live_sas(), 4u);
  EXPECT_EQ(lab.ue.live_sas(), 4u);
  for (const bool tcp : {false, true}) {
    EXPECT_TRUE(lab.goes_up(at_ue, at_ue.ue.port_c, at_ue.pcscf.port_s, tcp));
    EXPECT_EQ(lab.wire_spi, at_ue.pcscf.spi_s);
    EXPECT_TRUE(lab.goes_down(at_ue, at_ue.pcscf.port_s, at_ue.ue.port_c, tcp));
    EXPECT_EQ(lab.wire_spi, at_ue.ue.spi_c);
    EXPECT_TRUE(lab.goes_down(at_ue, at_ue.pcscf.port_c, at_ue.ue.port_s, tcp));
    EXPECT_EQ(lab.wire_spi, at_ue.ue.spi_s);
    EXPECT_TRUE(lab.goes_up(at_ue, at_ue.ue.port_s, at_ue.pcscf.port_c, tcp));
    EXPECT_EQ(lab.wire_spi, at_ue.pcscf.spi_c);
  }
}

// INT-04, INT-05, INT-10, INT-11, PRS-03: both ends expand CK and IK alike; every SA of a set takes
// its packet once, and none that was touched on its way.
TEST(RegistrarTest, EverySaRefusesReplaysAndForgeries) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.enrol();
  const SetView view = lab.ue.registrar.view(set.ue);
  const auto once_only = [&](GmEnd& from, GmEnd& to, bool up, uint16_t source,
                             uint16_t destination) ON(control_thread) {
    EXPECT_TRUE(up ? lab.goes_up(view, source, destination)
                   : lab.goes_down(view, source, destination));
    EXPECT_EQ(lab.arrives(to, lab.wire), std::nullopt) << "a replay";
    EXPECT_EQ(lab.arrives(from, lab.wire), std::nullopt) << "a reflection";
    // The next of them, touched before it arrives.
    from.rig.host.feed(0, PacketBuilder()
                              .ip(up ? view.ue.address : view.pcscf.address,
                                  up ? view.pcscf.address : view.ue.address)
                              .udp(source, destination)
                              .payload("SIP")
                              .frame());
    from.settle();
    Frame touched = from.rig.access.take_sent().at(0);
    touched.back() ^= 1;
    EXPECT_EQ(lab.arrives(to, touched), std::nullopt) << "a forgery";
    touched.back() ^= 1;
    EXPECT_NE(lab.arrives(to, touched), std::nullopt) << "it was good before";
  };
  once_only(lab.ue, lab.pcscf, true, view.ue.port_c, view.pcscf.port_s);
  once_only(lab.ue, lab.pcscf, true, view.ue.port_s, view.pcscf.port_c);
  once_only(lab.pcscf, lab.ue, false, view.pcscf.port_c, view.ue.port_s);
  once_only(lab.pcscf, lab.ue, false, view.pcscf.port_s, view.ue.port_c);
}

// INT-50, INT-51: SM1 leaves an offer with the UE's numbers and identities, and no SA.
TEST(RegistrarTest, AnOfferHasNumbersButNoSa) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.offer();
  const SetView at_ue = lab.ue.registrar.view(set.ue);
  const SetView at_pcscf = lab.pcscf.registrar.view(set.pcscf);
  EXPECT_EQ(at_pcscf.state, SetState::offered);
  EXPECT_EQ(at_pcscf.ue.port_c, at_ue.ue.port_c);
  EXPECT_EQ(at_pcscf.ue.port_s, at_ue.ue.port_s);
  EXPECT_EQ(at_pcscf.ue.spi_c, at_ue.ue.spi_c);
  EXPECT_EQ(at_pcscf.ue.spi_s, at_ue.ue.spi_s);
  EXPECT_EQ(at_pcscf.impi, kImpi);
  ASSERT_EQ(at_pcscf.impus.size(), 1u);
  EXPECT_EQ(at_pcscf.impus[0], kImpu);
  EXPECT_EQ(lab.pcscf.live_sas(), 0u);
  lab.pass_time(k64T1 + 1s);
  EXPECT_FALSE(lab.pcscf.knows(set.pcscf));
  EXPECT_EQ(lab.pcscf.heard(SetEventKind::authentication_timeout, set.pcscf), 1u);
}

// INT-53: when challenge() has answered, the P-CSCF serves the UE's first protected packet.
TEST(RegistrarTest, AChallengeAnswersWhenEverySaIsUsable) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.offer();
  bool answered = false;
  const auto ck = test_key(1), ik = test_key(2);
  lab.pcscf.registrar.challenge(set.pcscf, ImsKey(ck), ImsKey(ik), nullptr,
                                [&](std::optional<Refusal> refusal) {
                                  EXPECT_FALSE(refusal);
                                  answered = true;
                                });
  lab.pcscf.proxies.poll();
  EXPECT_FALSE(answered);  // the worker has not run
  EXPECT_EQ(lab.pcscf.state(set.pcscf), SetState::offered);
  lab.pcscf.settle();
  EXPECT_TRUE(answered);
  EXPECT_EQ(lab.pcscf.state(set.pcscf), SetState::temporary);
  EXPECT_EQ(lab.pcscf.sas.count(Direction::in, SaState::live), 2u);
  EXPECT_EQ(lab.pcscf.sas.count(Direction::out, SaState::live), 2u);
}

// PUB-02, INT-60, INT-61, INT-76: nobody authenticates: the temporary set goes after 4 minutes.
TEST(RegistrarTest, ATemporarySetLivesRegAwaitAuth) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.offer();
  lab.challenge(set);
  lab.pass_time(239s);
  EXPECT_TRUE(lab.pcscf.knows(set.pcscf));
  lab.pass_time(2s);
  EXPECT_FALSE(lab.pcscf.knows(set.pcscf));
  EXPECT_EQ(lab.pcscf.heard(SetEventKind::authentication_timeout, set.pcscf), 1u);
  EXPECT_EQ(lab.pcscf.live_sas(), 0u);
  EXPECT_EQ(lab.ue.live_sas(), 0u);
}

// INT-61: a UE with another IK: SM7 fails the ICV, the SIP layer never sees it.
TEST(RegistrarTest, AWrongKeyNeverGetsThrough) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.offer();
  const auto ck = test_key(1), ik = test_key(2), other = test_key(3);
  lab.pcscf.registrar.challenge(set.pcscf, ImsKey(ck), ImsKey(ik), nullptr, [](auto) {});
  lab.pcscf.settle();
  const SecurityAgreement server = lab.pcscf.registrar.view(set.pcscf).ours;
  lab.ue.registrar.challenge(set.ue, ImsKey(ck), ImsKey(other), &server, [](auto) {});
  lab.ue.settle();
  EXPECT_FALSE(lab.request_up(set));
  EXPECT_EQ(lab.pcscf.heard(SetEventKind::temporary_used, set.pcscf), 0u);
}

// PUB-01: the next challenge ends the temporary set before it; the established one stays.
TEST(RegistrarTest, ANewChallengeEndsTheEarlierTemporarySet) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair established = lab.enrol();
  const Pair first = lab.offer({}, established);
  lab.challenge(first);
  const Pair second = lab.offer({}, established);
  EXPECT_TRUE(lab.pcscf.knows(first.pcscf));
  lab.challenge(second);
  EXPECT_FALSE(lab.pcscf.knows(first.pcscf));
  EXPECT_TRUE(lab.pcscf.knows(established.pcscf));
  EXPECT_EQ(lab.pcscf.live_sas(), 8u);
  EXPECT_TRUE(lab.request_up(established));
}

// PUB-03, INT-48: registration expiry + 30 s, or the lifetime of the set before, if longer.
TEST(RegistrarTest, AnEstablishedSetLivesAsLongAsTheRegistration) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair first = lab.enrol();
  EXPECT_EQ(lab.pcscf.left(first.pcscf), std::chrono::seconds(kExpires_s + 30));
  const Pair second = lab.offer({}, first);
  lab.challenge(second);
  lab.respond(second);
  lab.ok_at_pcscf(second, 3600);
  EXPECT_EQ(lab.pcscf.left(second.pcscf), std::chrono::seconds(kExpires_s + 30));
}

// PUB-09: what has expired is gone, with its SAs and keys.
TEST(RegistrarTest, ASetEndsWithItsLifetime) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.offer();
  lab.challenge(set);
  lab.respond(set);
  lab.ok_at_pcscf(set, 60);
  lab.pass_time(89s);
  EXPECT_TRUE(lab.request_up(set));
  lab.pass_time(2s);
  EXPECT_FALSE(lab.pcscf.knows(set.pcscf));
  EXPECT_EQ(lab.pcscf.heard(SetEventKind::expired, set.pcscf), 1u);
  EXPECT_EQ(lab.pcscf.live_sas(), 0u);
}

// PUB-03, JNT-3, case 4: the set that protected the first REGISTER stays beside the new one.
TEST(RegistrarTest, OkKeepsTheSetThatProtectedTheRegister) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair old_set = lab.enrol();
  const Pair new_set = lab.enrol({}, old_set);
  EXPECT_EQ(lab.pcscf.state(new_set.pcscf), SetState::established);
  EXPECT_EQ(lab.pcscf.state(old_set.pcscf), SetState::established);
  EXPECT_TRUE(lab.request_up(old_set));
  EXPECT_TRUE(lab.request_down(old_set));
}

// JNT-3, case 3, INT-71: the first REGISTER came in clear: all old sets go with the 200 OK.
TEST(RegistrarTest, OkAfterARegisterInClearDropsAllOldSets) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair old_set = lab.enrol();
  const Pair new_set = lab.enrol();
  EXPECT_FALSE(lab.pcscf.knows(old_set.pcscf));
  EXPECT_EQ(lab.pcscf.heard(SetEventKind::deleted, old_set.pcscf), 1u);
  EXPECT_TRUE(lab.request_up(new_set));
  EXPECT_EQ(lab.pcscf.live_sas(), 4u);
}

// JNT-3, case 5: three sets; the REGISTER that begins the third goes over the first.
TEST(RegistrarTest, OkDropsTheSetThatDidNotProtectTheRegister) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair sa1 = lab.enrol();
  const Pair sa2 = lab.offer({}, sa1);
  lab.challenge(sa2);
  lab.respond(sa2);
  lab.ok_at_pcscf(sa2);  // the 200 OK is lost (INT-68): the UE goes on with SA1
  lab.pcscf.events.clear();
  const Pair sa3 = lab.enrol({}, sa1);
  EXPECT_TRUE(lab.pcscf.knows(sa1.pcscf));
  EXPECT_FALSE(lab.pcscf.knows(sa2.pcscf));
  EXPECT_TRUE(lab.pcscf.knows(sa3.pcscf));
}

// PUB-04, JNT-1, cases 1 and 6, PUB-10: the first packet on the new set cuts the old one to 64*T1.
TEST(RegistrarTest, TheFirstPacketOnTheNewSetRetiresTheOldOne) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair old_set = lab.enrol();
  EXPECT_TRUE(lab.request_up(old_set));
  const Pair new_set = lab.enrol({}, old_set);
  EXPECT_EQ(lab.pcscf.state(old_set.pcscf), SetState::established);
  EXPECT_TRUE(lab.request_up(new_set));
  EXPECT_EQ(lab.pcscf.heard(SetEventKind::taken_into_use, new_set.pcscf), 1u);
  EXPECT_EQ(lab.pcscf.heard(SetEventKind::retired, old_set.pcscf), 1u);
  EXPECT_EQ(lab.pcscf.state(old_set.pcscf), SetState::old);
  EXPECT_EQ(lab.pcscf.left(old_set.pcscf), k64T1);
  EXPECT_TRUE(lab.request_up(old_set));  // what is on its way still arrives
  lab.pass_time(k64T1 + 1s);
  EXPECT_FALSE(lab.pcscf.knows(old_set.pcscf));
  EXPECT_TRUE(lab.request_up(new_set));
}

// DESIGN 4: SM7 is one event, the first packet after ok() another; a second of either is none.
TEST(RegistrarTest, Sm7AndTheFirstPacketAfterOkAreTwoEvents) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.offer();
  lab.challenge(set);
  EXPECT_TRUE(lab.request_up(set));
  EXPECT_TRUE(lab.request_up(set));
  EXPECT_EQ(lab.pcscf.heard(SetEventKind::temporary_used, set.pcscf), 1u);
  lab.respond(set);
  lab.ok_at_pcscf(set);
  EXPECT_EQ(lab.pcscf.heard(SetEventKind::taken_into_use, set.pcscf), 0u);
  EXPECT_TRUE(lab.request_up(set));
  EXPECT_TRUE(lab.request_up(set));
  EXPECT_EQ(lab.pcscf.heard(SetEventKind::taken_into_use, set.pcscf), 1u);
  EXPECT_EQ(lab.pcscf.heard(SetEventKind::temporary_used, set.pcscf), 1u);
}

// JNT-2, cases 2 and 7, INT-68: a packet on the old set drops nothing.
TEST(RegistrarTest, APacketOnTheOldSetDropsNothing) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair old_set = lab.enrol();
  EXPECT_TRUE(lab.request_up(old_set));
  const Pair new_set = lab.enrol({}, old_set);
  EXPECT_TRUE(lab.request_up(old_set));
  EXPECT_TRUE(lab.pcscf.knows(new_set.pcscf));
  EXPECT_EQ(lab.pcscf.state(old_set.pcscf), SetState::established);
}

// JNT-4, PUB-05, case 8: the old set expires, the new one is in use without a packet.
TEST(RegistrarTest, TheNewSetIsTakenIntoUseWhenTheOldOneExpires) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair old_set = lab.offer();
  lab.challenge(old_set);
  lab.respond(old_set);
  lab.ok_at_pcscf(old_set, 60);
  lab.ok_at_ue(old_set, 60);
  const Pair new_set = lab.offer({}, old_set);
  lab.challenge(new_set);
  lab.respond(new_set);
  lab.ok_at_pcscf(new_set, 3600);
  lab.pass_time(91s);
  EXPECT_FALSE(lab.pcscf.knows(old_set.pcscf));
  EXPECT_EQ(lab.pcscf.heard(SetEventKind::taken_into_use, new_set.pcscf), 1u);
  EXPECT_EQ(lab.pcscf.heard(SetEventKind::expired, old_set.pcscf), 1u);
}

// PUB-06, case 4 without a new authentication: the protecting set lives on, the one before is cut.
TEST(RegistrarTest, ARefreshExtendsTheProtectingSet) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair old_set = lab.enrol();
  const Pair new_set = lab.enrol({}, old_set);
  lab.pass_time(1000s);
  lab.pcscf.registrar.refresh(new_set.pcscf, kExpires_s);
  EXPECT_EQ(lab.pcscf.left(new_set.pcscf), std::chrono::seconds(kExpires_s + 30));
  EXPECT_EQ(lab.pcscf.state(old_set.pcscf), SetState::old);
}

// Case 5 without a new authentication (SPEC 6: a REGISTER on the old set acts at its 200 OK).
TEST(RegistrarTest, ARefreshOverTheOldSetDropsTheNewOne) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair old_set = lab.enrol();
  const Pair new_set = lab.enrol({}, old_set);
  lab.pcscf.registrar.refresh(old_set.pcscf, kExpires_s);
  lab.pcscf.settle();
  EXPECT_FALSE(lab.pcscf.knows(new_set.pcscf));
  EXPECT_EQ(lab.pcscf.state(old_set.pcscf), SetState::established);
}

// PUB-07: after a deregistration the 200 OK and NOTIFY still leave protected, for 64*T1.
TEST(RegistrarTest, ADeregisteredSetCarriesItsLastAnswers) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.enrol();
  EXPECT_EQ(lab.pcscf.outcome([&](Registrar::Done done) ON(control_thread) {
    lab.pcscf.registrar.remove(set.pcscf, false, false, std::move(done));
  }),
            std::nullopt);
  EXPECT_EQ(lab.pcscf.state(set.pcscf), SetState::old);
  EXPECT_TRUE(lab.request_down(set));
  lab.pass_time(k64T1 + 1s);
  EXPECT_FALSE(lab.pcscf.knows(set.pcscf));
  EXPECT_EQ(lab.pcscf.live_sas(), 0u);
}

// An authenticated REGISTER with expires 0 deregisters.
TEST(RegistrarTest, OkWithoutALifetimeIsADeregistration) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair first = lab.enrol();
  const Pair last = lab.offer({}, first);
  lab.challenge(last);
  lab.respond(last);
  lab.ok_at_pcscf(last, 0);
  EXPECT_EQ(lab.pcscf.state(first.pcscf), SetState::old);
  EXPECT_EQ(lab.pcscf.state(last.pcscf), SetState::old);
  EXPECT_TRUE(lab.request_down(last));
}

// SM12, DESIGN 4: also the 200 OK of a deregistration leaves over the set that its REGISTER came
// over, if the one before has the same ports.
TEST(RegistrarTest, TheLastOkLeavesOverTheNewSet) {
  const AssumeRole role(control_thread);
  RegistrarConfig config;
  config.port_pc = {5062};
  GmLab lab(config);
  SetHandle set = kNoSet;
  for (const uint32_t spi : {1001u, 2001u}) {
    const SecurityAgreement client =
        security_client(config.negotiation, {spi, spi + 1, 41000, 41001});
    RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = kImpi, .over = set};
    call.client = &client;
    set = lab.pcscf.registrar.registered(call).handle;
    const auto ck = test_key(spi), ik = test_key(spi + 1);
    lab.pcscf.registrar.challenge(set, ImsKey(ck), ImsKey(ik), nullptr, [](auto) {});
    lab.pcscf.settle();
    lab.answer(set, client);
    lab.ok_at_pcscf({kNoSet, set}, spi == 1001 ? 600 : 0);
  }
  lab.goes_down(lab.pcscf.registrar.view(set), 5062, 41001);
  EXPECT_EQ(lab.wire_spi, Spi{2002});
}

// PUB-01, JNT-3: SM7 is answered by another challenge. Its 401 goes over the set that SM7 came
// over; at the end the set of the first REGISTER stays, and no other.
TEST(RegistrarTest, ASecondChallengeBelongsToTheSameAuthentication) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair established = lab.enrol();
  const Pair first = lab.offer({}, established);
  lab.challenge(first);
  EXPECT_TRUE(lab.respond(first));
  const Pair second = lab.offer({}, first);
  lab.challenge(second);
  EXPECT_EQ(lab.pcscf.state(first.pcscf), SetState::old);
  EXPECT_TRUE(lab.request_down(first)) << "the 401";
  EXPECT_TRUE(lab.respond(second));
  lab.ok_at_pcscf(second);
  EXPECT_FALSE(lab.pcscf.knows(first.pcscf));
  EXPECT_TRUE(lab.pcscf.knows(established.pcscf));
  EXPECT_TRUE(lab.request_down(second));
}

// Network-initiated removal, at once: answered when the workers have forgotten all of it.
TEST(RegistrarTest, RemovalAtOnceAnswersWhenAllIsGone) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair first = lab.enrol();
  const Pair second = lab.enrol({}, first);
  bool gone = false;
  lab.pcscf.registrar.remove(second.pcscf, false, true, [&](auto) { gone = true; });
  EXPECT_FALSE(gone);
  EXPECT_FALSE(lab.pcscf.knows(first.pcscf));
  lab.pcscf.settle();
  EXPECT_TRUE(gone);
  EXPECT_EQ(lab.pcscf.live_sas(), 0u);
  EXPECT_EQ(lab.pcscf.registrar.registrations(), 0u);
}

}  // namespace
}  // namespace gmesp
