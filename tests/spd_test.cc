// SPDX-License-Identifier: BSD-3-Clause
// RFC 4301 4.4.1 as INT-30 needs it: the most specific selector, ports before protocol, then the
// latest added; deleting one falls back to the one before.
#include "dataplane/spd.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <unordered_map>
#include <vector>

namespace gmesp {
namespace {

constexpr uint64_t kSeed = 0x0123456789abcdef;
constexpr Protocol kAny = Selector::kAnyProtocol;

Address ue(uint32_t number) {
  Address address = *parse_address("2001:db8::");
  for (size_t i = 0; i < 4; ++i)
    address.bytes[12 + i] = static_cast<uint8_t>(number >> (24 - 8 * i));
  return address;
}
const Address kPcscf = *parse_address("2001:db8:1::5");

Selector selector(uint32_t ue_number, uint16_t source_port, uint16_t destination_port,
                  Protocol protocol) {
  return {kPcscf, ue(ue_number), source_port, destination_port, protocol};
}

Flow flow(uint32_t ue_number, uint16_t source_port, uint16_t destination_port, Protocol protocol) {
  return {kPcscf, ue(ue_number), source_port, destination_port, protocol};
}

InstallOutbound command(uint32_t index, const Selector& selector) {
  InstallOutbound install;
  install.index = SaIndex{index};
  install.spi = Spi{1000 + index};
  install.selector = selector;
  return install;
}

// Index of the SA that protects a flow; kNoSa when none does.
SaIndex found(Spd& spd, const Flow& flow) {
  const OutboundSa* sa = spd.find(flow);
  return sa == nullptr ? kNoSa : spd.sas().index_of(*sa);
}

TEST(Spd, ProtectsOnlyFlowsOfItsSelectors) {
  Spd spd(10, kSeed);
  EXPECT_EQ(found(spd, flow(1, 5061, 6000, Protocol::udp)), kNoSa);
  InstallOutbound install = command(4, selector(1, 5061, 6000, Protocol::udp));
  install.key = KeySlot{9};
  install.last_sent = SequenceNumber{77};
  install.suite = Suite::sha1_aes_cbc;
  ASSERT_FALSE(spd.install(install));
  const OutboundSa* sa = spd.find(flow(1, 5061, 6000, Protocol::udp));
  ASSERT_NE(sa, nullptr);
  EXPECT_EQ(sa->spi, Spi{1004});
  EXPECT_EQ(sa->key, KeySlot{9});
  EXPECT_EQ(sa->last_sent, SequenceNumber{77});
  EXPECT_EQ(sa->suite, Suite::sha1_aes_cbc);
  EXPECT_EQ(found(spd, flow(1, 5061, 6000, Protocol::tcp)), kNoSa);
  EXPECT_EQ(found(spd, flow(1, 5060, 6000, Protocol::udp)), kNoSa);
  EXPECT_EQ(found(spd, flow(2, 5061, 6000, Protocol::udp)), kNoSa);
}

// A packet's cost has a bound: other pairs have room still.
TEST(Spd, TakesABoundedNumberOfSasPerAddressPair) {
  constexpr uint32_t kMost = Spd::kMaxSasPerPair;
  Spd spd(kMost + 2, kSeed);
  for (uint32_t i = 0; i < kMost; ++i) {
    const auto port = static_cast<uint16_t>(1000 + i);
    ASSERT_FALSE(spd.install(command(i, selector(1, port, 6000, kAny)))) << i;
  }
  EXPECT_EQ(spd.install(command(kMost, selector(1, 1, 6000, kAny))),
            InstallError::too_many_for_pair);
  EXPECT_FALSE(spd.install(command(kMost, selector(2, 1, 6000, kAny))));
  spd.remove(SaIndex{0});
  EXPECT_FALSE(spd.install(command(kMost + 1, selector(1, 1, 6000, kAny))));
}

TEST(Spd, SasBegunInClearLeaveRoomInTheirPairForOthers) {
  constexpr uint32_t kMost = Spd::kMaxSasBegunInClear;
  static_assert(kMost < Spd::kMaxSasPerPair);
  Spd spd(Spd::kMaxSasPerPair, kSeed);
  const auto install = [&](uint32_t index, bool in_clear) {
    InstallOutbound sa =
        command(index, selector(1, static_cast<uint16_t>(1000 + index), 6000, kAny));
    sa.begun_in_clear = in_clear;
    return spd.install(sa);
  };
  for (uint32_t i = 0; i < kMost; ++i) ASSERT_FALSE(install(i, true)) << i;
  EXPECT_EQ(install(kMost, true), InstallError::too_many_for_pair);
  for (uint32_t i = kMost; i < Spd::kMaxSasPerPair; ++i) ASSERT_FALSE(install(i, false)) << i;
}

TEST(Spd, ARefusedInstallChangesNothing) {
  Spd spd(1, kSeed);
  ASSERT_FALSE(spd.install(command(0, selector(1, 0, 0, kAny))));
  EXPECT_EQ(spd.install(command(0, selector(1, 5061, 6000, kAny))), InstallError::index_in_use);
  EXPECT_EQ(spd.install(command(1, selector(1, 5061, 6000, kAny))), InstallError::table_full);
  EXPECT_EQ(spd.install(command(0xffffffff, selector(1, 0, 0, kAny))), InstallError::table_full);
  EXPECT_EQ(spd.find(flow(1, 5061, 6000, Protocol::udp))->spi, Spi{1000});
}

// Each row beats all rows above it, in whatever order they are added.
TEST(Spd, TheMostSpecificSelectorWinsInEveryOrderOfInstall) {
  const Selector kRows[] = {
      selector(1, 0, 0, kAny),       selector(1, 0, 0, Protocol::udp),
      selector(1, 5061, 0, kAny),    selector(1, 0, 6000, Protocol::udp),
      selector(1, 5061, 6000, kAny), selector(1, 5061, 6000, Protocol::udp),
  };
  std::vector<uint32_t> order = {0, 1, 2, 3, 4, 5};
  do {
    Spd spd(6, kSeed);
    for (const uint32_t row : order) ASSERT_FALSE(spd.install(command(row, kRows[row])));
    for (uint32_t best = 6; best-- > 0;) {
      ASSERT_EQ(found(spd, flow(1, 5061, 6000, Protocol::udp)), SaIndex{best});
      spd.remove(SaIndex{best});
    }
    ASSERT_EQ(found(spd, flow(1, 5061, 6000, Protocol::udp)), kNoSa);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(Spd, OfEqualsTheLatestWinsAndDeletingFallsBack) {
  Spd spd(3, kSeed);
  const Flow kFlow = flow(1, 5061, 6000, Protocol::tcp);
  for (const uint32_t index : {2u, 0u, 1u}) {
    ASSERT_FALSE(spd.install(command(index, selector(1, 5061, 6000, kAny))));
    EXPECT_EQ(found(spd, kFlow), SaIndex{index});
  }
  spd.remove(SaIndex{0});  // the one in the middle
  EXPECT_EQ(found(spd, kFlow), SaIndex{1});
  spd.remove(SaIndex{1});
  EXPECT_EQ(found(spd, kFlow), SaIndex{2});
  spd.remove(SaIndex{2});
  EXPECT_EQ(found(spd, kFlow), kNoSa);
}

// INT-72, INT-74, PUB-04: a set with the ports of the one in use waits behind it until it is
// preferred. JNT-4: when the one in use goes, the next one is used by itself.
TEST(Spd, AStandbyWaitsBehindItsEqualsUntilPreferredOrAlone) {
  Spd spd(4, kSeed);
  const Flow kFlow = flow(1, 5061, 6000, Protocol::udp);
  const auto install = [&](uint32_t index, const Selector& of, bool standby) {
    InstallOutbound sa = command(index, of);
    sa.standby = standby;
    ASSERT_FALSE(spd.install(sa));
  };
  const Selector equal = selector(1, 5061, 6000, kAny);
  install(0, equal, true);
  EXPECT_EQ(found(spd, kFlow), SaIndex{0}) << "nothing to wait for";
  install(1, equal, true);
  install(2, selector(1, 5061, 0, Protocol::udp), false);
  install(3, equal, true);
  EXPECT_EQ(found(spd, kFlow), SaIndex{0});
  spd.prefer(SaIndex{3});
  EXPECT_EQ(found(spd, kFlow), SaIndex{3});
  spd.prefer(SaIndex{3});
  EXPECT_EQ(found(spd, kFlow), SaIndex{3});
  spd.remove(SaIndex{3});
  EXPECT_EQ(found(spd, kFlow), SaIndex{0});
  spd.prefer(SaIndex{2});
  EXPECT_EQ(found(spd, kFlow), SaIndex{0}) << "specificity decides first";
  spd.remove(SaIndex{0});
  EXPECT_EQ(found(spd, kFlow), SaIndex{1});
  spd.remove(SaIndex{1});
  EXPECT_EQ(found(spd, kFlow), SaIndex{2});
  spd.prefer(SaIndex{2});  // the only one
  EXPECT_EQ(found(spd, kFlow), SaIndex{2});
  spd.remove(SaIndex{2});
  EXPECT_EQ(found(spd, kFlow), kNoSa);
}

// SPEC 6, ports-of-set: only where no selector takes the flow, whatever comes first.
TEST(Spd, ASelectorGoesBeforeAlternatePortsAnywhereInTheChain) {
  Spd spd(3, kSeed);
  InstallOutbound first = command(0, selector(1, 5061, 6000, kAny));
  first.alternate = {5062, 6001};
  ASSERT_FALSE(spd.install(command(1, selector(1, 5062, 6001, kAny))));
  ASSERT_FALSE(spd.install(first));
  EXPECT_EQ(found(spd, flow(1, 5061, 6000, Protocol::udp)), SaIndex{0});
  EXPECT_EQ(found(spd, flow(1, 5062, 6001, Protocol::udp)), SaIndex{1}) << "its own selector";
  EXPECT_EQ(found(spd, flow(1, 5061, 6001, Protocol::tcp)), SaIndex{0});
  EXPECT_EQ(found(spd, flow(1, 5062, 6000, Protocol::udp)), SaIndex{0});
  EXPECT_EQ(found(spd, flow(1, 5062, 6002, Protocol::udp)), kNoSa);
  EXPECT_EQ(found(spd, flow(1, 0, 6000, Protocol::udp)), kNoSa);
  spd.remove(SaIndex{0});
  EXPECT_EQ(found(spd, flow(1, 5061, 6001, Protocol::udp)), kNoSa) << "strict";
  ASSERT_FALSE(spd.install(command(0, selector(1, 5061, 6000, kAny))));
  EXPECT_EQ(found(spd, flow(1, 5061, 6001, Protocol::udp)), kNoSa) << "the place's old ports";
}

TEST(Spd, TheSeedMovesAddressesToOtherBuckets) {
  const Spd one(100, 1);
  const Spd two(100, 2);
  size_t equal = 0;
  for (uint32_t i = 0; i < 1000; ++i) {
    equal += one.hash(kPcscf, ue(i)) % 64 == two.hash(kPcscf, ue(i)) % 64;
  }
  EXPECT_LT(equal, 40u);  // 1 in 64 by chance
  EXPECT_NE(one.hash(kPcscf, ue(1)), one.hash(ue(1), kPcscf));
}

// A UE chooses its interface id. Whatever it is, the other words still tell addresses apart.
TEST(Spd, NoInterfaceIdMakesTheHashesOfPrefixesMeet) {
  const Spd spd(100, kSeed);
  for (const uint64_t known : {uint64_t{0}, UINT64_MAX, kSeed, ~kSeed, 0xa0761d6478bd642f,
                               0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3, 0x9e3779b97f4a7c15}) {
    for (const bool is_prefix : {false, true}) {
      std::set<uint64_t> hashes;
      for (uint64_t i = 1; i <= 1000; ++i) {
        const uint64_t words[] = {is_prefix ? known : i, is_prefix ? i : known};
        Address address;
        std::memcpy(&address, words, sizeof address);
        hashes.insert({spd.hash(kPcscf, address), spd.hash(address, kPcscf)});
      }
      EXPECT_EQ(hashes.size(), 2000u) << std::hex << known;
    }
  }
}

// 31 bits of the hash are the tag, so among 150,000 UEs some share one; with one bucket they share
// its place too, and only the addresses tell them apart.
TEST(Spd, UesThatShareATagAreToldApart) {
  Spd spd(2, kSeed);
  std::unordered_map<uint32_t, uint32_t> ue_of_tag;
  size_t collisions = 0;
  for (uint32_t i = 0; i < 150'000; ++i) {
    const uint32_t tag = static_cast<uint32_t>(spd.hash(kPcscf, ue(i)) >> 32) | 1;
    const auto [twin, fresh] = ue_of_tag.emplace(tag, i);
    if (fresh) continue;
    ++collisions;
    ASSERT_FALSE(spd.install(command(0, selector(twin->second, 0, 0, kAny))));
    EXPECT_EQ(found(spd, flow(i, 1, 1, Protocol::udp)), kNoSa);
    ASSERT_FALSE(spd.install(command(1, selector(i, 0, 0, kAny))));
    EXPECT_EQ(found(spd, flow(twin->second, 1, 1, Protocol::udp)), SaIndex{0});
    EXPECT_EQ(found(spd, flow(i, 1, 1, Protocol::udp)), SaIndex{1});
    spd.remove(SaIndex{0});
    EXPECT_EQ(found(spd, flow(twin->second, 1, 1, Protocol::udp)), kNoSa);
    EXPECT_EQ(found(spd, flow(i, 1, 1, Protocol::udp)), SaIndex{1});
    spd.remove(SaIndex{1});
  }
  EXPECT_GT(collisions, 0u) << "nothing was tested";
}

// The rules once more, by looking at every SA.
class SlowModel {
 public:
  bool contains(SaIndex index) const {
    return std::any_of(sas_.begin(), sas_.end(), [&](const Sa& sa) { return sa.index == index; });
  }
  void install(const InstallOutbound& sa) {
    sas_.push_back({sa.index, sa.selector, sa.alternate, sa.standby ? --last_ : ++first_});
  }
  void prefer(SaIndex index) {
    for (Sa& sa : sas_) {
      if (sa.index == index) sa.order = ++first_;
    }
  }
  void remove(SaIndex index) {
    std::erase_if(sas_, [&](const Sa& sa) { return sa.index == index; });
  }
  SaIndex find(const Flow& flow) const {
    const SaIndex exact = best([&](const Sa& sa) { return sa.selector.matches(flow); });
    if (exact != kNoSa) return exact;
    // Every combination of own and second ports.
    return best([&](const Sa& sa) {
      bool any = false;
      for (const bool second_source : {false, true}) {
        for (const bool second_destination : {false, true}) {
          Selector ports = sa.selector;
          if (second_source && sa.alternate.source == 0) continue;
          if (second_destination && sa.alternate.destination == 0) continue;
          if (second_source && ports.source_port != 0) ports.source_port = sa.alternate.source;
          if (second_destination && ports.destination_port != 0) {
            ports.destination_port = sa.alternate.destination;
          }
          any |= ports.matches(flow);
        }
      }
      return any;
    });
  }

 private:
  struct Sa {
    SaIndex index;
    Selector selector;
    AlternatePorts alternate;
    int order;
  };
  template <typename Predicate>
  SaIndex best(Predicate&& takes) const {
    const Sa* best = nullptr;
    const auto rank = [](const Sa& sa) {
      return 4 * (sa.selector.source_port != 0) + 4 * (sa.selector.destination_port != 0) +
             (sa.selector.protocol != kAny);
    };
    for (const Sa& sa : sas_) {
      if (!takes(sa)) continue;
      if (best == nullptr || rank(sa) > rank(*best) ||
          (rank(sa) == rank(*best) && sa.order > best->order)) {
        best = &sa;
      }
    }
    return best == nullptr ? kNoSa : best->index;
  }

  std::vector<Sa> sas_;
  int first_ = 0;
  int last_ = 0;
};

struct Step {
  enum Kind { install, standby, prefer, remove } kind;
  InstallOutbound sa;
};

rc::Gen<Step> any_step(uint32_t capacity) {
  const auto port = [](std::initializer_list<uint16_t> ports) {
    return rc::gen::elementOf(std::vector<uint16_t>(ports));
  };
  return rc::gen::map(
      rc::gen::tuple(rc::gen::element(Step::install, Step::install, Step::standby, Step::standby,
                                      Step::prefer, Step::remove),
                     rc::gen::inRange<uint32_t>(0, capacity), rc::gen::inRange<uint32_t>(0, 3),
                     port({0, 5061, 6000}), port({0, 5061, 6000}), port({0, 0, 1, 5061}),
                     port({0, 0, 1, 6000}), rc::gen::element(kAny, Protocol::udp, Protocol::tcp)),
      [](const auto& drawn) {
        const auto& [kind, index, ue_number, source, destination, second_source, second_destination,
                     protocol] = drawn;
        Step step{kind, command(index, selector(ue_number, source, destination, protocol))};
        step.sa.alternate = {second_source, second_destination};
        step.sa.standby = kind == Step::standby;
        return step;
      });
}

TEST(Spd, EqualsAModelThatLooksAtEverySa) {
  EXPECT_TRUE(rc::check([] {
    constexpr uint32_t kCapacity = 20;
    constexpr uint16_t kPorts[] = {5061, 6000, 1, 0};
    const auto steps =
        *rc::gen::scale(4, rc::gen::container<std::vector<Step>>(any_step(kCapacity)));
    Spd spd(kCapacity, kSeed);
    SlowModel model;
    for (const auto& [kind, sa] : steps) {
      if (kind == Step::install || kind == Step::standby) {
        const bool refused = spd.install(sa).has_value();
        RC_ASSERT(refused == model.contains(sa.index));
        if (!refused) model.install(sa);
      } else if (model.contains(sa.index)) {
        kind == Step::prefer ? spd.prefer(sa.index) : spd.remove(sa.index);
        kind == Step::prefer ? model.prefer(sa.index) : model.remove(sa.index);
      }
    }
    for (const uint32_t ue_number : {0u, 1u, 2u, 3u}) {
      for (const uint16_t source_port : kPorts) {
        for (const uint16_t destination_port : kPorts) {
          for (const Protocol protocol : {Protocol::udp, Protocol::tcp, Protocol::icmpv6}) {
            const Flow packet = flow(ue_number, source_port, destination_port, protocol);
            RC_ASSERT(found(spd, packet) == model.find(packet));
          }
        }
      }
    }
  }));
}

}  // namespace
}  // namespace gmesp
