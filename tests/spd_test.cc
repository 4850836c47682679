// SPDX-License-Identifier: BSD-3-Clause
// RFC 4301 4.4.1 as INT-30 needs it: the most specific selector, ports before protocol, then the
// latest added; deleting one falls back to the one before.
#include "dataplane/spd.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
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
  void install(SaIndex index, const Selector& selector) { sas_.push_back({index, selector}); }
  void remove(SaIndex index) {
    std::erase_if(sas_, [&](const Sa& sa) { return sa.index == index; });
  }
  SaIndex find(const Flow& flow) const {
    SaIndex best = kNoSa;
    int rank = -1;
    for (const Sa& sa : sas_) {  // oldest first: an equal later one replaces it
      const int its_rank = 4 * (sa.selector.source_port != 0) +
                           4 * (sa.selector.destination_port != 0) + (sa.selector.protocol != kAny);
      if (!sa.selector.matches(flow) || its_rank < rank) continue;
      rank = its_rank;
      best = sa.index;
    }
    return best;
  }

 private:
  struct Sa {
    SaIndex index;
    Selector selector;
  };
  std::vector<Sa> sas_;
};

TEST(Spd, EqualsAModelThatLooksAtEverySa) {
  EXPECT_TRUE(rc::check([] {
    constexpr uint32_t kCapacity = 20;
    constexpr uint16_t kPorts[] = {5061, 6000, 1};
    const auto port = rc::gen::element<uint16_t>(0, 5061, 6000);
    const auto steps = *rc::gen::scale(
        4, rc::gen::container<
               std::vector<std::tuple<bool, uint32_t, uint32_t, uint16_t, uint16_t, Protocol>>>(
               rc::gen::tuple(rc::gen::element(true, true, false),
                              rc::gen::inRange<uint32_t>(0, kCapacity),
                              rc::gen::inRange<uint32_t>(0, 3), port, port,
                              rc::gen::element(kAny, Protocol::udp, Protocol::tcp))));
    Spd spd(kCapacity, kSeed);
    SlowModel model;
    for (const auto& [install, index, ue_number, source_port, destination_port, protocol] : steps) {
      if (install) {
        const Selector added = selector(ue_number, source_port, destination_port, protocol);
        const bool refused = spd.install(command(index, added)).has_value();
        RC_ASSERT(refused == model.contains(SaIndex{index}));
        if (!refused) model.install(SaIndex{index}, added);
      } else if (model.contains(SaIndex{index})) {
        spd.remove(SaIndex{index});
        model.remove(SaIndex{index});
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
