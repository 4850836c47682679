// SPDX-License-Identifier: BSD-3-Clause
// Strangers who send REGISTERs in clear, answered with a challenge or not, by the thousand.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "control/registration/registrar.h"
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
