// SPDX-License-Identifier: BSD-3-Clause
// What the Registrar refuses.
#include "tests/registrar_rules.h"

#include <gtest/gtest.h>

#include <set>

#include "control/registration/registrar.h"

namespace gmesp {
namespace {

using namespace std::chrono_literals;

// INT-43: another IMPI's (UE address, port) is refused; the same IMPI's is not (SPEC 6).
TEST_F(RegistrarRulesTest, AUePortBelongsToOneImpi) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.enrol();
  const SetView view = lab.pcscf.registrar.view(set.pcscf);
  const auto offer = client(view.ue.port_c, 41000);
  const auto other_leg = client(41000, view.ue.port_s);
  EXPECT_EQ(register_at_pcscf(lab, offer, "thief@example"), Refusal::ue_port_in_use);
  EXPECT_EQ(register_at_pcscf(lab, other_leg, "thief@example"), Refusal::ue_port_in_use);
  EXPECT_EQ(register_at_pcscf(lab, offer, "neighbour@example", kNoSet, *parse_address("192.0.2.6")),
            std::nullopt);
  EXPECT_EQ(register_at_pcscf(lab, offer, kImpi), std::nullopt);
  lab.pcscf.registrar.remove(set.pcscf, false, true, [](auto) {});
  lab.pcscf.settle();
  EXPECT_EQ(register_at_pcscf(lab, offer, "heir@example"), std::nullopt);
}

// INT-43 again when the keys come: of two offers with one port, the first challenged has it.
TEST_F(RegistrarRulesTest, APortIsTakenWithTheChallenge) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const auto offer = client(41000, 41001);
  RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = "one@example", .impus = {}};
  call.client = &offer;
  const SetHandle one = lab.pcscf.registrar.registered(call).handle;
  call.impi = "two@example";
  const SetHandle two = lab.pcscf.registrar.registered(call).handle;
  EXPECT_EQ(challenge(lab.pcscf, one, 1, 2), std::nullopt);
  EXPECT_EQ(challenge(lab.pcscf, two, 3, 4), Refusal::ue_port_in_use);
  EXPECT_EQ(lab.pcscf.live_sas(), 4u);
}

// INT-43, R13, SPEC 0.6: at most three sets of one IMPI, 12 SAs.
TEST_F(RegistrarRulesTest, AnImpiHasThreeSetsAtMost) {
  const AssumeRole role(control_thread);
  RegistrarConfig config;
  config.max_sets = 2;
  GmLab lab(config);
  const Pair first = lab.enrol();
  const Pair second = lab.enrol({}, first);
  EXPECT_TRUE(lab.pcscf.knows(first.pcscf));
  const auto offer = client(41000, 41001);
  EXPECT_EQ(register_at_pcscf(lab, offer, kImpi, second.pcscf), Refusal::too_many_sets);
  EXPECT_EQ(register_at_pcscf(lab, offer, kImpi), Refusal::too_many_sets);
}

// A REGISTER in clear costs its sender nothing: an IMPI's offers are bounded, the oldest goes.
TEST_F(RegistrarRulesTest, OffersOfOneImpiAreBounded) {
  const AssumeRole role(control_thread);
  GmLab lab;
  std::vector<SetHandle> offers;
  for (uint16_t i = 0; i < 10; ++i) {
    const auto offer = client(static_cast<uint16_t>(42000 + i), static_cast<uint16_t>(43000 + i));
    RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = kImpi, .impus = {}};
    call.client = &offer;
    offers.push_back(lab.pcscf.registrar.registered(call).handle);
  }
  EXPECT_EQ(lab.pcscf.registrar.count(SetState::offered), 3u);
  EXPECT_TRUE(lab.pcscf.knows(offers.back()));
  EXPECT_FALSE(lab.pcscf.knows(offers.front()));
}

// INT-31, INT-49a, PRS-09: what comes over a set is of its IMPI and address.
TEST_F(RegistrarRulesTest, ARegisterOverASetIsOfItsRegistration) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.enrol();
  const auto offer = client(41000, 41001);
  EXPECT_EQ(register_at_pcscf(lab, offer, "other@example", set.pcscf), Refusal::other_impi);
  EXPECT_EQ(register_at_pcscf(lab, offer, kImpi, set.pcscf, *parse_address("192.0.2.6")),
            Refusal::address_differs);
  EXPECT_EQ(register_at_pcscf(lab, offer, kImpi, SetHandle{0x77}), Refusal::unknown_handle);
  const Pair offered = lab.offer({}, set);
  EXPECT_EQ(register_at_pcscf(lab, offer, kImpi, offered.pcscf), Refusal::wrong_state);
}

// JNT-5, JNT-6: Security-Verify of a re-registration is compared with the set's Security-Server.
TEST_F(RegistrarRulesTest, AReRegistrationRepeatsSecurityVerify) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.enrol();
  const SecurityAgreement server = lab.server_header;
  SecurityAgreement other = server;
  other.mechanisms[0].spi_s ^= 1;
  const auto offer = client(41000, 41001);
  RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = kImpi, .impus = {}, .over = set.pcscf};
  call.client = &offer;
  call.verify = &other;
  EXPECT_EQ(refusal_of([&]() ON(control_thread) { lab.pcscf.registrar.registered(call); }),
            Refusal::verify_mismatch);
  call.verify = &server;
  EXPECT_EQ(refusal_of([&]() ON(control_thread) { lab.pcscf.registrar.registered(call); }),
            std::nullopt);
}

// INT-42.
TEST_F(RegistrarRulesTest, TheContactIsThePacketsSource) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const auto offer = client(41000, 41001);
  RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = kImpi, .impus = {}};
  call.client = &offer;
  call.contact = *parse_address("192.0.2.99");
  EXPECT_EQ(refusal_of([&]() ON(control_thread) { lab.pcscf.registrar.registered(call); }),
            Refusal::contact_differs);
}

// INT-65: no combination in common: no set, nothing taken. INT-66: the same at the UE.
TEST_F(RegistrarRulesTest, AnUnacceptableProposalLeavesNothing) {
  const AssumeRole role(control_thread);
  RegistrarConfig with_cipher, without;
  with_cipher.negotiation.encryption = EncryptionPolicy::required;  // PRS-05
  without.negotiation.encryption = EncryptionPolicy::off;
  GmLab lab(without, with_cipher);
  EXPECT_EQ(refusal_of([&]() ON(control_thread) { lab.offer(); }), Refusal::unacceptable_proposal);
  EXPECT_EQ(lab.pcscf.registrar.count(SetState::offered), 0u);
  EXPECT_EQ(lab.pcscf.registrar.registrations(), 0u);

  RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = "ue@example", .impus = {}};
  const SetHandle set = lab.ue.registrar.registered(call).handle;
  const auto server = security_server(with_cipher.negotiation, client(1, 2), Suite::aes_gcm,
                                      {70000, 70001, 5062, 5063});
  EXPECT_EQ(challenge(lab.ue, set, 1, 2, &server), Refusal::unacceptable_proposal);
  EXPECT_FALSE(lab.ue.knows(set));
  EXPECT_EQ(lab.ue.live_sas(), 0u);
}

// INT-57, INT-67, PRS-10: SM7 repeats both headers, or the new set goes and the old one stays.
TEST_F(RegistrarRulesTest, ABidDownShowsInSm7) {
  const AssumeRole role(control_thread);
  for (const bool in_verify : {true, false}) {
    GmLab lab;
    const Pair established = lab.enrol();
    const Pair set = lab.offer({}, established);
    lab.challenge(set);
    SecurityAgreement verify = lab.server_header, client = lab.client_header;
    (in_verify ? verify : client).mechanisms[0].encryption = EncryptionAlgorithm::null;
    EXPECT_EQ(refusal_of([&]() ON(control_thread) {
                lab.pcscf.registrar.response(set.pcscf, &verify, &client);
              }),
              in_verify ? Refusal::verify_mismatch : Refusal::client_mismatch);
    lab.pcscf.settle();
    EXPECT_FALSE(lab.pcscf.knows(set.pcscf));
    EXPECT_EQ(lab.pcscf.live_sas(), 4u);
    EXPECT_TRUE(lab.request_up(established));
  }
}

// A SM7 without one of the headers has not repeated it.
TEST_F(RegistrarRulesTest, AMissingHeaderIsAMismatch) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair one = lab.offer();
  lab.challenge(one);
  EXPECT_EQ(refusal_of([&]() ON(control_thread) {
              lab.pcscf.registrar.response(one.pcscf, nullptr, &lab.client_header);
            }),
            Refusal::verify_mismatch);
  const Pair two = lab.offer();
  lab.challenge(two);
  EXPECT_EQ(refusal_of([&]() ON(control_thread) {
              lab.pcscf.registrar.response(two.pcscf, &lab.server_header, nullptr);
            }),
            Refusal::client_mismatch);
  lab.pcscf.settle();
  EXPECT_EQ(lab.pcscf.live_sas(), 0u);
}

// INT-58, PRS-11: what the S-CSCF is told of a protected REGISTER.
TEST_F(RegistrarRulesTest, AResponseSaysWhetherItWasEncrypted) {
  const AssumeRole role(control_thread);
  for (const auto policy : {EncryptionPolicy::required, EncryptionPolicy::off}) {
    RegistrarConfig config;
    config.negotiation.encryption = policy;
    GmLab lab(config);
    const Pair set = lab.offer();
    lab.challenge(set);
    EXPECT_EQ(lab.pcscf.registrar.response(set.pcscf, &lab.server_header, &lab.client_header),
              policy == EncryptionPolicy::required);
  }
}

// Calls in the wrong state change nothing.
TEST_F(RegistrarRulesTest, EachCallHasItsStates) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const auto none = [](std::optional<Refusal>) {};
  const Pair set = lab.offer();
  Registrar& registrar = lab.pcscf.registrar;
  const auto refuses = [&](auto&& call) { return refusal_of(call) == Refusal::wrong_state; };
  EXPECT_TRUE(refuses([&]() ON(control_thread) { registrar.ok(set.pcscf, 60, none); }));
  EXPECT_TRUE(refuses([&]() ON(control_thread) { registrar.refresh(set.pcscf, 60); }));
  EXPECT_TRUE(
      refuses([&]() ON(control_thread) { registrar.response(set.pcscf, nullptr, nullptr); }));
  lab.challenge(set);
  EXPECT_EQ(challenge(lab.pcscf, set.pcscf, 90, 91), Refusal::wrong_state);
  EXPECT_TRUE(refuses([&]() ON(control_thread) { registrar.ok(set.pcscf, 60, none); }))
      << "no response was checked";
  lab.respond(set);
  lab.ok_at_pcscf(set);
  EXPECT_TRUE(refuses([&]() ON(control_thread) { registrar.ok(set.pcscf, 60, none); }));
  EXPECT_TRUE(
      refuses([&]() ON(control_thread) { registrar.fail(set.pcscf, FailReason::other, none); }));
  EXPECT_EQ(refusal_of([&]() ON(control_thread) { registrar.refresh(set.pcscf, 0); }),
            Refusal::out_of_range);
  EXPECT_EQ(lab.pcscf.state(set.pcscf), SetState::established);
}

TEST_F(RegistrarRulesTest, AHandleNamesNoSetButItsOwn) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair first = lab.offer();
  lab.pcscf.registrar.remove(first.pcscf, true, true, [](auto) {});
  lab.pcscf.settle();
  const auto offer = client(41000, 41001);
  RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = kImpi, .impus = {}};
  call.client = &offer;
  const SetHandle second = lab.pcscf.registrar.registered(call).handle;  // in the same place
  EXPECT_NE(first.pcscf, second);
  for (const SetHandle handle : {first.pcscf, SetHandle{0}, SetHandle{~uint64_t{0}}}) {
    EXPECT_FALSE(lab.pcscf.knows(handle));
  }
}

// SPEC 7.4, promise 2: no CK and IK twice, whatever the set.
TEST_F(RegistrarRulesTest, KeysProtectOneSetOnly) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair one = lab.offer();
  EXPECT_EQ(challenge(lab.pcscf, one.pcscf, 1, 2), std::nullopt);
  const Pair two = lab.offer();
  EXPECT_EQ(challenge(lab.pcscf, two.pcscf, 1, 2), Refusal::key_already_used);
  EXPECT_EQ(lab.pcscf.state(one.pcscf), SetState::temporary) << "refused: nothing has changed";
  EXPECT_EQ(challenge(lab.pcscf, two.pcscf, 3, 2), std::nullopt);
}

// A phone that has lost its memory says SPIs and ports that it had before: it gets its
// registration, and what it does not know any more goes at the 200 OK.
TEST_F(RegistrarRulesTest, APhoneThatStartsAgainMayRepeatItsNumbers) {
  const AssumeRole role(control_thread);
  GmLab lab;
  SetHandle before = kNoSet;
  for (uint32_t start = 0; start < 3; ++start) {
    const auto offer = client(41000, 41001, 1001, 1002);
    RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = kImpi, .impus = {}};
    call.client = &offer;
    const SetHandle set = lab.pcscf.registrar.registered(call).handle;
    EXPECT_EQ(challenge(lab.pcscf, set, 2 * start, 2 * start + 1), std::nullopt);
    lab.answer(set, offer);
    lab.ok_at_pcscf({kNoSet, set});
    EXPECT_EQ(lab.pcscf.live_sas(), 4u);
    EXPECT_TRUE(before == kNoSet || !lab.pcscf.knows(before));
    before = set;
  }
}

// RFC 2451 2.3: CK1 == CK2 would make DES of 3DES. The keys may be used where they are not weak.
TEST_F(RegistrarRulesTest, AWeakDesKeyIsRefused) {
  const AssumeRole role(control_thread);
  RegistrarConfig config;
  config.negotiation.combinations = {Suite::sha1_des3};
  GmLab lab(config);
  const Pair set = lab.offer();
  std::array<uint8_t, 16> weak{};
  for (size_t i = 0; i < 16; ++i) weak[i] = static_cast<uint8_t>(i % 8 * 16 + 2);
  const auto ik = test_key(1);
  const auto with_weak_ck = [&](Registrar::Done done) ON(control_thread) {
    lab.pcscf.registrar.challenge(set.pcscf, ImsKey(weak), ImsKey(ik), nullptr, std::move(done));
  };
  EXPECT_EQ(lab.pcscf.outcome(with_weak_ck), Refusal::weak_des_key);
  EXPECT_EQ(lab.pcscf.live_sas(), 0u);
  EXPECT_EQ(lab.pcscf.state(set.pcscf), SetState::offered);
  EXPECT_EQ(lab.pcscf.outcome(with_weak_ck), Refusal::weak_des_key) << "not: already used";
}

// R17, PRS-08: SPIs that a set must keep apart.
TEST_F(RegistrarRulesTest, ClashingNumbersAreRefused) {
  const AssumeRole role(control_thread);
  GmLab lab;
  EXPECT_EQ(register_at_pcscf(lab, client(41000, 41001, 7, 7)), Refusal::spi_clash);
  EXPECT_EQ(register_at_pcscf(lab, client(41000, 41001, 0, 7)), Refusal::spi_clash);
  EXPECT_EQ(register_at_pcscf(lab, client(41000, 41000)), Refusal::port_clash);
  EXPECT_EQ(register_at_pcscf(lab, client(5060, 41000)), Refusal::port_clash);
  EXPECT_EQ(register_at_pcscf(lab, client(41000, 5061)), Refusal::port_clash);
  // Field UEs ignore the MSB rule, and we do not insist (SPEC 0.4).
  EXPECT_EQ(register_at_pcscf(lab, client(41000, 41001, 1236, 48734730)), std::nullopt);

  RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = "ue@example", .impus = {}};
  const RegisterAnswer offer = lab.ue.registrar.registered(call);
  const uint32_t own = offer.ours.mechanisms[0].spi_c;
  const auto server = security_server(kPlainConfig.negotiation, offer.ours, Suite::aes_gcm,
                                      {own, 70001, 5062, 5063});
  EXPECT_EQ(challenge(lab.ue, offer.handle, 1, 2, &server), Refusal::spi_clash);
}

// INT-05, INT-23, PRS-08, R19: our SPIs have the top bit 0, the UE's 1, and all are different.
TEST_F(RegistrarRulesTest, SpisOfTheTwoEndsNeverMeet) {
  const AssumeRole role(control_thread);
  GmLab lab;
  std::set<uint32_t> seen;
  Pair set;
  for (int i = 0; i < 20; ++i) {
    set = lab.offer();
    const SetView view = lab.pcscf.registrar.view(set.pcscf);
    for (const Spi spi : {view.pcscf.spi_c, view.pcscf.spi_s}) {
      EXPECT_GE(static_cast<uint32_t>(spi), 65536u);
      EXPECT_EQ(static_cast<uint32_t>(spi) >> 31, 0u);
      EXPECT_TRUE(seen.insert(static_cast<uint32_t>(spi)).second);
    }
    for (const Spi spi : {view.ue.spi_c, view.ue.spi_s}) {
      EXPECT_EQ(static_cast<uint32_t>(spi) >> 31, 1u);
      EXPECT_TRUE(seen.insert(static_cast<uint32_t>(spi)).second);
    }
  }
}

TEST_F(RegistrarRulesTest, IdentitiesAreBounded) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const std::string long_one(256, 'x');
  EXPECT_EQ(register_at_pcscf(lab, client(41000, 41001), ""), Refusal::too_many_identities);
  EXPECT_EQ(register_at_pcscf(lab, client(41000, 41001), long_one), Refusal::too_many_identities);
  for (const std::string_view odd : {"a b@example", "caf\xc3\xa9@example", "a\n@example"}) {
    EXPECT_EQ(register_at_pcscf(lab, client(41000, 41001), odd), Refusal::invalid_value);
  }
  const auto offer = client(41000, 41001);
  const std::vector<std::string_view> nine(9, "sip:a@b");
  RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = kImpi, .impus = nine};
  call.client = &offer;
  EXPECT_EQ(refusal_of([&]() ON(control_thread) { lab.pcscf.registrar.registered(call); }),
            Refusal::too_many_identities);
  call.impus = {};
  call.pcscf = kPcscf6;
  EXPECT_EQ(refusal_of([&]() ON(control_thread) { lab.pcscf.registrar.registered(call); }),
            Refusal::address_families_differ);
}

TEST_F(RegistrarRulesTest, RolesAreNotMixed) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const auto offer = client(41000, 41001);
  RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = kImpi, .impus = {}};
  EXPECT_EQ(refusal_of([&]() ON(control_thread) { lab.pcscf.registrar.registered(call); }),
            Refusal::not_for_role);
  call.client = &offer;
  EXPECT_EQ(refusal_of([&]() ON(control_thread) { lab.ue.registrar.registered(call); }),
            Refusal::not_for_role);
  const Pair set = lab.offer();
  EXPECT_EQ(challenge(lab.ue, set.ue, 1, 2), Refusal::not_for_role);
  EXPECT_EQ(challenge(lab.pcscf, set.pcscf, 1, 2, &lab.server_header), Refusal::not_for_role);
  EXPECT_EQ(
      refusal_of([&]() ON(control_thread) { lab.ue.registrar.response(set.ue, nullptr, nullptr); }),
      Refusal::not_for_role);
}

// R19: three SPIs are one set and a half. What half a set has taken rests, like all that was given.
TEST_F(RegistrarRulesTest, ASetThatFindsOneSpiAloneIsRefusedWhole) {
  const AssumeRole role(control_thread);
  RegistrarConfig config;
  config.spis = {0x10000, 0x10002};
  GmLab lab(kPlainConfig, config);
  Registrar& registrar = lab.pcscf.registrar;
  const auto offer = client(41000, 41001);
  RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = kImpi, .impus = {}};
  call.client = &offer;
  const SetHandle first = registrar.registered(call).handle;
  EXPECT_EQ(register_at_pcscf(lab, offer, "late@example"), Refusal::spis_exhausted);
  EXPECT_EQ(registrar.count(SetState::offered), 1u);
  EXPECT_EQ(registrar.registrations(), 1u);
  EXPECT_EQ(registrar.spis().quarantined(), 1u);
  registrar.remove(first, true, true, [](auto) {});
  lab.pcscf.settle();
  EXPECT_EQ(register_at_pcscf(lab, offer, "late@example"), Refusal::spis_exhausted);
  lab.pass_time(std::chrono::seconds(config.spi_quarantine_s));
  EXPECT_EQ(register_at_pcscf(lab, offer, "late@example"), std::nullopt);
}

// Every table that can be full refuses by name and leaves nothing half installed.
TEST_F(RegistrarRulesTest, FullTablesRefuseWholeSets) {
  const AssumeRole role(control_thread);
  RegistrarConfig few_sets;
  few_sets.capacity = 2;
  GmLab small(few_sets);
  small.enrol({.impi = "a@example"});
  small.enrol({.impi = "b@example"});
  EXPECT_EQ(register_at_pcscf(small, client(41004, 41005), "c@example"),
            Refusal::registrations_full);

  TestClock clock;
  GmEnd end(Role::pcscf, clock, kPlainConfig,
            3);  // room for three SAs of each direction: one set and a half
  std::vector<SetHandle> sets;
  for (const std::string_view impi : {"a@example", "b@example"}) {
    const auto offer = client(static_cast<uint16_t>(41000 + sets.size()),
                              static_cast<uint16_t>(42000 + sets.size()));
    RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = impi, .impus = {}};
    call.client = &offer;
    sets.push_back(end.registrar.registered(call).handle);
  }
  EXPECT_EQ(challenge(end, sets[0], 1, 2), std::nullopt);
  EXPECT_EQ(challenge(end, sets[1], 3, 4), Refusal::capacity_reached);
  EXPECT_EQ(end.live_sas(), 4u);
  EXPECT_EQ(end.state(sets[1]), SetState::offered);
  end.registrar.remove(sets[0], true, true, [](auto) {});
  end.settle();
  EXPECT_EQ(challenge(end, sets[1], 3, 4), std::nullopt) << "the same keys: they were not used";
}

}  // namespace
}  // namespace gmesp
