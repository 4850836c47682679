// SPDX-License-Identifier: BSD-3-Clause
// State events stay on their SA until somebody takes them (DESIGN 2: they are never lost).
#include "dataplane/sa_table.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <set>
#include <utility>
#include <vector>

namespace gmesp {
namespace {

using Event = std::pair<uint32_t, SaEventKind>;
using Table = SaTable<OutboundSa>;

void place(Table& table, uint32_t index) {
  OutboundSa sa;
  sa.spi = Spi{1000 + index};
  table.place(SaIndex{index}, sa);
}

void raise(Table& table, uint32_t index, SaEventKind kind) {
  table.raise(table[SaIndex{index}], kind);
}

// Takes as many events as there is room for.
std::multiset<Event> deliver(Table& table, size_t room, bool& finished) {
  std::multiset<Event> taken;
  finished = table.deliver_events([&](SaIndex index, SaEventKind kind) {
    if (taken.size() == room) return false;
    taken.emplace(static_cast<uint32_t>(index), kind);
    return true;
  });
  return taken;
}

std::multiset<Event> deliver_all(Table& table) {
  bool finished = false;
  auto taken = deliver(table, SIZE_MAX, finished);
  EXPECT_TRUE(finished);
  return taken;
}

TEST(SaTable, AnEventIsDeliveredOnceHoweverOftenItWasRaised) {
  Table table(4);
  place(table, 2);
  raise(table, 2, SaEventKind::first_use);
  raise(table, 2, SaEventKind::first_use);
  EXPECT_EQ(deliver_all(table), (std::multiset<Event>{{2, SaEventKind::first_use}}));
  EXPECT_TRUE(deliver_all(table).empty());
  raise(table, 2, SaEventKind::first_use);
  EXPECT_TRUE(deliver_all(table).empty());
  table.clear(SaIndex{2});
  place(table, 2);  // another SA
  raise(table, 2, SaEventKind::first_use);
  EXPECT_EQ(deliver_all(table).size(), 1u);
}

TEST(SaTable, AnSaCanHaveSeveralEvents) {
  Table table(4);
  place(table, 0);
  raise(table, 0, SaEventKind::sequence_exhausted);
  raise(table, 0, SaEventKind::sequence_soft_limit);
  EXPECT_EQ(deliver_all(table), (std::multiset<Event>{{0, SaEventKind::sequence_soft_limit},
                                                      {0, SaEventKind::sequence_exhausted}}));
}

TEST(SaTable, EventsWaitForRoomWithoutLoss) {
  Table table(100);
  for (uint32_t i = 0; i < 100; ++i) {
    place(table, i);
    raise(table, i, SaEventKind::first_use);
    raise(table, i, SaEventKind::sequence_soft_limit);
  }
  std::multiset<Event> all;
  bool finished = false;
  while (!finished) all.merge(deliver(table, 7, finished));
  EXPECT_EQ(all.size(), 200u);
  EXPECT_EQ(std::set<Event>(all.begin(), all.end()).size(), 200u);
}

// DESIGN 4: `ok` re-arms. Before, between and behind: told once for each time, and of no other
// time.
TEST(SaTable, RearmingPartsTheFirstUseBeforeFromTheOneBehind) {
  for (const bool used_before : {false, true}) {
    for (const bool told_before : {false, true}) {
      for (const bool used_behind : {false, true}) {
        Table table(2);
        place(table, 1);
        if (used_before) raise(table, 1, SaEventKind::first_use);
        raise(table, 1, SaEventKind::sequence_soft_limit);
        if (told_before) deliver_all(table);
        table.rearm_first_use(SaIndex{1});
        if (used_behind) raise(table, 1, SaEventKind::first_use);
        if (used_behind) raise(table, 1, SaEventKind::first_use);
        raise(table, 1, SaEventKind::sequence_soft_limit);
        std::multiset<Event> expected;
        if (used_behind) expected.emplace(1, SaEventKind::first_use);
        if (!told_before) expected.emplace(1, SaEventKind::sequence_soft_limit);
        EXPECT_EQ(deliver_all(table), expected) << used_before << told_before << used_behind;
        EXPECT_TRUE(deliver_all(table).empty());
      }
    }
  }
}

// R14: bursts, not packets. What nobody took is one event however many there were meanwhile.
TEST(SaTable, TellsOfBadIcvsAtTheFirstBurstAndAtEveryDoubling) {
  SaTable<InboundSa> table(1);
  InboundSa sa;
  sa.spi = Spi{1000};
  table.place(SaIndex{0}, sa);
  std::vector<uint32_t> told;
  const auto take = [&](uint32_t failures) {
    table.deliver_events([&](SaIndex, SaEventKind kind) {
      EXPECT_EQ(kind, SaEventKind::icv_failures);
      told.push_back(failures);
      return true;
    });
  };
  for (uint32_t i = 1; i <= 5000; ++i) {
    table.record_icv_failure(table[SaIndex{0}]);
    if (i < 200 || i > 2000) take(i);
  }
  EXPECT_EQ(told, (std::vector<uint32_t>{32, 64, 128, 2001, 2048, 4096}));
  EXPECT_EQ(table.record(table[SaIndex{0}]).icv_failures, 5000u);
}

// First, middle and last of the list of SAs that wait.
TEST(SaTable, ADeletedSaTakesItsEventsWithItAndNoOthers) {
  for (const uint32_t deleted : {0u, 1u, 2u}) {
    Table table(3);
    std::multiset<Event> expected;
    for (uint32_t i = 0; i < 3; ++i) {
      place(table, i);
      raise(table, i, SaEventKind::first_use);
      if (i != deleted) expected.emplace(i, SaEventKind::first_use);
    }
    table.clear(SaIndex{deleted});
    place(table, deleted);
    EXPECT_EQ(deliver_all(table), expected) << deleted;
  }
}

// A million UEs talk for the first time while the control thread looks elsewhere, then leave: were
// each delete to walk past the others' events, this would take minutes. What they leave in the list
// is a bounded part of every poll.
TEST(SaTable, DeletesWhileTheEventsOfManyOthersWait) {
  constexpr uint32_t kSas = 400'000;
  Table table(kSas);
  for (uint32_t i = 0; i < kSas; ++i) {
    place(table, i);
    raise(table, i, SaEventKind::first_use);
  }
  for (uint32_t i = 0; i < kSas; ++i) table.clear(SaIndex{i});  // the oldest event first
  place(table, 3);
  raise(table, 3, SaEventKind::sequence_exhausted);
  constexpr uint32_t kRounds = (kSas + Table::kPlacesPerDelivery - 1) / Table::kPlacesPerDelivery;
  for (uint32_t round = 1; round < kRounds; ++round) ASSERT_TRUE(deliver_all(table).empty());
  EXPECT_EQ(deliver_all(table), (std::multiset<Event>{{3, SaEventKind::sequence_exhausted}}));
}

TEST(SaTable, EqualsASetUnderStormsOfEventsAndDeletes) {
  EXPECT_TRUE(rc::check([] {
    constexpr uint32_t kCapacity = 6;
    const auto steps =
        *rc::gen::container<std::vector<std::tuple<int, uint32_t, SaEventKind, size_t>>>(
            rc::gen::tuple(rc::gen::inRange(0, 4), rc::gen::inRange<uint32_t>(0, kCapacity),
                           rc::gen::element(SaEventKind::first_use, SaEventKind::sequence_exhausted,
                                            SaEventKind::sequence_soft_limit),
                           rc::gen::inRange<size_t>(0, 4)));
    Table table(kCapacity);
    for (uint32_t i = 0; i < kCapacity; ++i) place(table, i);
    std::set<Event> waiting;
    std::set<Event> raised;
    for (const auto& [step, index, kind, room] : steps) {
      if (step == 0) {
        bool finished = false;
        for (const Event& event : deliver(table, room, finished)) {
          RC_ASSERT(waiting.erase(event) == 1u);
        }
        RC_ASSERT(finished == waiting.empty());
      } else if (step == 1) {
        table.clear(SaIndex{index});
        place(table, index);
        const auto of_this_sa = [i = index](const Event& event) { return event.first == i; };
        std::erase_if(waiting, of_this_sa);
        std::erase_if(raised, of_this_sa);
      } else {
        raise(table, index, kind);
        if (raised.emplace(index, kind).second) waiting.emplace(index, kind);
      }
    }
    for (const Event& event : deliver_all(table)) RC_ASSERT(waiting.erase(event) == 1u);
    RC_ASSERT(waiting.empty());
  }));
}

}  // namespace
}  // namespace gmesp
