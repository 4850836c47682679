// SPDX-License-Identifier: BSD-3-Clause
// Authentications that fail: what becomes of the new set, and of those beside it.
#include <gtest/gtest.h>

#include "control/registration/registrar.h"
#include "tests/registration_lab.h"

namespace gmesp {
namespace {

using namespace std::chrono_literals;

const auto k64T1 = kPlainConfig.grace();

class RegistrarFailuresTest : public testing::Test {
 protected:
  static void challenged(GmLab& lab, const Pair& set) ON(control_thread) {
    lab.challenge(set);
    lab.respond(set);
  }
  static std::optional<Refusal> fail(GmLab& lab, const Pair& set,
                                     FailReason reason = FailReason::user_authentication)
      ON(control_thread) {
    return lab.pcscf.outcome([&](Registrar::Done done) ON(control_thread) {
      lab.pcscf.registrar.fail(set.pcscf, reason, std::move(done));
    });
  }
};

// INT-62: a set that failed carries its 403 and is trusted for nothing else.
TEST_F(RegistrarFailuresTest, WhatFailedIsNeverTrusted) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.offer();
  challenged(lab, set);
  EXPECT_EQ(fail(lab, set), std::nullopt);
  EXPECT_THROW(lab.pcscf.registrar.refresh(set.pcscf, 600), Refused);
  EXPECT_THROW(lab.offer({}, {kNoSet, set.pcscf}), Refused);
  const uint16_t port = lab.pcscf.registrar.view(set.pcscf).ue.port_c;
  EXPECT_THROW(lab.pcscf.registrar.check({kUe4, port, 0}, kImpi, "", {}), Refused);
}

// INT-62, PUB-08: the only set carries the 403; INT-75: beside an established one it goes at once.
TEST_F(RegistrarFailuresTest, AFailedAuthenticationRemovesTheNewSetOnly) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair alone = lab.offer();
  challenged(lab, alone);
  EXPECT_EQ(fail(lab, alone), std::nullopt);
  EXPECT_EQ(lab.pcscf.state(alone.pcscf), SetState::old);
  EXPECT_TRUE(lab.request_down(alone));
  lab.pass_time(k64T1 + 1s);
  EXPECT_FALSE(lab.pcscf.knows(alone.pcscf));

  const Pair established = lab.enrol();
  const Pair second = lab.offer({}, established);
  challenged(lab, second);
  EXPECT_EQ(fail(lab, second), std::nullopt);
  EXPECT_FALSE(lab.pcscf.knows(second.pcscf));
  EXPECT_TRUE(lab.request_down(established));
}

// PUB-08: a UE whose REGISTER came in clear hears the answer over the new set alone, whatever else
// its IMPI has: it may have lost that, or tried before. One such set at a time.
TEST_F(RegistrarFailuresTest, EveryFailedAuthenticationInClearGetsItsAnswer) {
  const AssumeRole role(control_thread);
  RegistrarConfig config;
  config.max_sets = 2;
  GmLab lab(config);
  const Pair established = lab.enrol();
  Pair before = established;
  for (int i = 0; i < 5; ++i) {
    const Pair set = lab.offer();
    challenged(lab, set);
    EXPECT_EQ(fail(lab, set), std::nullopt) << i;
    EXPECT_EQ(lab.pcscf.state(set.pcscf), SetState::old) << i;
    EXPECT_TRUE(lab.request_down(set)) << i;
    EXPECT_TRUE(i == 0 || !lab.pcscf.knows(before.pcscf)) << i;
    before = set;
  }
  EXPECT_EQ(lab.pcscf.state(established.pcscf), SetState::established);
  lab.pass_time(k64T1 + 1s);
  EXPECT_FALSE(lab.pcscf.knows(before.pcscf));
  EXPECT_TRUE(lab.request_down(established));
}

// JNT-4 is about the set before: what carries a last answer is none, and its end takes no new set
// into use. The UE may have lost the 200 OK and have the old one alone.
TEST_F(RegistrarFailuresTest, TheEndOfAFailedSetTakesNothingIntoUse) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair before = lab.enrol();
  EXPECT_TRUE(lab.request_up(before));
  const Pair unused = lab.enrol({}, before);
  const Pair failed = lab.offer();
  challenged(lab, failed);
  EXPECT_EQ(fail(lab, failed), std::nullopt);
  lab.pass_time(k64T1 + 1s);
  EXPECT_FALSE(lab.pcscf.knows(failed.pcscf));
  EXPECT_EQ(lab.pcscf.state(before.pcscf), SetState::established);
  EXPECT_FALSE(lab.pcscf.registrar.view(unused.pcscf).in_use);
}

// INT-63, INT-64, INT-75: the UE refused the challenge; the next REGISTER begins anew.
TEST_F(RegistrarFailuresTest, ANetworkOrSynchronisationFailureEndsTheSetAtOnce) {
  const AssumeRole role(control_thread);
  for (const FailReason reason : {FailReason::network_authentication, FailReason::synchronisation,
                                  FailReason::unacceptable, FailReason::timeout}) {
    GmLab lab;
    const Pair set = lab.offer();
    lab.challenge(set);
    EXPECT_EQ(fail(lab, set, reason), std::nullopt);
    EXPECT_FALSE(lab.pcscf.knows(set.pcscf)) << name(reason);
    EXPECT_EQ(lab.pcscf.live_sas(), 0u);
    lab.enrol();
  }
}

}  // namespace
}  // namespace gmesp
