// SPDX-License-Identifier: BSD-3-Clause
// Strangers who send REGISTERs in clear, answered with a challenge or not, by the thousand.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "control/registration/registrar.h"
#include "dataplane/spd.h"
#include "tests/registrar_rules.h"

namespace gmesp {
namespace {

using RegistrarFloodsTest = RegistrarRulesTest;

// REGISTERs in clear under ever new names keep nobody out: the oldest of them go.
TEST_F(RegistrarFloodsTest, AFloodInClearKeepsNobodyOut) {
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

// Nor do those who are challenged and never answer, whose SAs live for reg-await-auth: each
// worker keeps a share for those who register again over their set.
TEST_F(RegistrarFloodsTest, ChallengedStrangersKeepNobodyOut) {
  const AssumeRole role(control_thread);
  TestClock clock;
  GmEnd end(Role::pcscf, clock, kPlainConfig, 16);  // SAs of each direction: eight sets
  uint32_t keys = 0;
  const auto offer = [&](std::string_view impi, uint16_t port, SetHandle over) ON(control_thread) {
    const auto ours = client(port, static_cast<uint16_t>(port + 1), 2 * port, 2 * port + 1);
    RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = impi, .impus = {}};
    call.client = &ours;
    call.over = over;
    return end.registrar.registered(call).handle;
  };
  const auto challenged = [&](SetHandle set) ON(control_thread) {
    keys += 2;
    return challenge(end, set, keys, keys + 1);
  };
  const auto authenticated = [&](SetHandle set) ON(control_thread) {
    const SetView view = end.registrar.view(set);
    const auto theirs = client(view.ue.port_c, view.ue.port_s, static_cast<uint32_t>(view.ue.spi_c),
                               static_cast<uint32_t>(view.ue.spi_s));
    end.registrar.response(set, &view.ours, &theirs);
    return end.outcome([&](Registrar::Done done) ON(control_thread) {
      end.registrar.ok(set, kExpires_s, std::move(done));
    });
  };
  const SetHandle registered = offer(kImpi, 40000, kNoSet);
  ASSERT_EQ(challenged(registered), std::nullopt);
  ASSERT_EQ(authenticated(registered), std::nullopt);
  for (uint16_t i = 0; i < 6; ++i) {
    const std::string stranger = "stranger" + std::to_string(i) + "@example";
    EXPECT_EQ(challenged(offer(stranger, static_cast<uint16_t>(41000 + 2 * i), kNoSet)),
              std::nullopt);
  }
  EXPECT_EQ(challenged(offer("late@example", 42000, kNoSet)), Refusal::capacity_reached);
  const SetHandle again = offer(kImpi, 40002, registered);
  EXPECT_EQ(challenged(again), std::nullopt) << "over its set";
  EXPECT_EQ(authenticated(again), std::nullopt);
  EXPECT_EQ(end.state(again), SetState::established);
  // In clear nobody has the share, by way of a set that nobody was authenticated over neither.
  EXPECT_EQ(challenged(offer("late@example", 42002, kNoSet)), Refusal::capacity_reached);
}

// Nor from the UE's own address, whose SAs a worker takes a bounded number of.
TEST_F(RegistrarFloodsTest, ChallengedStrangersAtOnesAddressKeepNobodyOut) {
  const AssumeRole role(control_thread);
  GmLab lab(kPlainConfig, kPlainConfig, 1024);
  const Pair set = lab.enrol();
  uint32_t keys = 1000;
  std::optional<Refusal> refusal;
  for (uint16_t i = 0; i < Spd::kMaxSasPerPair / 2 && !refusal; ++i) {
    const auto port = static_cast<uint16_t>(20000 + 2 * i);  // none that the UE would choose
    const auto offer = client(port, static_cast<uint16_t>(port + 1), 2 * port, 2 * port + 1);
    const std::string stranger = "stranger" + std::to_string(i) + "@example";
    RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = stranger, .impus = {}};
    call.client = &offer;
    keys += 2;
    refusal = challenge(lab.pcscf, lab.pcscf.registrar.registered(call).handle, keys, keys + 1);
  }
  EXPECT_EQ(refusal, Refusal::rejected_by_worker);
  EXPECT_GT(lab.pcscf.registrar.count(SetState::temporary), 100u);
  const Pair next = lab.enrol({}, set);
  EXPECT_EQ(lab.pcscf.state(next.pcscf), SetState::established);
  EXPECT_TRUE(lab.request_down(next));
}

// Nor under the IMPI of one who is registered, which is no secret: what came over a set is neither
// pushed out by offers in clear nor ended by their challenge (PUB-01: of this UE).
TEST_F(RegistrarFloodsTest, AFloodUnderOnesOwnNameKeepsNobodyOut) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.enrol();
  const Pair next = lab.offer({}, set);
  uint32_t keys = 1000;
  std::vector<SetHandle> strangers;
  const auto flood = [&]() ON(control_thread) {
    for (uint16_t i = 0; i < 5; ++i) {
      const auto offer = client(static_cast<uint16_t>(41000 + i), static_cast<uint16_t>(42000 + i));
      RegisterCall call{
          .ue = *parse_address("192.0.2.66"), .pcscf = kPcscf4, .impi = kImpi, .impus = {}};
      call.client = &offer;
      strangers.push_back(lab.pcscf.registrar.registered(call).handle);
    }
    keys += 2;
    EXPECT_EQ(challenge(lab.pcscf, strangers.back(), keys, keys + 1), std::nullopt);
  };
  flood();
  ASSERT_TRUE(lab.pcscf.knows(next.pcscf));
  EXPECT_EQ(lab.pcscf.state(strangers.back()), SetState::temporary);
  lab.challenge(next);
  EXPECT_FALSE(lab.pcscf.knows(strangers.back())) << "the UE's own ends it";
  flood();
  flood();
  EXPECT_EQ(lab.pcscf.registrar.count(SetState::temporary), 2u) << "the UE's, a stranger's";
  ASSERT_EQ(lab.pcscf.state(next.pcscf), SetState::temporary);
  EXPECT_TRUE(lab.respond(next));
  lab.ok_at_pcscf(next);
  EXPECT_EQ(lab.pcscf.state(next.pcscf), SetState::established);
  EXPECT_TRUE(lab.request_down(next));
}

// Nor do those whose authentication fails, over their sets or in clear.
TEST_F(RegistrarFloodsTest, StrangersWhoFailUnderOnesOwnNameKeepNobodyOut) {
  const AssumeRole role(control_thread);
  for (const bool over_its_set : {true, false}) {
    RegistrarConfig config;
    config.max_sets = 2;
    GmLab lab(config);
    const Pair set = lab.enrol();
    const Pair stranger = lab.offer();
    lab.challenge(stranger);
    EXPECT_TRUE(!over_its_set || lab.respond(stranger));
    EXPECT_EQ(lab.pcscf.outcome([&](Registrar::Done done) ON(control_thread) {
      lab.pcscf.registrar.fail(stranger.pcscf, FailReason::user_authentication, std::move(done));
    }),
              std::nullopt);
    EXPECT_EQ(lab.pcscf.knows(stranger.pcscf), over_its_set);
    const Pair next = lab.enrol({}, set);
    EXPECT_EQ(lab.pcscf.state(next.pcscf), SetState::established);
    EXPECT_FALSE(lab.pcscf.knows(stranger.pcscf));
  }
}

// INT-43 all the same: where an IMPI's sets leave no room beside the UE's own, it is a stranger's
// challenge that is refused.
TEST_F(RegistrarFloodsTest, AChallengeInClearTakesNoRoomOfTheUes) {
  const AssumeRole role(control_thread);
  RegistrarConfig config;
  config.max_sets = 2;
  GmLab lab(config);
  const Pair set = lab.enrol();
  const auto offer = client(41000, 41001);
  ASSERT_EQ(register_at_pcscf(lab, offer), std::nullopt);
  const Pair next = lab.offer({}, set);
  lab.challenge(next);
  EXPECT_EQ(register_at_pcscf(lab, offer), Refusal::too_many_sets);
  EXPECT_TRUE(lab.respond(next));
}

// Nor does their end: what expires at once is taken a little at a time, by number and by the clock.
TEST_F(RegistrarFloodsTest, ATickTakesNoMoreTimeThanItMay) {
  const AssumeRole role(control_thread);
  constexpr size_t kOffers = 3000;
  const auto offer = client(41000, 41001);
  const auto ticks = [&](int64_t between_looks_ms) ON(control_thread) {
    RegistrarConfig config;
    config.capacity = kOffers;
    GmLab lab(config);
    for (size_t i = 0; i < kOffers; ++i) {
      EXPECT_EQ(register_at_pcscf(lab, offer, std::to_string(i) + "@example"), std::nullopt);
    }
    lab.clock.ms += config.grace().count() + TimerWheel::kTickMs;
    lab.clock.between_looks_ms = between_looks_ms;
    size_t count = 1;
    while (lab.pcscf.registrar.tick()) ++count;
    EXPECT_EQ(lab.pcscf.registrar.count(SetState::offered), 0u);
    return count;
  };
  const size_t by_number = ticks(0);
  EXPECT_GE(by_number, kOffers / 1024);
  EXPECT_LE(by_number, 12u) << "a deadline moves down the wheel first";
  EXPECT_GE(ticks(1), kOffers / 32) << "16 a look, and two looks are too much";
}

}  // namespace
}  // namespace gmesp
