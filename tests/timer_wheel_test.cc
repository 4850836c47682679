// SPDX-License-Identifier: BSD-3-Clause
// Deadlines against a plain sorted list of them, and what they cost.
#include "control/registration/timer_wheel.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <chrono>
#include <limits>
#include <map>
#include <set>
#include <vector>

namespace gmesp {
namespace {

constexpr size_t kAll = std::numeric_limits<size_t>::max();
constexpr int64_t kTick = TimerWheel::kTickMs;
constexpr int64_t kWeek = int64_t{7} * 24 * 3600 * 1000;

using Items = std::multiset<uint32_t>;
Items due_at(TimerWheel& wheel, int64_t now_ms) {
  Items items;
  EXPECT_FALSE(wheel.advance(now_ms, kAll, [&](uint32_t item) { items.insert(item); }));
  return items;
}

// PUB-02, PUB-03, PUB-05: not a millisecond early, and no more than a tick late.
TEST(TimerWheel, AnItemIsDueAtTheFirstTickAtOrAfterItsDeadline) {
  for (const int64_t start : {int64_t{0}, int64_t{1}, int64_t{123456789}}) {
    for (const int64_t after :
         {int64_t{1}, kTick - 1, kTick, kTick + 1, 63 * kTick, 64 * kTick, 65 * kTick,
          int64_t{128000}, int64_t{240000}, 4096 * kTick, kWeek + 30000, 5 * kWeek, 1000 * kWeek}) {
      TimerWheel wheel(4, start);
      const int64_t deadline = start + after;
      wheel.set(3, deadline);
      EXPECT_EQ(due_at(wheel, deadline - 1), Items{}) << start << " + " << after;
      const int64_t tick = (deadline + kTick - 1) / kTick * kTick;
      EXPECT_EQ(due_at(wheel, tick - 1), Items{}) << start << " + " << after;
      EXPECT_EQ(due_at(wheel, tick), Items{3}) << start << " + " << after;
      EXPECT_EQ(wheel.size(), 0U);
      EXPECT_EQ(due_at(wheel, tick + 2 * kWeek), Items{});
    }
  }
}

TEST(TimerWheel, ADeadlineInThePastIsDueAtTheNextAdvance) {
  TimerWheel wheel(4, 1000000);
  wheel.set(0, 1000000 - kTick);
  wheel.set(1, 0);
  wheel.set(2, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(due_at(wheel, 1000000), (Items{0, 1, 2}));
}

TEST(TimerWheel, TheLatestDeadlineThereIsNeverComes) {
  TimerWheel wheel(2, 5);
  wheel.set(0, std::numeric_limits<int64_t>::max());
  wheel.set(1, kWeek);
  EXPECT_EQ(due_at(wheel, 100 * kWeek), Items{1});
  EXPECT_EQ(due_at(wheel, 50000 * kWeek), Items{});
  EXPECT_EQ(wheel.size(), 1U);
}

TEST(TimerWheel, SetReplacesAndCancelForgets) {
  TimerWheel wheel(3, 0);
  wheel.set(0, 1000);
  wheel.set(0, kWeek);
  wheel.set(1, kWeek);
  wheel.set(1, 1000);
  wheel.set(2, 1000);
  wheel.cancel(2);
  wheel.cancel(2);
  EXPECT_EQ(wheel.size(), 2U);
  EXPECT_EQ(due_at(wheel, 2000), Items{1});
  EXPECT_EQ(due_at(wheel, kWeek + kTick), Items{0});
}

TEST(TimerWheel, ACallTakesNoMoreThanItWasAllowed) {
  TimerWheel wheel(1000, 0);
  for (uint32_t item = 0; item < 1000; ++item) wheel.set(item, kWeek + item % 100);
  EXPECT_FALSE(wheel.advance(kWeek / 2, 10, [](uint32_t) { FAIL(); }));
  std::set<uint32_t> seen;
  size_t calls = 0;
  for (bool more = true; more; ++calls) {
    size_t now_due = 0;
    more = wheel.advance(kWeek + 200, 10, [&](uint32_t item) {
      seen.insert(item);
      ++now_due;
    });
    EXPECT_LE(now_due, 10U);
    ASSERT_LT(calls, 1000U);
  }
  EXPECT_EQ(seen.size(), 1000U);
}

TEST(TimerWheel, AnItemMayBeSetAndOthersCancelledWhenOneIsDue) {
  TimerWheel wheel(3, 0);
  for (uint32_t item = 0; item < 3; ++item) wheel.set(item, 100);
  int rounds = 0;
  Items items;
  wheel.advance(200, kAll, [&](uint32_t item) {
    items.insert(item);
    for (uint32_t other = 0; other < 3; ++other) wheel.cancel(other);
    if (++rounds < 3) wheel.set(item, 0);  // has come: due again in this call
    if (rounds == 3) wheel.set(item, 10000);
  });
  EXPECT_EQ(rounds, 3);
  EXPECT_EQ(items.count(*items.begin()), 3U);
  EXPECT_EQ(due_at(wheel, 10000 + kTick).size(), 1U);
}

// Random calls against std::multimap: the same items at the same ticks.
class Model {
 public:
  void set(uint32_t item, int64_t deadline) {
    cancel(item);
    places_[item] = deadlines_.emplace((std::max<int64_t>(deadline, 0) + kTick - 1) / kTick, item);
  }
  void cancel(uint32_t item) {
    const auto place = places_.find(item);
    if (place == places_.end()) return;
    deadlines_.erase(place->second);
    places_.erase(place);
  }
  Items due_at(int64_t now) {
    Items items;
    while (!deadlines_.empty() && deadlines_.begin()->first <= now / kTick) {
      items.insert(deadlines_.begin()->second);
      cancel(deadlines_.begin()->second);
    }
    return items;
  }
  size_t size() const { return deadlines_.size(); }

 private:
  std::multimap<int64_t, uint32_t> deadlines_;
  std::map<uint32_t, std::multimap<int64_t, uint32_t>::iterator> places_;
};

int64_t any_span() { return *rc::gen::inRange<int64_t>(0, int64_t{1} << *rc::gen::inRange(1, 34)); }

TEST(TimerWheel, DoesWhatASortedListDoes) {
  EXPECT_TRUE(rc::check([] {
    constexpr uint32_t kItems = 40;
    int64_t now = any_span();
    TimerWheel wheel(kItems, now);
    Model model;
    for (int step = 0; step < 300; ++step) {
      const auto item = *rc::gen::inRange<uint32_t>(0, kItems);
      switch (*rc::gen::inRange(0, 8)) {
        case 0: {
          wheel.cancel(item);
          model.cancel(item);
          break;
        }
        case 1:
        case 2: {
          now += any_span();
          // In small pieces: where a call left off, the next one goes on.
          const auto most = *rc::gen::element<size_t>(1, 2, 7, kAll);
          Items items;
          while (wheel.advance(now, most, [&](uint32_t due) { items.insert(due); })) {
          }
          RC_ASSERT(items == model.due_at(now));
          break;
        }
        default: {
          const int64_t deadline = now + any_span() - (*rc::gen::inRange(0, 8) == 0 ? 5000 : 0);
          wheel.set(item, deadline);
          model.set(item, deadline);
        }
      }
      RC_ASSERT(wheel.size() == model.size());
    }
  }));
}

// Setting and cancelling between the pieces of one advance.
TEST(TimerWheel, NothingIsLostBetweenThePiecesOfAnAdvance) {
  EXPECT_TRUE(rc::check([] {
    constexpr uint32_t kItems = 60;
    TimerWheel wheel(kItems, 0);
    Model model;
    const auto change = [&](int64_t now) {
      const auto item = *rc::gen::inRange<uint32_t>(0, kItems);
      const int64_t deadline = now + 1 + any_span();
      wheel.set(item, deadline);
      model.set(item, deadline);
    };
    for (uint32_t i = 0; i < kItems; ++i) change(0);
    int64_t now = 0;
    for (int step = 0; step < 30; ++step) {
      now += any_span();
      Items items;
      Items expected = model.due_at(now);
      while (wheel.advance(now, 1, [&](uint32_t due) { items.insert(due); })) {
        const auto item = *rc::gen::inRange<uint32_t>(0, kItems);
        if (expected.contains(item)) continue;
        const int64_t deadline = now + kTick + any_span();
        wheel.set(item, deadline);
        model.set(item, deadline);
      }
      RC_ASSERT(items == expected);
    }
  }));
}

// "A million timers cost nothing per tick": idle ticks with a million cost what they cost with one.
TEST(TimerWheel, AnIdleTickCostsNothing) {
  constexpr uint32_t kMillion = 1000000;
  TimerWheel wheel(kMillion, 0);
  for (uint32_t item = 0; item < kMillion; ++item) wheel.set(item, kWeek + item * 500);
  const auto begin = std::chrono::steady_clock::now();
  size_t due = 0;
  int64_t now = 0;
  for (; now < kWeek - 2 * kTick; now += kTick) wheel.advance(now, kAll, [&](uint32_t) { ++due; });
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(due, 0U);
  const double ticks = static_cast<double>(now) / kTick;
  RecordProperty("ns_per_tick", std::to_string(took.count() / ticks));
  EXPECT_LT(took.count() / ticks, 1000) << "ns for each of " << ticks << " idle ticks";
}

}  // namespace
}  // namespace gmesp
