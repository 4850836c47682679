// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/counters.h"

#include <gtest/gtest.h>

#include <bit>
#include <set>
#include <thread>

namespace gmesp {
namespace {

using Words = std::array<uint64_t, sizeof(Counters) / sizeof(uint64_t)>;

// Every word different, so that a word left out or put in the wrong place shows.
Counters numbered(uint64_t step) {
  Words words;
  for (size_t i = 0; i < words.size(); ++i) words[i] = (i + 1) * step;
  return std::bit_cast<Counters>(words);
}

// The names are CLI labels, JSON keys and metric labels: others script them.
TEST(DropInfo, NamesAreUniqueSnakeCase) {
  std::set<std::string_view> names;
  for (const DropInfo& info : kDropInfo) {
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_EQ(info.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string_view::npos);
    EXPECT_FALSE(info.name.empty() || info.name.starts_with('_') || info.name.ends_with('_'));
    EXPECT_EQ(info.name.find("__"), std::string_view::npos) << info.name;
  }
}

TEST(DropInfo, EveryReasonSaysWhatItMeansAndWhereItComesFrom) {
  for (const DropInfo& info : kDropInfo) {
    EXPECT_FALSE(info.reference.empty()) << info.name;
    EXPECT_GE(info.meaning.size(), 15u) << info.name;
    EXPECT_EQ(&drop_info(info.drop), &info);
  }
}

TEST(Counters, EachDropHasItsOwnCount) {
  Counters counters;
  for (const DropInfo& info : kDropInfo) {
    for (size_t i = 0; i <= static_cast<size_t>(info.drop); ++i) counters.count(info.drop);
  }
  for (const DropInfo& info : kDropInfo) {
    EXPECT_EQ(counters[info.drop], static_cast<size_t>(info.drop) + 1) << info.name;
  }
  EXPECT_EQ(counters.polls, 0u);
}

TEST(Counters, SumAddsEveryNumber) {
  Counters sum = numbered(1);
  sum += numbered(1000);
  EXPECT_EQ(std::bit_cast<Words>(sum), std::bit_cast<Words>(numbered(1001)));
}

TEST(CounterSnapshot, ShowsWhatWasPublishedLast) {
  CounterSnapshot snapshot;
  EXPECT_EQ(std::bit_cast<Words>(snapshot.read()), Words{});
  snapshot.publish(numbered(7));
  EXPECT_EQ(std::bit_cast<Words>(snapshot.read()), std::bit_cast<Words>(numbered(7)));
  snapshot.publish(numbered(9));
  EXPECT_EQ(std::bit_cast<Words>(snapshot.read()), std::bit_cast<Words>(numbered(9)));
}

// One writer, another reader: each number is whole, and none goes back.
TEST(CounterSnapshot, IsReadWhileItIsWritten) {
  CounterSnapshot snapshot;
  constexpr uint64_t kRounds = 20'000;
  constexpr uint64_t kBothHalves = (uint64_t{1} << 32) + 1;  // a torn number would have two
  std::thread writer([&snapshot] {
    for (uint64_t round = 1; round <= kRounds; ++round) {
      snapshot.publish(numbered(round * kBothHalves));
    }
  });
  Words before{};
  while (before.back() != kRounds * kBothHalves * before.size()) {
    const auto now = std::bit_cast<Words>(snapshot.read());
    for (size_t i = 0; i < now.size(); ++i) {
      EXPECT_EQ(now[i] >> 32, now[i] & 0xffffffff);
      EXPECT_GE(now[i], before[i]);
    }
    before = now;
    if (HasFailure()) break;
  }
  writer.join();
}

}  // namespace
}  // namespace gmesp
