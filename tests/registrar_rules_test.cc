// SPDX-License-Identifier: BSD-3-Clause
// What the Registrar refuses, and the rules that hold among sets and registrations.
#include <gtest/gtest.h>

#include <set>
#include <variant>

#include "control/registration/registrar.h"
#include "tests/registration_lab.h"

namespace gmesp {
namespace {

using namespace std::chrono_literals;

class RegistrarRulesTest : public testing::Test {
 protected:
  template <typename Call>
  static std::optional<Refusal> refusal_of(Call&& call) {
    const AssumeRole role(control_thread);
    try {
      call();
      return std::nullopt;
    } catch (const Refused& refused) {
      return refused.refusal();
    }
  }
  // Security-Client as some phone's, with numbers of the test's choice.
  static SecurityAgreement client(uint16_t port_c, uint16_t port_s, uint32_t spi_c = 0x80000001,
                                  uint32_t spi_s = 0x80000002) {
    return security_client(kPlainConfig.negotiation, {spi_c, spi_s, port_c, port_s});
  }
  static std::optional<Refusal> register_at_pcscf(GmLab& lab, const SecurityAgreement& client,
                                                  std::string_view impi = kImpi,
                                                  SetHandle over = kNoSet, const Address& ue = kUe4)
      ON(control_thread) {
    RegisterCall call{.ue = ue, .pcscf = kPcscf4, .impi = impi, .impus = {}};
    call.client = &client;
    call.over = over;
    try {
      lab.pcscf.registrar.registered(call);
      return std::nullopt;
    } catch (const Refused& refused) {
      return refused.refusal();
    }
  }
  static std::optional<Refusal> challenge(GmEnd& end, SetHandle handle, uint32_t ck, uint32_t ik,
                                          const SecurityAgreement* server = nullptr)
      ON(control_thread) {
    const auto ck_bytes = test_key(ck), ik_bytes = test_key(ik);
    return end.outcome([&](Registrar::Done done) ON(control_thread) {
      end.registrar.challenge(handle, ImsKey(ck_bytes), ImsKey(ik_bytes), server, std::move(done));
    });
  }
};

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

// Nor do REGISTERs in clear under ever new names keep anybody out: the oldest of them go.
TEST_F(RegistrarRulesTest, AFloodInClearKeepsNobodyOut) {
  const AssumeRole role(control_thread);
  RegistrarConfig config;
  config.capacity = 8;
  GmLab lab(config);
  const Pair set = lab.enrol();
  const auto offer = client(41000, 41001);
  std::vector<SetHandle> flood;
  for (int i = 0; i < 30; ++i) {
    const std::string impi = "flood" + std::to_string(i) + "@example";
    RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = impi};
    call.client = &offer;
    flood.push_back(lab.pcscf.registrar.registered(call).handle);
  }
  EXPECT_EQ(lab.pcscf.registrar.count(SetState::offered), 7u);
  EXPECT_TRUE(lab.pcscf.knows(flood[29 - 6]));
  EXPECT_FALSE(lab.pcscf.knows(flood[29 - 7]));
  const Pair next = lab.enrol({}, set);
  EXPECT_EQ(lab.pcscf.state(next.pcscf), SetState::established);
  // What came over a set does not make way.
  const Pair protected_offer = lab.offer({}, next);
  for (int i = 30; i < 60; ++i) {
    EXPECT_EQ(register_at_pcscf(lab, offer, "flood" + std::to_string(i) + "@example"),
              std::nullopt);
  }
  EXPECT_TRUE(lab.pcscf.knows(protected_offer.pcscf));
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

// INT-41, INT-44, INT-49a, INT-32: which registration a packet came through.
TEST_F(RegistrarRulesTest, AFlowLeadsToItsRegistration) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.enrol();
  const SetView view = lab.pcscf.registrar.view(set.pcscf);
  const auto check = [&](uint16_t ue_port, uint16_t pcscf_port, std::string_view impi = "",
                         std::string_view impu = "", std::optional<Address> contact = {})
                         ON(control_thread) -> std::variant<SetHandle, Refusal> {
    try {
      return lab.pcscf.registrar.check({kUe4, ue_port, pcscf_port}, impi, impu, contact);
    } catch (const Refused& refused) {
      return refused.refusal();
    }
  };
  using Answer = std::variant<SetHandle, Refusal>;
  EXPECT_EQ(check(view.ue.port_c, view.pcscf.port_s, kImpi, kImpu, kUe4), Answer(set.pcscf));
  EXPECT_EQ(check(view.ue.port_s, view.pcscf.port_c), Answer(set.pcscf));
  EXPECT_EQ(check(view.ue.port_c, 0), Answer(set.pcscf));
  EXPECT_EQ(check(view.ue.port_c, view.pcscf.port_c), Answer(Refusal::no_such_flow));
  EXPECT_EQ(check(1234, 0), Answer(Refusal::no_such_flow));
  EXPECT_EQ(check(view.ue.port_c, 0, "other@example"), Answer(Refusal::other_impi));
  EXPECT_EQ(check(view.ue.port_c, 0, "", "sip:other@example"), Answer(Refusal::unknown_impu));
  EXPECT_EQ(check(view.ue.port_c, 0, "", "", kUe6), Answer(Refusal::contact_differs));
}

// INT-41: the identities that the 200 OK names replace those of the REGISTER.
TEST_F(RegistrarRulesTest, OkNamesTheIdentities) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.offer();
  lab.challenge(set);
  lab.respond(set);
  const std::string_view registered[] = {"sip:+15550001@ims.example", "tel:+15550001"};
  lab.pcscf.registrar.ok(
      set.pcscf, 60, [](auto) {}, registered);
  lab.pcscf.settle();
  const uint16_t port = lab.pcscf.registrar.view(set.pcscf).ue.port_c;
  EXPECT_EQ(lab.pcscf.registrar.check({kUe4, port, 0}, "", "tel:+15550001", {}), set.pcscf);
}

// INT-49b: two SIP user agents of one UE have different ports and sets.
TEST_F(RegistrarRulesTest, TwoAgentsOfOneUeHaveTheirOwnPorts) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair one = lab.enrol();
  const Pair two = lab.enrol({.impi = "second-isim@example", .impu = "sip:second@example"});
  const SetView first = lab.ue.registrar.view(one.ue), second = lab.ue.registrar.view(two.ue);
  const std::set<uint16_t> ports{first.ue.port_c, first.ue.port_s, second.ue.port_c,
                                 second.ue.port_s};
  EXPECT_EQ(ports.size(), 4u);
  EXPECT_TRUE(lab.request_up(one));
  EXPECT_TRUE(lab.request_up(two));
}

// INT-45, INT-46, SPEC 7.1: port_us stays while registered, port_uc is new and random each time.
TEST_F(RegistrarRulesTest, TheUePicksItsPorts) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair first = lab.enrol();
  const Pair second = lab.enrol({}, first);
  const SetView one = lab.ue.registrar.view(first.ue), two = lab.ue.registrar.view(second.ue);
  EXPECT_EQ(one.ue.port_s, two.ue.port_s);
  EXPECT_NE(one.ue.port_c, two.ue.port_c);
  std::set<uint16_t> seen;
  for (int i = 0; i < 50; ++i) {
    const std::string impi = std::to_string(i) + "@example";
    seen.insert(lab.ue.registrar.view(lab.offer({.impi = impi}).ue).ue.port_c);
  }
  EXPECT_EQ(seen.size(), 50u);
}

TEST_F(RegistrarRulesTest, AUeWithoutAFreePortIsTold) {
  const AssumeRole role(control_thread);
  RegistrarConfig config;
  config.ue_port_first = 40000;
  config.ue_port_last = 40002;
  GmLab lab(config);
  EXPECT_EQ(refusal_of([&]() ON(control_thread) { lab.offer({.impi = "a@example"}); }),
            std::nullopt);
  EXPECT_EQ(refusal_of([&]() ON(control_thread) { lab.offer({.impi = "b@example"}); }),
            Refusal::no_port_left);
}

// SPEC 7.1: port_ps is fixed, port_pc changes with each set.
TEST_F(RegistrarRulesTest, PortPcAlternates) {
  const AssumeRole role(control_thread);
  RegistrarConfig config;
  config.port_pc = {5062, 5064, 5066};
  GmLab lab(config);
  Pair set = lab.enrol();
  std::vector<uint16_t> ports;
  for (int i = 0; i < 4; ++i) {
    const SetView view = lab.pcscf.registrar.view(set.pcscf);
    EXPECT_EQ(view.pcscf.port_s, 5063);
    ports.push_back(view.pcscf.port_c);
    set = lab.enrol({}, set);
  }
  EXPECT_EQ(ports, (std::vector<uint16_t>{5062, 5064, 5066, 5062}));
}

// INT-72, INT-73, INT-74, PUB-11: old and new side by side; the UE keeps its old inbound SAs until
// a packet arrives on the new ones.
TEST_F(RegistrarRulesTest, TheUeKeepsItsOldSetUntilTheNewOneIsHeard) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair old_set = lab.enrol();
  EXPECT_TRUE(lab.request_up(old_set));
  const Pair new_set = lab.offer({}, old_set);
  lab.challenge(new_set);
  lab.respond(new_set);
  lab.ok_at_pcscf(new_set);
  lab.ok_at_ue(new_set);
  EXPECT_EQ(lab.ue.state(old_set.ue), SetState::established);
  EXPECT_TRUE(lab.request_down(old_set)) << "the P-CSCF goes on sending on the old set";
  EXPECT_TRUE(lab.request_down(new_set));
  EXPECT_EQ(lab.ue.state(old_set.ue), SetState::old);
  EXPECT_EQ(lab.ue.left(old_set.ue), 128s);
}

// PUB-12: a new address: everything begins in clear, and the old address's sets go.
TEST_F(RegistrarRulesTest, AUeWithANewAddressRegistersAfresh) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair before = lab.enrol();
  const Pair after = lab.enrol({.address = *parse_address("192.0.2.77")});
  EXPECT_FALSE(lab.pcscf.knows(before.pcscf));
  EXPECT_FALSE(lab.ue.knows(before.ue));
  EXPECT_TRUE(lab.request_up(after));
}

// DESIGN 4, SPEC 0.7: two sets with equal ports side by side: inbound by SPI, outbound by the set
// in use, which changes at ok(), before the 200 OK leaves.
TEST_F(RegistrarRulesTest, SetsWithEqualPortsLiveSideBySide) {
  const AssumeRole role(control_thread);
  RegistrarConfig config;
  config.port_pc = {5062};
  GmLab lab(config);
  const auto offer = [&](uint32_t spi, SetHandle over) ON(control_thread) {
    const auto same_ports = client(41000, 41001, spi, spi + 1);
    RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = kImpi, .impus = {}, .over = over};
    call.client = &same_ports;
    return lab.pcscf.registrar.registered(call).handle;
  };
  const auto spi_to_ue = [&](SetHandle set) ON(control_thread) {
    lab.goes_down(lab.pcscf.registrar.view(set), 5062, 41001);
    return static_cast<uint32_t>(lab.wire_spi);
  };
  const SetHandle first = offer(1001, kNoSet);
  EXPECT_EQ(challenge(lab.pcscf, first, 1, 2), std::nullopt);
  lab.answer(first, client(41000, 41001, 1001, 1002));
  lab.ok_at_pcscf({kNoSet, first});
  EXPECT_EQ(spi_to_ue(first), 1002u);
  const SetHandle second = offer(2001, first);
  EXPECT_EQ(challenge(lab.pcscf, second, 3, 4), std::nullopt);
  EXPECT_EQ(spi_to_ue(first), 1002u) << "temporary: not in use yet";
  lab.answer(second, client(41000, 41001, 2001, 2002));
  lab.ok_at_pcscf({kNoSet, second});
  EXPECT_EQ(spi_to_ue(second), 2002u);
  lab.pcscf.registrar.remove(second, true, true, [](auto) {});
  lab.pcscf.settle();
  EXPECT_EQ(spi_to_ue(first), 1002u) << "falls back to the one before";
}

// INT-08: the form of 2002, a pair per transport. PRS-04: a single pair.
TEST_F(RegistrarRulesTest, OtherFormsOfASet) {
  const AssumeRole role(control_thread);
  for (const SetForm form : {SetForm::transport_pairs, SetForm::single_pair}) {
    RegistrarConfig config;
    config.form = form;
    GmLab lab(config);
    const Pair set = lab.offer();
    lab.challenge(set);
    const SetView view = lab.ue.registrar.view(set.ue);
    const bool pairs = form == SetForm::transport_pairs;
    EXPECT_EQ(lab.pcscf.live_sas(), pairs ? 4u : 2u);
    // spi-s and port-s are UDP's, or the pair's.
    EXPECT_TRUE(lab.goes_up(view, view.ue.port_s, view.pcscf.port_s));
    EXPECT_EQ(lab.wire_spi, view.pcscf.spi_s);
    EXPECT_TRUE(lab.goes_down(view, view.pcscf.port_s, view.ue.port_s));
    EXPECT_EQ(lab.wire_spi, view.ue.spi_s);
    const uint16_t tcp_port = pairs ? view.ue.port_c : view.ue.port_s;
    EXPECT_TRUE(lab.goes_up(view, tcp_port, view.pcscf.port_s, true));
    EXPECT_EQ(lab.wire_spi, pairs ? view.pcscf.spi_c : view.pcscf.spi_s);
    EXPECT_TRUE(lab.goes_down(view, view.pcscf.port_s, tcp_port, true));
  }
}

// SPEC 6, 9.1 weakness 2: uc->pc and ps->us, for a UE that is let.
TEST_F(RegistrarRulesTest, PortsOfSetTakesAnyPairOfTheSet) {
  const AssumeRole role(control_thread);
  for (const SelectorRule rule : {SelectorRule::strict, SelectorRule::ports_of_set}) {
    RegistrarConfig config;
    config.selector = rule;
    GmLab lab(config);
    const Pair set = lab.enrol();
    const SetView view = lab.ue.registrar.view(set.ue);
    const bool taken = rule == SelectorRule::ports_of_set;
    EXPECT_EQ(lab.goes_up(view, view.ue.port_c, view.pcscf.port_c), taken);
    EXPECT_EQ(lab.goes_down(view, view.pcscf.port_s, view.ue.port_s), taken);
    EXPECT_FALSE(lab.goes_up(view, 45678, view.pcscf.port_s));
  }
}

// INT-47: the UE takes a packet over the SA that is meant for it only: a P-CSCF that sends from
// another port of the set is not heard.
TEST_F(RegistrarRulesTest, TheUeChecksTheInboundSa) {
  const AssumeRole role(control_thread);
  RegistrarConfig generous;
  generous.selector = SelectorRule::ports_of_set;
  GmLab lab(kPlainConfig, generous);
  const Pair set = lab.enrol();
  const SetView view = lab.ue.registrar.view(set.ue);
  EXPECT_TRUE(lab.goes_down(view, view.pcscf.port_c, view.ue.port_s));
  EXPECT_FALSE(lab.goes_down(view, view.pcscf.port_s, view.ue.port_s));
  EXPECT_EQ(lab.wire_spi, view.ue.spi_s) << "it left, and arrived";
}

// INT-44: with ports-of-set too, the P-CSCF's port tells the old set from the new one.
TEST_F(RegistrarRulesTest, AFlowOfPortsOfSetLeadsToItsSet) {
  const AssumeRole role(control_thread);
  RegistrarConfig config;
  config.selector = SelectorRule::ports_of_set;
  GmLab lab(config);
  const Pair old_set = lab.enrol();
  const Pair new_set = lab.offer({}, old_set);
  lab.challenge(new_set);
  const SetView view = lab.pcscf.registrar.view(new_set.pcscf);
  EXPECT_EQ(lab.pcscf.registrar.check({kUe4, view.ue.port_s, view.pcscf.port_c}, "", "", {}),
            new_set.pcscf);
  EXPECT_EQ(lab.pcscf.registrar.check({kUe4, view.ue.port_s, 5062}, "", "", {}), old_set.pcscf);
}

// R16: what the SIP layer does not believe in goes after a grace; what it misses is named.
TEST_F(RegistrarRulesTest, ReconcileFindsOrphansAndWhatIsMissing) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair believed = lab.enrol({.impi = "a@example"});
  const Pair orphan = lab.enrol({.impi = "b@example"});
  std::vector<SetHandle> missing;
  const SetHandle lost{0x1234};
  Registrar& registrar = lab.pcscf.registrar;
  lab.pass_time(1s);
  const SetHandle half[] = {believed.pcscf};
  const uint32_t session = registrar.reconcile(0, half, missing);
  const Pair later = lab.enrol({.impi = "c@example"});
  const SetHandle rest[] = {lost, believed.pcscf};
  EXPECT_EQ(registrar.reconcile(session, rest, missing), session);
  EXPECT_EQ(missing, std::vector<SetHandle>{lost});
  EXPECT_EQ(registrar.finish_reconcile(session, 10s), 1u);
  EXPECT_EQ(refusal_of([&]() ON(control_thread) { registrar.finish_reconcile(session, 10s); }),
            Refusal::stale_session);
  EXPECT_EQ(refusal_of([&]() ON(control_thread) { registrar.reconcile(session, rest, missing); }),
            Refusal::stale_session);
  EXPECT_TRUE(lab.pcscf.knows(orphan.pcscf));
  lab.pass_time(11s);
  EXPECT_FALSE(lab.pcscf.knows(orphan.pcscf));
  EXPECT_TRUE(lab.pcscf.knows(believed.pcscf));
  EXPECT_TRUE(lab.pcscf.knows(later.pcscf));
}

// A set that is removed while it is being installed, or promoted, leaves nothing, and every call is
// answered once.
TEST_F(RegistrarRulesTest, RemovalDuringInstallAndPromotionAnswersBoth) {
  const AssumeRole role(control_thread);
  for (const bool during_install : {true, false}) {
    GmLab lab;
    const Pair set = lab.offer();
    std::vector<std::optional<Refusal>> first, second;
    const auto ck = test_key(1), ik = test_key(2);
    const auto note = [&](std::optional<Refusal> refusal) { first.push_back(refusal); };
    if (during_install) {
      lab.pcscf.registrar.challenge(set.pcscf, ImsKey(ck), ImsKey(ik), nullptr, note);
    } else {
      lab.challenge(set);
      lab.respond(set);
      lab.pcscf.registrar.ok(set.pcscf, 60, note);
    }
    lab.pcscf.registrar.remove(set.pcscf, true, true,
                               [&](std::optional<Refusal> refusal) { second.push_back(refusal); });
    lab.pcscf.settle();
    ASSERT_EQ(first.size(), 1u);
    EXPECT_EQ(first[0], Refusal::unknown_handle);
    ASSERT_EQ(second.size(), 1u);
    EXPECT_EQ(second[0], std::nullopt);
    EXPECT_EQ(lab.pcscf.live_sas(), 0u);
  }
}

}  // namespace
}  // namespace gmesp
