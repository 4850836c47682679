// SPDX-License-Identifier: BSD-3-Clause
// SaManager against real workers that run one round at a time.
#include "control/sa_manager.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/control_rig.h"

namespace gmesp {
namespace {

const Address kUe = *parse_address("198.51.100.7");
const Address kOtherUe = *parse_address("198.51.100.8");
const Address kPcscf = *parse_address("192.0.2.1");

NewSa make_sa(Direction direction, uint32_t spi, const Address& ue = kUe) {
  const std::vector<uint8_t> key(20, 0x5a);
  NewSa sa;
  sa.direction = direction;
  sa.spi = Spi{spi};
  sa.selector.source = direction == Direction::in ? ue : kPcscf;
  sa.selector.destination = direction == Direction::in ? kPcscf : ue;
  (direction == Direction::in ? sa.selector.destination_port : sa.selector.source_port) =
      kProtectedPort;
  sa.suite = Suite::sha1_null;
  sa.keys.authentication = Key(key);
  return sa;
}

struct Bench {
  explicit Bench(const RigConfig& config = {})
      : rig(config),
        proxies(rig.channel_pointers()),
        sas(rig.limits, rig.policy, rig.steering, rig.keys, proxies) {}

  // Runs workers and manager until nobody owes anything.
  void settle() ON(control_thread) {
    do {
      rig.poll_workers();
      proxies.poll();
    } while (proxies.waiting());
  }
  std::optional<Refusal> add(const NewSa& sa) ON(control_thread) {
    return outcome([&](SaManager::Done done) ON(control_thread) { sas.add(sa, std::move(done)); });
  }
  std::optional<Refusal> remove(const SaName& name) ON(control_thread) {
    return outcome([&](SaManager::Done done)
                       ON(control_thread) { sas.remove(name, std::move(done)); });
  }
  template <typename Operation>
  std::optional<Refusal> outcome(Operation&& operation) ON(control_thread) {
    std::optional<Refusal> result = Refusal::kCount;  // never answered
    try {
      operation([&](std::optional<Refusal> refusal) { result = refusal; });
    } catch (const Refused& refused) {
      return refused.refusal();
    }
    settle();
    return result;
  }
  std::vector<uint32_t> listed(const SaFilter& filter, size_t page) const {
    std::vector<uint32_t> spis;
    std::optional<SaHandle> cursor = SaHandle{};
    while (cursor) {
      size_t rows = 0;
      cursor = sas.list(filter, *cursor, [&](Direction, size_t, const SaEntry& entry) {
        if (rows == page) return false;
        ++rows;
        spis.push_back(static_cast<uint32_t>(entry.spi));
        return true;
      });
    }
    return spis;
  }
  size_t total() const { return count_all(sas); }

  ControlRig rig;
  WorkerProxies proxies;
  SaManager sas;
};

TEST(SaManager, CallsAnSaInstalledWhenItsWorkerServesIt) {
  AssumeRole role(control_thread);
  Bench bench;
  bool done = false;
  bench.sas.add(make_sa(Direction::in, 0x1001), [&](std::optional<Refusal> refusal) {
    EXPECT_FALSE(refusal);
    done = true;
  });
  bench.proxies.poll();
  EXPECT_FALSE(done);
  EXPECT_EQ(bench.sas.count(Direction::in, SaState::installing), 1u);
  bench.rig.poll_workers();
  bench.proxies.poll();
  EXPECT_TRUE(done);
  EXPECT_EQ(bench.sas.count(Direction::in, SaState::live), 1u);
}

// ESP-02: no SPI of 0..255.
TEST(SaManager, RefusesWithoutChangingAnything) {
  AssumeRole role(control_thread);
  Bench bench;
  struct Case {
    Refusal refusal;
    NewSa sa;
  };
  std::vector<Case> cases;
  cases.push_back({Refusal::reserved_spi, make_sa(Direction::in, 255)});
  cases.push_back({Refusal::reserved_spi, make_sa(Direction::in, 0)});
  cases.push_back({Refusal::reserved_spi, make_sa(Direction::out, 0)});
  cases.push_back({Refusal::address_families_differ, make_sa(Direction::in, 256)});
  cases.back().sa.selector.source = *parse_address("2001:db8::7");
  for (const uint16_t window : std::initializer_list<uint16_t>{1, 31, 1025}) {
    cases.push_back({Refusal::out_of_range, make_sa(Direction::in, 256)});
    cases.back().sa.window = window;
  }
  cases.push_back({Refusal::invalid_value, make_sa(Direction::out, 1)});
  cases.back().sa.window = 64;
  cases.push_back({Refusal::wrong_key_length, make_sa(Direction::in, 256)});
  cases.back().sa.suite = Suite::md5_null;
  for (const Case& row : cases) {
    EXPECT_EQ(bench.add(row.sa), row.refusal) << refusal_info(row.refusal).code;
    EXPECT_EQ(bench.total(), 0u);
  }
  EXPECT_FALSE(bench.proxies.waiting());
}

TEST(SaManager, AcceptsTheLeastSpiAndTheBoundsOfTheWindow) {
  AssumeRole role(control_thread);
  Bench bench;
  EXPECT_EQ(bench.add(make_sa(Direction::out, 1)), std::nullopt);
  uint32_t spi = 256;
  for (const uint16_t window : std::initializer_list<uint16_t>{0, 32, 64, 65, 1024}) {
    NewSa sa = make_sa(Direction::in, spi++);
    sa.window = window;
    EXPECT_EQ(bench.add(sa), std::nullopt) << window;
  }
  EXPECT_EQ(bench.sas.with_window_off(), 1u);
  EXPECT_EQ(bench.remove({Direction::in, Spi{256}, {}}), std::nullopt);
  EXPECT_EQ(bench.sas.with_window_off(), 0u);
}

// ESP-01: the SPI alone identifies an inbound SA, on whichever worker it is.
TEST(SaManager, KeepsInboundSpisUniqueInTheBox) {
  AssumeRole role(control_thread);
  Bench bench({.workers = 4});
  ASSERT_EQ(bench.add(make_sa(Direction::in, 0x1001)), std::nullopt);
  for (int i = 1; i < 20; ++i) {
    const Address ue = *parse_address("198.51.100." + std::to_string(100 + i));
    EXPECT_EQ(bench.add(make_sa(Direction::in, 0x1001, ue)), Refusal::spi_in_use);
  }
}

// RFC 4301 4.1: outbound SPIs are chosen by the receivers, each for itself.
TEST(SaManager, LetsTwoDestinationsChooseOneSpi) {
  AssumeRole role(control_thread);
  Bench bench({.workers = 2});
  EXPECT_EQ(bench.add(make_sa(Direction::out, 0x1001, kUe)), std::nullopt);
  EXPECT_EQ(bench.add(make_sa(Direction::out, 0x1001, kOtherUe)), std::nullopt);
  EXPECT_EQ(bench.add(make_sa(Direction::out, 0x1001, kUe)), Refusal::spi_in_use);
  EXPECT_EQ(bench.remove({Direction::out, Spi{0x1001}, {}}), Refusal::ambiguous_spi);
  EXPECT_EQ(bench.remove({Direction::out, Spi{0x1001}, kUe}), std::nullopt);
  EXPECT_EQ(bench.remove({Direction::out, Spi{0x1001}, {}}), std::nullopt);
  EXPECT_EQ(bench.remove({Direction::out, Spi{0x1001}, {}}), Refusal::sa_not_found);
}

TEST(SaManager, FreesAnSpiOnlyWhenTheWorkerHasForgottenIt) {
  AssumeRole role(control_thread);
  Bench bench;
  ASSERT_EQ(bench.add(make_sa(Direction::in, 0x1001)), std::nullopt);
  bool deleted = false;
  const SaName name{Direction::in, Spi{0x1001}, {}};
  bench.sas.remove(name, [&](std::optional<Refusal>) { deleted = true; });
  EXPECT_EQ(bench.add(make_sa(Direction::in, 0x1001)), Refusal::spi_in_use);
  EXPECT_EQ(bench.remove(name), Refusal::sa_busy);
  EXPECT_FALSE(deleted);
  bench.settle();
  EXPECT_TRUE(deleted);
  EXPECT_EQ(bench.add(make_sa(Direction::in, 0x1001)), std::nullopt);
}

TEST(SaManager, MatchesTheDestinationOfAnInboundNameToo) {
  AssumeRole role(control_thread);
  Bench bench;
  ASSERT_EQ(bench.add(make_sa(Direction::in, 0x1001)), std::nullopt);
  EXPECT_EQ(bench.remove({Direction::in, Spi{0x1001}, kUe}), Refusal::sa_not_found);
  EXPECT_EQ(bench.remove({Direction::in, Spi{0x1001}, kPcscf}), std::nullopt);
}

TEST(SaManager, UndoesWhatAWorkerRejects) {
  AssumeRole role(control_thread);
  Bench bench({.capacity = 8, .worker_capacity = 2});
  for (uint32_t spi = 256; spi < 258; ++spi) {
    ASSERT_EQ(bench.add(make_sa(Direction::in, spi)), std::nullopt);
  }
  EXPECT_EQ(bench.add(make_sa(Direction::in, 258)), Refusal::rejected_by_worker);
  EXPECT_EQ(bench.total(), 2u);
  EXPECT_EQ(bench.listed({}, 10), (std::vector<uint32_t>{256, 257}));
}

TEST(SaManager, FillsEveryPlaceAndKeySlotAndGivesThemBack) {
  AssumeRole role(control_thread);
  Bench bench({.capacity = 4, .key_slots = 6});
  for (int round = 0; round < 3; ++round) {
    for (uint32_t i = 0; i < 4; ++i) {
      ASSERT_EQ(bench.add(make_sa(Direction::in, 256 + i)), std::nullopt);
    }
    EXPECT_EQ(bench.add(make_sa(Direction::in, 300)), Refusal::capacity_reached);
    ASSERT_EQ(bench.add(make_sa(Direction::out, 1)), std::nullopt);
    ASSERT_EQ(bench.add(make_sa(Direction::out, 2)), std::nullopt);
    EXPECT_EQ(bench.add(make_sa(Direction::out, 3)), Refusal::key_store_full);
    EXPECT_EQ(bench.total(), 6u);
    size_t deleted = 0;
    bench.sas.flush([&](size_t count) { deleted = count; });
    bench.settle();
    EXPECT_EQ(deleted, 6u);
    EXPECT_EQ(bench.total(), 0u);
  }
}

TEST(SaManager, KeepsCommandsThatFindTheRingFull) {
  AssumeRole role(control_thread);
  constexpr uint32_t kSas = 2 * WorkerChannel::kCommands + 100;
  Bench bench({.capacity = kSas});
  size_t added = 0;
  for (uint32_t i = 0; i < kSas; ++i) {
    bench.sas.add(make_sa(Direction::in, 256 + i), [&](std::optional<Refusal> refusal) {
      EXPECT_FALSE(refusal);
      ++added;
    });
  }
  EXPECT_GT(bench.proxies[0].times_full(), 0u);
  bench.settle();
  EXPECT_EQ(added, kSas);

  // A flush of them all; an SA that comes while it runs stays.
  size_t flushed = 0;
  bool stays = false;
  bench.sas.flush([&](size_t count) { flushed = count; });
  bench.sas.add(make_sa(Direction::out, 1),
                [&](std::optional<Refusal> refusal) { stays = !refusal; });
  bench.settle();
  EXPECT_EQ(flushed, kSas);
  EXPECT_TRUE(stays);
  EXPECT_EQ(bench.total(), 1u);
}

TEST(SaManager, AnswersTwoFlushesAtOnceAndAnEmptyOne) {
  AssumeRole role(control_thread);
  Bench bench;
  ASSERT_EQ(bench.add(make_sa(Direction::in, 256)), std::nullopt);
  std::vector<size_t> counts;
  for (int i = 0; i < 2; ++i) bench.sas.flush([&](size_t count) { counts.push_back(count); });
  bench.settle();
  EXPECT_EQ(counts, (std::vector<size_t>{1, 0}));
}

// A query that waits for room must reach the worker before the delete of a flush that came later.
TEST(SaManager, AnswersAQueryThatAFlushOvertakes) {
  AssumeRole role(control_thread);
  Bench bench({.capacity = WorkerChannel::kCommands + 10});
  ASSERT_EQ(bench.add(make_sa(Direction::out, 1)), std::nullopt);
  for (uint32_t i = 0; i < WorkerChannel::kCommands; ++i) {
    bench.sas.add(make_sa(Direction::in, 256 + i), [](std::optional<Refusal>) {});
  }
  bool answered = false;
  size_t flushed = 0;
  bench.sas.query({Direction::out, Spi{1}, {}}, [&](const SaEntry& entry, size_t, const SaStatus&) {
    answered = entry.spi == Spi{1};
  });
  bench.sas.flush([&](size_t count) { flushed = count; });
  bench.settle();
  EXPECT_TRUE(answered);
  EXPECT_EQ(flushed, 1u);  // what was being installed at that moment stays
  EXPECT_EQ(bench.total(), WorkerChannel::kCommands);
}

TEST(SaManager, ListsEverySaOnceOverPages) {
  AssumeRole role(control_thread);
  Bench bench({.workers = 3, .capacity = 200});
  std::set<uint32_t> expected;
  for (uint32_t i = 0; i < 100; ++i) {
    const Address ue = *parse_address("2001:db8::" + std::to_string(i + 1));
    NewSa in = make_sa(Direction::in, 1000 + i, ue);
    in.selector.destination = *parse_address("2001:db8:ffff::1");
    NewSa out = make_sa(Direction::out, 2000 + i, ue);
    out.selector.source = in.selector.destination;
    ASSERT_EQ(bench.add(in), std::nullopt);
    ASSERT_EQ(bench.add(out), std::nullopt);
    expected.insert({1000 + i, 2000 + i});
  }
  for (const size_t page : std::initializer_list<size_t>{1, 7, 100, 1000}) {
    const std::vector<uint32_t> listed = bench.listed({}, page);
    EXPECT_EQ(listed.size(), 200u);
    EXPECT_EQ(std::set<uint32_t>(listed.begin(), listed.end()), expected);
  }
  EXPECT_EQ(bench.listed({Direction::out, {}, {}}, 9).size(), 100u);
  EXPECT_EQ(bench.listed({{}, {}, Spi{1042}}, 9), (std::vector<uint32_t>{1042}));
}

TEST(SaManager, KnowsTheUeOfAnSaFromItsRole) {
  AssumeRole role(control_thread);
  for (const Role engine_role : {Role::pcscf, Role::ue}) {
    Bench bench({.role = engine_role});
    ASSERT_EQ(bench.add(make_sa(Direction::in, 1000)), std::nullopt);
    ASSERT_EQ(bench.add(make_sa(Direction::out, 2000)), std::nullopt);
    // make_sa() has the UE where role pcscf has it; in role ue the ends change places.
    const Address& ue = engine_role == Role::pcscf ? kUe : kPcscf;
    EXPECT_EQ(bench.listed({{}, ue, {}}, 9), (std::vector<uint32_t>{1000, 2000}));
    EXPECT_TRUE(bench.listed({{}, kOtherUe, {}}, 9).empty());
  }
}

TEST(SaManager, CountsSasWhoseLocalPortMayComeInClear) {
  AssumeRole role(control_thread);
  Bench bench;
  NewSa any_port = make_sa(Direction::in, 1000);
  any_port.selector.destination_port = Selector::kAnyPort;
  NewSa other_port = make_sa(Direction::out, 2000);
  other_port.selector.source_port = 5060;
  ASSERT_EQ(bench.add(make_sa(Direction::in, 1001)), std::nullopt);
  EXPECT_EQ(bench.sas.with_unprotected_port(), 0u);
  ASSERT_EQ(bench.add(any_port), std::nullopt);
  ASSERT_EQ(bench.add(other_port), std::nullopt);
  EXPECT_EQ(bench.sas.with_unprotected_port(), 2u);
  bench.sas.flush([](size_t) {});
  bench.settle();
  EXPECT_EQ(bench.sas.with_unprotected_port(), 0u);
}

TEST(SaManager, KeepsTheEventsOfAnSa) {
  AssumeRole role(control_thread);
  Bench bench;
  ASSERT_EQ(bench.add(make_sa(Direction::out, 7)), std::nullopt);
  std::vector<SaUseNotice> notices;
  bench.sas.on_use([&](const SaUseNotice& notice) { notices.push_back(notice); });
  for (const SaEventKind kind : {SaEventKind::first_use, SaEventKind::sequence_exhausted}) {
    bench.rig.channels[0]->events.push(SaStateEvent{Direction::out, SaIndex{0}, kind});
  }
  bench.settle();
  ASSERT_EQ(notices.size(), 2u);
  EXPECT_EQ(notices[1].spi, Spi{7});
  bench.sas.list({}, {}, [](Direction, size_t, const SaEntry& entry) {
    EXPECT_EQ(entry.events, 1 | 4);
    return true;
  });
}

TEST(SaManager, ReportsTheSequenceNumberItWasGiven) {
  AssumeRole role(control_thread);
  Bench bench;
  for (const Direction direction : {Direction::in, Direction::out}) {
    NewSa sa = make_sa(direction, 1000);
    sa.sequence = SequenceNumber{4711};
    ASSERT_EQ(bench.add(sa), std::nullopt);
    uint32_t reported = 0;
    bench.sas.query({direction, Spi{1000}, {}},
                    [&](const SaEntry&, size_t, const SaStatus& status) {
                      reported = static_cast<uint32_t>(status.sequence);
                    });
    bench.settle();
    EXPECT_EQ(reported, 4711u);
  }
}

// Hot line, counters, key, the control thread's line, two look-up tables, two lists of what is
// free.
TEST(SaManager, TakesAtMost512BytesForAnSaWithAesCbc) {
  const size_t tables = IndexTable<SaIndex, kNoSa>::bytes_per_entry() +
                        IndexTable<SaPlace, kNoPlace>::bytes_per_entry();
  EXPECT_LE(sizeof(InboundSa) + sizeof(SaRecord) + KeyStore::slot_bytes(Suite::sha1_aes_cbc) +
                sizeof(SaEntry) + tables + sizeof(KeySlot) + sizeof(SaIndex),
            512u);
}

// Any order of commands ends in the state that a plain map ends in.
TEST(SaManager, AgreesWithAMapOverRandomCommands) {
  AssumeRole role(control_thread);
  Bench bench({.workers = 3, .capacity = 40});
  std::set<uint32_t> model;
  std::mt19937 random(1);
  for (int step = 0; step < 20000; ++step) {
    const uint32_t spi = 256 + random() % 64;
    const Address ue = *parse_address("198.51.100." + std::to_string(spi % 50));
    switch (random() % 8) {
      case 0:
      case 1:
      case 2: {
        const auto refusal = bench.add(make_sa(Direction::in, spi, ue));
        if (refusal != Refusal::capacity_reached) {
          ASSERT_EQ(refusal.has_value(), !model.insert(spi).second);
        }
        break;
      }
      case 3:
        if (random() % 100 == 0) {
          bench.sas.flush([&](size_t count) { EXPECT_EQ(count, model.size()); });
          bench.settle();
          model.clear();
        }
        break;
      default:
        ASSERT_EQ(bench.remove({Direction::in, Spi{spi}, {}}).has_value(), model.erase(spi) == 0);
    }
    std::vector<uint32_t> listed = bench.listed({}, 5);
    std::sort(listed.begin(), listed.end());
    ASSERT_TRUE(std::equal(listed.begin(), listed.end(), model.begin(), model.end()));
  }
}

}  // namespace
}  // namespace gmesp
