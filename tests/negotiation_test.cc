// SPDX-License-Identifier: BSD-3-Clause
// Which pair of algorithms protects a registration, and what Security-Server and Security-Client
// say of it.
#include "control/registration/negotiation.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace gmesp {
namespace {

using Suites = std::vector<Suite>;

constexpr OwnNumbers kUe{1001, 1002, 32000, 32001};
constexpr OwnNumbers kPcscf{70001, 70002, 5062, 5063};

NegotiationPolicy policy_of(Suites combinations,
                            EncryptionPolicy encryption = EncryptionPolicy::preferred,
                            ServerList list = ServerList::common) {
  return {std::move(combinations), encryption, list, SpiFormat::plain};
}

SecurityAgreement offer_of(const Suites& suites) {
  return security_client(policy_of(suites, EncryptionPolicy::preferred), kUe);
}

Suites suites_of(const SecurityAgreement& agreement) {
  Suites suites;
  for (const SecurityMechanism& one : agreement.all()) {
    suites.push_back(find_suite(one.integrity, one.encryption).value());
  }
  return suites;
}

std::optional<Suite> chosen(const std::optional<Choice>& choice) {
  return choice ? std::optional(choice->suite) : std::nullopt;
}

// What AOSP's IMS stack offers: two algorithms of integrity with three of encryption (SPEC 6).
const Suites kAndroid{Suite::md5_des3,  Suite::md5_aes_cbc,  Suite::md5_null,
                      Suite::sha1_des3, Suite::sha1_aes_cbc, Suite::sha1_null};

// PRS-05, PRS-07, PRV-02: combinations with a cipher rank above those without, or alone count.
TEST(Negotiation, ThePolicyOrdersCombinations) {
  const Suites mixed{Suite::sha1_null, Suite::md5_aes_cbc, Suite::aes_gmac, Suite::aes_gcm};
  EXPECT_EQ(in_order(policy_of(mixed)),
            (Suites{Suite::md5_aes_cbc, Suite::aes_gcm, Suite::sha1_null, Suite::aes_gmac}));
  EXPECT_EQ(in_order(policy_of(mixed, EncryptionPolicy::required)),
            (Suites{Suite::md5_aes_cbc, Suite::aes_gcm}));
  EXPECT_EQ(in_order(policy_of(mixed, EncryptionPolicy::off)),
            (Suites{Suite::sha1_null, Suite::aes_gmac}));
}

// SPEC 6, R17: legacy algorithms stay selectable, behind the newer ones.
TEST(Negotiation, TheDefaultHasEveryCombination) {
  Suites all = in_order(NegotiationPolicy{});
  EXPECT_EQ(all.front(), Suite::aes_gcm);
  EXPECT_EQ(all.back(), Suite::md5_null);
  std::ranges::sort(all);
  ASSERT_EQ(all.size(), kSuiteCount);
  for (size_t i = 0; i < kSuiteCount; ++i) EXPECT_EQ(all[i], static_cast<Suite>(i));
}

// INT-52, PRS-06: the first of our own list that the UE has offered too, as a combination.
TEST(Negotiation, ThePcscfTakesItsOwnFirst) {
  const SecurityAgreement offer = offer_of(kAndroid);
  EXPECT_EQ(chosen(choose_ours_first(NegotiationPolicy{}, offer)), Suite::sha1_aes_cbc);
  const Suites other{Suite::aes_gcm, Suite::md5_des3, Suite::sha1_null};
  EXPECT_EQ(chosen(choose_ours_first(policy_of(other), offer)), Suite::md5_des3);
  EXPECT_EQ(chosen(choose_ours_first(policy_of(other, EncryptionPolicy::off), offer)),
            Suite::sha1_null);
}

// PRS-06: sha1 with null and md5 with aes-cbc are no offer of sha1 with aes-cbc.
TEST(Negotiation, AlgorithmsOfTwoElementsAreNoCombination) {
  const SecurityAgreement offer = offer_of({Suite::sha1_null, Suite::md5_aes_cbc});
  EXPECT_FALSE(choose_ours_first(policy_of({Suite::sha1_aes_cbc}), offer));
}

// INT-21: withdrawing a broken algorithm on the P-CSCF is enough: set-up picks the other.
TEST(Negotiation, AWithdrawnAlgorithmIsNotChosenThoughTheUePrefersIt) {
  const SecurityAgreement offer = offer_of({Suite::md5_null, Suite::sha1_null});
  EXPECT_EQ(chosen(choose_ours_first(policy_of({Suite::md5_null, Suite::sha1_null}), offer)),
            Suite::md5_null);
  EXPECT_EQ(chosen(choose_ours_first(policy_of({Suite::sha1_null}), offer)), Suite::sha1_null);
}

// INT-65, PRS-05: nothing in common; NULL is excluded where encryption is required.
TEST(Negotiation, AnUnacceptableOfferIsNotChosenFrom) {
  EXPECT_FALSE(choose_ours_first(policy_of({Suite::aes_gcm}), offer_of(kAndroid)));
  EXPECT_FALSE(
      choose_ours_first(policy_of({Suite::sha1_null, Suite::aes_gcm}, EncryptionPolicy::required),
                        offer_of({Suite::sha1_null})));
  EXPECT_FALSE(choose_ours_first(NegotiationPolicy{}, {}));
}

// INT-24: transport mode; SPEC 7.3: esp only. R17: no pair that find_suite() does not have.
TEST(Negotiation, OnlyEspInTransportModeIsChosen) {
  for (size_t wrong = 0; wrong < 4; ++wrong) {
    SecurityAgreement offer = offer_of({Suite::sha1_null});
    SecurityMechanism& one = offer.mechanisms[0];
    if (wrong == 0) one.esp = false;
    if (wrong == 1) one.mode = EspMode::tunnel;
    if (wrong == 2) one.mode = EspMode::udp_encapsulated_tunnel;
    if (wrong == 3) one.encryption = EncryptionAlgorithm::aes_gcm;
    EXPECT_FALSE(choose_ours_first(NegotiationPolicy{}, offer)) << wrong;
    EXPECT_FALSE(choose_theirs_first(NegotiationPolicy{}, offer)) << wrong;
  }
}

// Of several elements that fit, the first that is usable.
TEST(Negotiation, TheFirstFittingElementIsTaken) {
  SecurityAgreement offer = offer_of({Suite::sha1_null});
  offer.add(offer.mechanisms[0]);
  offer.add(offer.mechanisms[0]);
  offer.mechanisms[0].esp = false;
  offer.mechanisms[1].spi_c = 5001;
  offer.mechanisms[2].spi_c = 5002;
  EXPECT_EQ(choose_ours_first(NegotiationPolicy{}, offer).value().theirs, offer.mechanisms[1]);
}

// INT-55: by q, then by position; no q is as good as 1.
TEST(Negotiation, TheUeTakesTheirFirst) {
  const NegotiationPolicy ue = policy_of({Suite::sha1_aes_cbc, Suite::sha1_null, Suite::md5_null});
  SecurityAgreement list;
  for (const Suite suite :
       {Suite::aes_gcm, Suite::md5_null, Suite::sha1_null, Suite::sha1_aes_cbc}) {
    SecurityMechanism one;
    one.integrity = suite_info(suite).integrity;
    one.encryption = suite_info(suite).encryption;
    list.add(one);
  }
  EXPECT_EQ(chosen(choose_theirs_first(ue, list)), Suite::md5_null);
  list.mechanisms[1].q = 999;
  EXPECT_EQ(chosen(choose_theirs_first(ue, list)), Suite::sha1_null);
  list.mechanisms[2].q = 100;
  list.mechanisms[3].q = 999;
  EXPECT_EQ(chosen(choose_theirs_first(ue, list)), Suite::md5_null);
  list.mechanisms[1].q = 0;
  EXPECT_EQ(chosen(choose_theirs_first(ue, list)), Suite::sha1_aes_cbc);
}

// INT-66: the UE ends the registration.
TEST(Negotiation, TheUeTakesNothingThatItDoesNotHave) {
  EXPECT_FALSE(choose_theirs_first(policy_of({Suite::aes_gcm}), offer_of(kAndroid)));
  EXPECT_FALSE(choose_theirs_first(
      policy_of({Suite::sha1_null, Suite::sha1_aes_cbc}, EncryptionPolicy::required),
      offer_of({Suite::sha1_null})));
}

// INT-54, PRS-07: all with the same SPIs and ports, best first, each with a q of its own.
TEST(Negotiation, SecurityServerListsByPolicy) {
  const Suites ours{Suite::aes_gcm, Suite::sha1_aes_cbc, Suite::sha1_null};
  const SecurityAgreement offer = offer_of(kAndroid);
  const auto listed = [&](ServerList list) {
    return security_server(policy_of(ours, EncryptionPolicy::preferred, list), offer,
                           Suite::sha1_aes_cbc, kPcscf);
  };
  EXPECT_EQ(suites_of(listed(ServerList::common)), (Suites{Suite::sha1_aes_cbc, Suite::sha1_null}));
  EXPECT_EQ(suites_of(listed(ServerList::chosen)), (Suites{Suite::sha1_aes_cbc}));
  EXPECT_EQ(suites_of(listed(ServerList::all)), ours);

  EXPECT_EQ(listed(ServerList::chosen).mechanisms[0].q, SecurityMechanism::kNoQ);
  const SecurityAgreement all = listed(ServerList::all);
  EXPECT_EQ(all.mechanisms[0].q, 1000);
  EXPECT_EQ(all.mechanisms[1].q, 900);
  EXPECT_EQ(all.mechanisms[2].q, 800);
  for (const SecurityMechanism& one : all.all()) {
    EXPECT_TRUE(one.esp);
    EXPECT_EQ(one.mode, EspMode::transport);
    EXPECT_EQ(one.spi_c, kPcscf.spi_c);
    EXPECT_EQ(one.spi_s, kPcscf.spi_s);
    EXPECT_EQ(one.port_c, kPcscf.port_c);
    EXPECT_EQ(one.port_s, kPcscf.port_s);
  }
}

// INT-02, INT-52, INT-55: whatever each of the lists, both ends come to the same combination.
TEST(Negotiation, BothEndsChooseTheSame) {
  for (unsigned ues = 1; ues < 1U << kSuiteCount; ++ues) {
    for (unsigned ours = 1; ours < 1U << kSuiteCount; ours += 3) {
      Suites of_ue;
      Suites of_pcscf;
      for (unsigned i = 0; i < kSuiteCount; ++i) {
        if ((ues >> i & 1U) != 0) of_ue.push_back(static_cast<Suite>(i));
        if ((ours >> i & 1U) != 0) of_pcscf.insert(of_pcscf.begin(), static_cast<Suite>(i));
      }
      const SecurityAgreement offer = offer_of(of_ue);
      for (const ServerList list : {ServerList::common, ServerList::chosen, ServerList::all}) {
        const NegotiationPolicy policy = policy_of(of_pcscf, EncryptionPolicy::preferred, list);
        const auto choice = choose_ours_first(policy, offer);
        ASSERT_EQ(choice.has_value(), (ues & ours) != 0);
        if (!choice) continue;
        const SecurityAgreement server = security_server(policy, offer, choice->suite, kPcscf);
        ASSERT_EQ(chosen(choose_theirs_first(policy_of(of_ue), server)), choice->suite);
      }
    }
  }
}

// PRV-01: ciphers are always offered, unless this end is configured without.
TEST(Negotiation, SecurityClientOffersCiphers) {
  const SecurityAgreement offer = security_client(NegotiationPolicy{}, kUe);
  EXPECT_EQ(suites_of(offer), in_order(NegotiationPolicy{}));
  for (const SecurityMechanism& one : offer.all()) {
    EXPECT_EQ(one.q, SecurityMechanism::kNoQ);
    EXPECT_EQ(one.spi_c, kUe.spi_c);
    EXPECT_EQ(one.spi_s, kUe.spi_s);
    EXPECT_EQ(one.port_c, kUe.port_c);
    EXPECT_EQ(one.port_s, kUe.port_s);
  }
  const NegotiationPolicy off =
      policy_of({Suite::sha1_aes_cbc, Suite::sha1_null}, EncryptionPolicy::off);
  EXPECT_EQ(suites_of(security_client(off, kUe)), (Suites{Suite::sha1_null}));
}

}  // namespace
}  // namespace gmesp
