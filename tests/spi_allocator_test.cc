// SPDX-License-Identifier: BSD-3-Clause
// R19: random, unique, in the role's range, never avoided, in use or resting.
#include "control/registration/spi_allocator.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <deque>
#include <set>
#include <vector>

#include "control/registration/number_set.h"

namespace gmesp {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kQuarantine{256000};
constexpr size_t kMany = 100000;
const auto nobody = [](Spi) { return false; };

uint32_t number(Spi spi) { return static_cast<uint32_t>(spi); }

// INT-23: the MSB of the P-CSCF's SPIs is 0, of the UE's 1; INT-22: each end allocates its own.
TEST(SpiAllocator, TheRoleDecidesTheRange) {
  SpiAllocator pcscf(spi_range(Role::pcscf), kQuarantine, nobody, kMany, 1);
  SpiAllocator ue(spi_range(Role::ue), kQuarantine, nobody, kMany, 1);
  uint32_t least = 0xffffffff;
  uint32_t most = 0;
  for (size_t i = 0; i < kMany; ++i) {
    const uint32_t spi = number(pcscf.take({}, {}).value());
    ASSERT_GE(spi, 65536U);
    ASSERT_LE(spi, 0x7fffffffU);
    ASSERT_GE(number(ue.take({}, {}).value()), 0x80000000U);
    least = std::min(least, spi);
    most = std::max(most, spi);
  }
  // Random over all of it: the odds that none of 100,000 is in either last hundredth are 10^-436.
  EXPECT_LT(least, 0x7fffffffU / 100);
  EXPECT_GT(most, 0x7fffffffU / 100 * 99);
}

// R19: whoever knows one does not know the next.
TEST(SpiAllocator, TwoAllocatorsDoNotGiveTheSame) {
  SpiAllocator one(spi_range(Role::pcscf), kQuarantine, nobody, kMany, 1);
  SpiAllocator other(spi_range(Role::pcscf), kQuarantine, nobody, kMany, 1);
  int same = 0;
  for (int i = 0; i < 100; ++i) same += one.take({}, {}) == other.take({}, {});
  EXPECT_LT(same, 3);
}

TEST(SpiAllocator, EveryNumberOfTheRangeIsGivenOnceAndThenNone) {
  SpiAllocator allocator(SpiRange{500, 503}, kQuarantine, nobody, 4, 4);
  std::set<uint32_t> given;
  for (int i = 0; i < 4; ++i) given.insert(number(allocator.take({}, {}).value()));
  EXPECT_EQ(given, (std::set<uint32_t>{500, 501, 502, 503}));
  EXPECT_FALSE(allocator.take({}, {}));
}

// PRS-08: unlike any SPI that the UE sent; R19: unlike that of any SA of the box.
TEST(SpiAllocator, AvoidsTheUesAndThoseInUse) {
  constexpr std::array kTheirs{Spi{500}, Spi{503}};
  for (int i = 0; i < 100; ++i) {
    SpiAllocator allocator(
        SpiRange{500, 503}, kQuarantine, [](Spi spi) { return spi == Spi{502}; }, 4, 4);
    EXPECT_EQ(allocator.take(kTheirs, {}), Spi{501});
    EXPECT_FALSE(allocator.take(kTheirs, {}));
  }
}

// R19: a late packet does not meet a new SA.
TEST(SpiAllocator, AReleasedSpiRests) {
  SpiAllocator allocator(SpiRange{500, 500}, kQuarantine, nobody, 1, 10);
  const milliseconds start{1000};
  ASSERT_EQ(allocator.take({}, start), Spi{500});
  allocator.release(Spi{500}, start);
  EXPECT_EQ(allocator.quarantined(), 1U);
  EXPECT_FALSE(allocator.take({}, start + kQuarantine - milliseconds(1)));
  EXPECT_EQ(allocator.take({}, start + kQuarantine), Spi{500});
  EXPECT_EQ(allocator.quarantined(), 0U);
  EXPECT_EQ(allocator.let_go_early(), 0U);
}

TEST(SpiAllocator, WhatIsNotReservedIsNotReleased) {
  SpiAllocator allocator(SpiRange{500, 501}, kQuarantine, nobody, 2, 10);
  allocator.release(Spi{500}, {});
  EXPECT_EQ(allocator.quarantined(), 0U);
  const Spi spi = allocator.take({}, {}).value();
  allocator.release(spi, {});
  allocator.release(spi, milliseconds(9));
  EXPECT_EQ(allocator.quarantined(), 1U);
}

TEST(SpiAllocator, BeyondItsBoundTheOldestIsLetGoEarlyAndCounted) {
  SpiAllocator allocator(SpiRange{500, 502}, kQuarantine, nobody, 3, 2);
  std::vector<Spi> given;
  for (int i = 0; i < 3; ++i) given.push_back(allocator.take({}, {}).value());
  for (const Spi spi : given) allocator.release(spi, {});
  EXPECT_EQ(allocator.quarantined(), 2U);
  EXPECT_EQ(allocator.let_go_early(), 1U);
  EXPECT_EQ(allocator.take({}, {}), given[0]);
}

// R19 against a model: reserved and resting SPIs are never given, and every other one can be.
TEST(SpiAllocator, NeverGivesOneThatSomebodyHasOrHadAMomentAgo) {
  EXPECT_TRUE(rc::check([] {
    std::set<uint32_t> box;
    SpiAllocator allocator(
        SpiRange{300, 315}, milliseconds(100), [&](Spi spi) { return box.contains(number(spi)); },
        0, 1000);
    std::vector<uint32_t> held;
    std::deque<std::pair<uint32_t, milliseconds>> resting;
    milliseconds now{};
    for (int step = 0; step < 200; ++step) {
      now += milliseconds(*rc::gen::inRange(0, 40));
      // The box has one of its own now and then.
      if (*rc::gen::inRange(0, 5) == 0) box = {*rc::gen::inRange<uint32_t>(300, 316)};
      if (*rc::gen::inRange(0, 2) == 0 && !held.empty()) {
        const auto which = *rc::gen::inRange<size_t>(0, held.size());
        resting.emplace_back(held[which], now + milliseconds(100));
        allocator.release(Spi{held[which]}, now);
        held.erase(held.begin() + static_cast<ptrdiff_t>(which));
        continue;
      }
      while (!resting.empty() && resting.front().second <= now) resting.pop_front();
      const auto avoided = *rc::gen::inRange<uint32_t>(300, 316);
      const auto spi = allocator.take(std::array{Spi{avoided}, Spi{7}}, now);
      if (!spi) continue;
      RC_ASSERT(number(*spi) != avoided);
      RC_ASSERT(!box.contains(number(*spi)));
      RC_ASSERT(std::find(held.begin(), held.end(), number(*spi)) == held.end());
      for (const auto& [rests, until] : resting) RC_ASSERT(rests != number(*spi));
      held.push_back(number(*spi));
    }
  }));
}

TEST(NumberSet, DoesWhatStdSetDoes) {
  EXPECT_TRUE(rc::check([] {
    NumberSet<uint32_t> set(*rc::gen::inRange<size_t>(0, 20));
    std::set<uint32_t> model;
    for (int step = 0; step < 400; ++step) {
      // Few homes, so that they push one another on, round the end too.
      const uint32_t one = 1 + *rc::gen::inRange<uint32_t>(0, 6) * 0x10000000 +
                           *rc::gen::element<uint32_t>(0, 1, 13, 14, 30);
      if (*rc::gen::inRange(0, 5) < 3) {
        RC_ASSERT(set.insert(one) == model.insert(one).second);
      } else {
        RC_ASSERT(set.erase(one) == (model.erase(one) == 1));
      }
      RC_ASSERT(set.size() == model.size());
      const uint32_t other = 1 + *rc::gen::inRange<uint32_t>(0, 6) * 0x10000000;
      RC_ASSERT(set.contains(other) == model.contains(other));
    }
    for (const uint32_t one : model) RC_ASSERT(set.contains(one));
  }));
}

}  // namespace
}  // namespace gmesp
