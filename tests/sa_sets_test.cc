// SPDX-License-Identifier: BSD-3-Clause
// SA sets in SaManager against real workers that run one round at a time: all SAs or none, shared
// keys, promotion, what the owner hears.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "control/sa_manager.h"
#include "tests/control_rig.h"
#include "tests/packet_builder.h"
#include "tests/test_sa.h"

namespace gmesp {
namespace {

constexpr Suite kSuite = Suite::sha1_aes_cbc;
constexpr uint32_t kKeySeed = 77;
constexpr uint16_t kPortPc = 6100;
constexpr uint16_t kPortUc = 5098;

// The published form at the P-CSCF: uc->ps and us->pc come in, pc->us and ps->uc go out. SPIs
// spi .. spi+3.
std::vector<SaOfSet> make_set(uint32_t spi, const Address& ue = kUe6) {
  return {{Direction::in, Spi{spi}, {ue, kPcscf6, kPortUc, kProtectedPort}, {}},
          {Direction::in, Spi{spi + 1}, {ue, kPcscf6, kUePort, kPortPc}, {}},
          {Direction::out, Spi{spi + 2}, {kPcscf6, ue, kPortPc, kUePort}, {}},
          {Direction::out, Spi{spi + 3}, {kPcscf6, ue, kProtectedPort, kPortUc}, {}}};
}

Address ue_number(uint32_t number) {
  Address address = kUe6;
  address.bytes[13] = static_cast<uint8_t>(number >> 16);
  address.bytes[14] = static_cast<uint8_t>(number >> 8);
  address.bytes[15] = static_cast<uint8_t>(number);
  return address;
}

struct News {
  SetIndex owner;
  SaHandle sa;
  SaNews news;
  friend bool operator==(const News&, const News&) = default;
};

struct Set {
  std::array<SaHandle, 4> sas{};
  SetKeys keys;
};

struct Bench {
  explicit Bench(const RigConfig& config = {})
      : rig(config),
        proxies(rig.channel_pointers()),
        sas(rig.limits, rig.policy, rig.steering, rig.keys, proxies) {
    sas.on_set_news([this](SetIndex owner, SaHandle sa, SaNews what) {
      news.push_back({owner, sa, what});
    });
  }

  void settle() ON(control_thread) {
    do {
      rig.poll_workers();
      rig.poll_workers();
      proxies.poll();
    } while (proxies.waiting());
  }
  Set install(const std::vector<SaOfSet>& of, SetIndex owner) ON(control_thread) {
    Set set;
    set.keys = sas.install_set(of, kSuite, counting_keys(kSuite, kKeySeed), owner, set.sas);
    return set;
  }
  std::optional<Refusal> refusal(const std::vector<SaOfSet>& of,
                                 const EspKeys& keys = counting_keys(kSuite, kKeySeed),
                                 Suite suite = kSuite) ON(control_thread) {
    std::array<SaHandle, 8> handles;
    try {
      sas.install_set(of, suite, keys, 1, handles);
    } catch (const Refused& refused) {
      return refused.refusal();
    }
    return std::nullopt;
  }
  void remove(const Set& set) ON(control_thread) {
    for (const SaHandle sa : set.sas) sas.remove_sa(sa);
    settle();
    sas.release_keys(set.keys);
  }
  std::vector<News> take_news() { return std::exchange(news, {}); }
  std::vector<SaEntry> entries() const {
    std::vector<SaEntry> all;
    sas.list({}, {}, [&](Direction, size_t, const SaEntry& entry) {
      all.push_back(entry);
      return true;
    });
    return all;
  }
  size_t total() const { return count_all(sas); }
  ControlRig rig;
  WorkerProxies proxies;
  SaManager sas;
  std::vector<News> news;
};

NewSa single(Direction direction, uint32_t spi) {
  NewSa sa;
  sa.direction = direction;
  sa.spi = Spi{spi};
  sa.selector = direction == Direction::in ? Selector{kUe6, kPcscf6} : Selector{kPcscf6, kUe6};
  sa.suite = kSuite;
  sa.keys = counting_keys(kSuite, 5);
  return sa;
}

// INT-53, R12: `installed` comes when the worker serves the SA, for each SA of the set.
TEST(SaSets, TellsTheOwnerWhenEverySaIsServed) {
  AssumeRole role(control_thread);
  Bench bench;
  const Set set = bench.install(make_set(0x10000), 42);
  bench.proxies.poll();
  EXPECT_TRUE(bench.take_news().empty());
  EXPECT_EQ(bench.sas.count(Direction::in, SaState::installing), 2u);
  EXPECT_TRUE(bench.sas.has_inbound(Spi{0x10001}));
  EXPECT_FALSE(bench.sas.has_inbound(Spi{0x10002})) << "outbound";
  bench.settle();
  std::vector<News> expected;
  for (const SaHandle sa : set.sas) expected.push_back({42, sa, SaNews::installed});
  EXPECT_EQ(bench.take_news(), expected);
  EXPECT_EQ(bench.sas.count(Direction::in, SaState::live), 2u);
  EXPECT_EQ(bench.sas.count(Direction::out, SaState::live), 2u);
}

// INT-09, PRS-02: IK_ESP and CK_ESP are the same for all SAs of a set; one slot per direction,
// wiped when the owner says that all SAs are gone.
TEST(SaSets, SharesOneKeySlotPerDirectionUntilItsOwnerReleasesIt) {
  AssumeRole role(control_thread);
  Bench bench({.key_slots = 2});
  const Set set = bench.install(make_set(0x10000), 1);
  bench.settle();
  const std::vector<SaEntry> entries = bench.entries();
  ASSERT_EQ(entries.size(), 4u);
  EXPECT_EQ(entries[0].key, set.keys.in);
  EXPECT_EQ(entries[1].key, set.keys.in);
  EXPECT_EQ(entries[2].key, set.keys.out);
  EXPECT_EQ(entries[3].key, set.keys.out);
  EXPECT_NE(set.keys.in, set.keys.out);
  const auto is_wiped = [&](KeySlot slot) {
    const uint8_t* const bytes = bench.rig.keys.at(slot);
    return std::all_of(bytes, bytes + KeyStore::slot_bytes(kSuite),
                       [](uint8_t byte) { return byte == 0; });
  };
  for (const SaHandle sa : set.sas) {
    EXPECT_FALSE(is_wiped(set.keys.in) || is_wiped(set.keys.out));
    bench.sas.remove_sa(sa);
    bench.settle();
  }
  EXPECT_EQ(bench.total(), 0u);
  EXPECT_FALSE(is_wiped(set.keys.in) || is_wiped(set.keys.out));
  bench.sas.release_keys(set.keys);
  EXPECT_TRUE(is_wiped(set.keys.in) && is_wiped(set.keys.out));
}

TEST(SaSets, TakesNoKeyForADirectionThatTheSetDoesNotHave) {
  AssumeRole role(control_thread);
  Bench bench({.key_slots = 1});
  for (const size_t first : {0u, 2u}) {
    const std::vector<SaOfSet> all = make_set(0x10000);
    const std::vector<SaOfSet> half(all.begin() + static_cast<std::ptrdiff_t>(first),
                                    all.begin() + static_cast<std::ptrdiff_t>(first) + 2);
    const Set set = bench.install(half, 1);
    EXPECT_EQ(set.keys.in == kNoKeySlot, first == 2);
    EXPECT_EQ(set.keys.out == kNoKeySlot, first == 0);
    bench.settle();
    for (const SaHandle sa : {set.sas[0], set.sas[1]}) bench.sas.remove_sa(sa);
    bench.settle();
    bench.sas.release_keys(set.keys);
  }
}

// R12, R17: a set that cannot be installed in full is not installed. Whatever the reason and
// whichever SA has it, nothing stays behind: no place, no key slot, no SPI, no command.
TEST(SaSets, RefusesASetWholeAndLeavesNothingBehind) {
  AssumeRole role(control_thread);
  Bench bench({.capacity = 4, .key_slots = 4});
  for (const Direction direction : {Direction::in, Direction::out}) {
    bench.sas.add(single(direction, 0x5000), [](std::optional<Refusal> no) { EXPECT_FALSE(no); });
  }
  bench.settle();
  std::vector<std::pair<Refusal, std::vector<SaOfSet>>> cases;
  for (size_t i = 0; i < 4; ++i) {
    const auto with = [&](Refusal refusal, auto&& change) {
      std::vector<SaOfSet> set = make_set(0x10000);
      change(set[i]);
      cases.emplace_back(refusal, set);
    };
    with(Refusal::reserved_spi, [](SaOfSet& sa) { sa.spi = Spi{0}; });
    with(Refusal::address_families_differ, [](SaOfSet& sa) { sa.selector.source = kUe4; });
    if (i < 2) with(Refusal::spi_in_use, [](SaOfSet& sa) { sa.spi = Spi{0x5000}; });
    const Spi neighbours = make_set(0x10000)[i ^ 1].spi;
    with(Refusal::spi_clash, [&](SaOfSet& sa) { sa.spi = neighbours; });
  }
  std::vector<SaOfSet> too_many = make_set(0x10000);
  for (const SaOfSet& sa : make_set(0x20000)) too_many.push_back(sa);
  cases.emplace_back(Refusal::capacity_reached, too_many);
  for (int round = 0; round < 10; ++round) {
    for (const auto& [refusal, set] : cases) {
      ASSERT_EQ(bench.refusal(set), refusal) << refusal_info(refusal).code;
      EXPECT_EQ(bench.total(), 2u);
    }
    EXPECT_EQ(bench.refusal(make_set(0x10000), {}), Refusal::wrong_key_length);
    EXPECT_EQ(
        bench.refusal(make_set(0x10000),
                      {Key(std::vector<uint8_t>(20, 1)), Key(std::vector<uint8_t>(24, 1)), {}},
                      Suite::sha1_des3),
        Refusal::weak_des_key);
  }
  EXPECT_FALSE(bench.proxies.waiting());
  EXPECT_EQ(bench.sas.with_unprotected_port(), 2u) << "of the two single SAs";
  // All places, key slots and SPIs are there.
  bench.remove(bench.install(make_set(0x10000), 1));
  EXPECT_EQ(bench.total(), 2u);
}

// The second direction's slot is what is missing: the first one's must come back.
TEST(SaSets, GivesBackTheKeyOfOneDirectionWhenTheOtherFindsNoRoom) {
  AssumeRole role(control_thread);
  Bench bench({.key_slots = 2});
  bench.sas.add(single(Direction::in, 0x5000), [](std::optional<Refusal>) {});
  bench.settle();
  for (int round = 0; round < 5; ++round) {
    EXPECT_EQ(bench.refusal(make_set(0x10000)), Refusal::key_store_full);
    EXPECT_FALSE(bench.sas.has_inbound(Spi{0x10000}));
    EXPECT_EQ(bench.total(), 1u);
  }
  bench.sas.flush([](size_t) {});
  bench.settle();
  bench.remove(bench.install(make_set(0x10000), 1));
}

// Each direction full at every SA of the set.
TEST(SaSets, RefusesASetThatFitsInPart) {
  AssumeRole role(control_thread);
  for (const Direction direction : {Direction::in, Direction::out}) {
    for (const uint32_t taken : {3u, 4u}) {
      Bench bench({.capacity = 4});
      for (uint32_t i = 0; i < taken; ++i) {
        bench.sas.add(single(direction, 0x5000 + i), [](std::optional<Refusal>) {});
      }
      bench.settle();
      EXPECT_EQ(bench.refusal(make_set(0x10000)), Refusal::capacity_reached);
      EXPECT_EQ(bench.total(), taken);
      EXPECT_FALSE(bench.sas.has_inbound(Spi{0x10000}));
      bench.sas.flush([](size_t) {});
      bench.settle();
      bench.remove(bench.install(make_set(0x10000), 1));
      EXPECT_EQ(bench.total(), 0u);
    }
  }
}

// The worker has the last word: its owner hears which SAs are gone and removes the others.
TEST(SaSets, TellsTheOwnerWhatAWorkerRejects) {
  AssumeRole role(control_thread);
  Bench bench({.capacity = 8, .worker_capacity = 1});
  const Set set = bench.install(make_set(0x10000), 3);
  bench.settle();
  EXPECT_EQ(bench.take_news(), (std::vector<News>{{3, set.sas[0], SaNews::installed},
                                                  {3, set.sas[1], SaNews::rejected},
                                                  {3, set.sas[2], SaNews::installed},
                                                  {3, set.sas[3], SaNews::rejected}}));
  EXPECT_EQ(bench.total(), 2u);
  EXPECT_FALSE(bench.sas.has_inbound(Spi{0x10001}));
  bench.sas.remove_sa(set.sas[0]);
  bench.sas.remove_sa(set.sas[2]);
  bench.settle();
  bench.sas.release_keys(set.keys);
  EXPECT_EQ(bench.take_news(), (std::vector<News>{{3, set.sas[0], SaNews::deleted},
                                                  {3, set.sas[2], SaNews::deleted}}));
  EXPECT_EQ(bench.total(), 0u);
}

TEST(SaSets, AreListedButNotTouchedByCommandsAboutSingleSas) {
  AssumeRole role(control_thread);
  Bench bench;
  const Set set = bench.install(make_set(0x10000), 1);
  bench.sas.add(single(Direction::in, 0x5000), [](std::optional<Refusal>) {});
  bench.settle();
  const SaName names[] = {{Direction::in, Spi{0x10000}, {}}, {Direction::out, Spi{0x10002}, kUe6}};
  for (const SaName& name : names) {
    try {
      bench.sas.remove(name, [](std::optional<Refusal>) { FAIL(); });
      FAIL() << "removed";
    } catch (const Refused& refused) {
      EXPECT_EQ(refused.refusal(), Refusal::sa_of_set);
    }
  }
  EXPECT_EQ(bench.entries().size(), 5u);
  size_t flushed = 0;
  bench.sas.flush([&](size_t count) { flushed = count; });
  bench.settle();
  EXPECT_EQ(flushed, 1u);
  EXPECT_EQ(bench.entries().size(), 4u);
  size_t answers = 0;
  bench.sas.query(names[0], [&](const SaEntry& entry, size_t, const SaStatus&) {
    EXPECT_EQ(entry.spi, names[0].spi);
    ++answers;
  });
  bench.settle();
  EXPECT_EQ(answers, 1u);
  bench.remove(set);
}

// Real packets of a real set. PUB-04, DESIGN 4: a first use on the temporary set, another after its
// promotion; never one of before behind `promoted`.
TEST(SaSets, TellOfAFirstUseBeforeAndBehindThePromotion) {
  AssumeRole role(control_thread);
  Bench bench;
  std::vector<SaUseNotice> notices;
  bench.sas.on_use([&](const SaUseNotice& notice) { notices.push_back(notice); });
  const Set set = bench.install(make_set(0x10000), 9);
  bench.settle();
  bench.take_news();
  const TestSa sa{kSuite, 0x10000, {}, {}, kKeySeed};
  uint32_t number = 0;
  const auto packet = [&] {
    const PacketBuilder plain = PacketBuilder().ip(kUe6, kPcscf6).udp(kPortUc, kProtectedPort);
    bench.rig.access.feed(0, PacketBuilder(plain).esp(sa, ++number).frame());
  };
  packet();
  packet();
  bench.settle();
  EXPECT_EQ(bench.take_news(), (std::vector<News>{{9, set.sas[0], SaNews::first_use}}));
  packet();
  bench.settle();
  EXPECT_TRUE(bench.take_news().empty());
  for (const SaHandle each : set.sas) bench.sas.promote(each);
  packet();
  packet();
  bench.settle();
  EXPECT_EQ(bench.take_news(), (std::vector<News>{{9, set.sas[0], SaNews::promoted},
                                                  {9, set.sas[1], SaNews::promoted},
                                                  {9, set.sas[2], SaNews::promoted},
                                                  {9, set.sas[3], SaNews::promoted},
                                                  {9, set.sas[0], SaNews::first_use}}));
  packet();
  bench.settle();
  EXPECT_TRUE(bench.take_news().empty());
  EXPECT_TRUE(notices.empty()) << "the owner's news are nobody else's";
  EXPECT_EQ(bench.rig.host.take_sent().size(), 6u);
}

// INT-72, INT-74: two sets of a UE with equal ports side by side; inbound by SPI, outbound by the
// one promoted last. JNT-4: the other one is used by itself when that goes.
TEST(SaSets, ServeAUesOldAndNewSetSideBySide) {
  AssumeRole role(control_thread);
  Bench bench;
  const auto spi_sent = [&]() ON(control_thread) {
    const PacketBuilder plain = PacketBuilder().ip(kPcscf6, kUe6).udp(kPortPc, kUePort);
    bench.rig.host.feed(0, plain.frame());
    bench.settle();
    const std::vector<Frame> sent = bench.rig.access.take_sent();
    if (sent.size() != 1) return 0u;
    const uint8_t* const esp = sent[0].data() + plain.esp_offset();
    return uint32_t{esp[0]} << 24 | uint32_t{esp[1]} << 16 | uint32_t{esp[2]} << 8 | esp[3];
  };
  const auto promote = [&](const Set& set) ON(control_thread) {
    for (const SaHandle sa : set.sas) bench.sas.promote(sa);
  };
  const Set old_set = bench.install(make_set(0x10000), 1);
  promote(old_set);
  EXPECT_EQ(spi_sent(), 0x10002u);
  const Set new_set = bench.install(make_set(0x20000), 2);
  EXPECT_EQ(spi_sent(), 0x10002u) << "temporary";
  for (const uint32_t spi : {0x10001u, 0x20001u}) {
    const TestSa sa{kSuite, spi, {}, {}, kKeySeed};
    const PacketBuilder plain = PacketBuilder().ip(kUe6, kPcscf6).udp(kUePort, kPortPc);
    bench.rig.access.feed(0, PacketBuilder(plain).esp(sa, 1).frame());
    bench.settle();
    EXPECT_EQ(bench.rig.host.take_sent(), std::vector<Frame>{plain.frame()});
  }
  promote(new_set);
  EXPECT_EQ(spi_sent(), 0x20002u);
  bench.remove(new_set);
  EXPECT_EQ(spi_sent(), 0x10002u);
  const Set third = bench.install(make_set(0x30000), 3);
  EXPECT_EQ(spi_sent(), 0x10002u);
  bench.remove(old_set);
  EXPECT_EQ(spi_sent(), 0x30002u) << "JNT-4";
  bench.remove(third);
}

// Promotions and deletes that find the ring full wait in order; a query before a delete is
// answered.
TEST(SaSets, KeepTheOrderOfEachSasCommandsThroughAStorm) {
  AssumeRole role(control_thread);
  constexpr uint32_t kSets = WorkerChannel::kCommands;
  Bench bench({.capacity = 2 * kSets});
  std::vector<Set> sets;
  for (uint32_t i = 0; i < kSets; ++i) {
    sets.push_back(bench.install(make_set(0x10000 + 4 * i, ue_number(i)), i));
  }
  bench.settle();
  std::map<std::pair<SetIndex, SaHandle>, std::vector<SaNews>> heard;
  const auto listen = [&] {
    for (const News& news : bench.take_news()) heard[{news.owner, news.sa}].push_back(news.news);
  };
  listen();
  size_t answered = 0;
  for (const Set& set : sets) {
    for (const SaHandle sa : set.sas) bench.sas.promote(sa);
    bench.sas.query(set.sas[0], [&](const SaEntry&, size_t, const SaStatus&) { ++answered; });
    for (const SaHandle sa : set.sas) bench.sas.remove_sa(sa);
  }
  EXPECT_GT(bench.proxies[0].times_full(), 0u);
  EXPECT_EQ(bench.sas.count(Direction::in, SaState::deleting), 2 * kSets);
  bench.settle();
  listen();
  EXPECT_EQ(answered, kSets);
  EXPECT_EQ(heard.size(), 4 * kSets);
  const std::vector<SaNews> life{SaNews::installed, SaNews::promoted, SaNews::deleted};
  for (const auto& [sa, news] : heard) ASSERT_EQ(news, life);
  for (const Set& set : sets) bench.sas.release_keys(set.keys);
  EXPECT_EQ(bench.total(), 0u);
}

// An owner's handler may act at once: news come from poll(), not from the calls.
TEST(SaSets, LetTheOwnerActFromItsHandler) {
  AssumeRole role(control_thread);
  Bench bench;
  size_t gone = 0;
  bench.sas.on_set_news([&](SetIndex, SaHandle sa, SaNews news) {
    AssumeRole inner(control_thread);
    if (news == SaNews::installed) bench.sas.promote(sa);
    if (news == SaNews::promoted) bench.sas.remove_sa(sa);
    gone += news == SaNews::deleted;
  });
  const Set set = bench.install(make_set(0x10000), 1);
  bench.settle();
  EXPECT_EQ(gone, 4u);
  bench.sas.release_keys(set.keys);
}

// Any order of sets and single SAs, finished or under way, ends in the state of a plain map.
TEST(SaSets, AgreeWithAMapOverRandomCommands) {
  AssumeRole role(control_thread);
  constexpr size_t kCapacity = 12;
  Bench bench({.workers = 2, .capacity = kCapacity, .key_slots = 8});
  std::map<SetIndex, Set> model;
  std::map<SaHandle, SetIndex> owner_of;
  std::mt19937 twister(4);
  const auto random = [&] { return static_cast<uint32_t>(twister()); };
  size_t refused = 0;
  for (SetIndex step = 0; step < 20000; ++step) {
    const uint32_t number = random() % 12;
    if (random() % 2 == 0) {
      const uint32_t spi = 0x10000 + 4 * (random() % 12);
      std::optional<Set> set;
      const size_t before = bench.total();
      try {
        set = bench.install(make_set(spi, ue_number(number)), step);
      } catch (const Refused&) {
        ++refused;
        ASSERT_EQ(bench.total(), before);
      }
      if (set) model.emplace(step, *set);
      if (set) {
        for (const SaHandle sa : set->sas) ASSERT_TRUE(owner_of.emplace(sa, step).second);
      }
      bench.settle();
    } else if (!model.empty()) {
      const auto it = std::next(model.begin(), static_cast<long>(random() % model.size()));
      if (random() % 2 == 0) {
        for (const SaHandle sa : it->second.sas) bench.sas.promote(sa);
      }
      for (const SaHandle sa : it->second.sas) owner_of.erase(sa);
      bench.take_news();
      bench.remove(it->second);
      for (const News& news : bench.take_news()) ASSERT_EQ(news.owner, it->first);
      model.erase(it);
    }
    ASSERT_EQ(bench.total(), 4 * model.size());
  }
  EXPECT_GT(refused, 1000u);
}

}  // namespace
}  // namespace gmesp
