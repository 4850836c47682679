// SPDX-License-Identifier: BSD-3-Clause
// The hash has to be the one that NICs compute, or a UE's packets and SAs end up on different
// cores.
#include "dataplane/steering.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <stdexcept>

namespace gmesp {
namespace {

// Toeplitz as NIC manuals describe it: for every input bit that is 1, the 32 key bits from that
// place on.
uint32_t bitwise_toeplitz(const std::vector<uint8_t>& input) {
  std::array<uint8_t, 40> key;  // two IPv6 addresses need 36
  for (size_t i = 0; i < key.size(); ++i) key[i] = i % 2 == 0 ? 0x6d : 0x5a;
  const auto key_bit = [&key](size_t place) {
    return static_cast<uint32_t>(key[place / 8] >> (7 - place % 8) & 1);
  };
  uint32_t hash = 0;
  for (size_t bit = 0; bit < input.size() * 8; ++bit) {
    if ((input[bit / 8] >> (7 - bit % 8) & 1) == 0) continue;
    for (size_t i = 0; i < 32; ++i) hash ^= key_bit(bit + i) << (31 - i);
  }
  return hash;
}

// Source, then destination, in as many bytes as the family has.
uint32_t reference_hash(const Address& a, const Address& b) {
  const size_t skipped = a.is_v4() ? 12 : 0;
  std::vector<uint8_t> input(a.bytes.begin() + static_cast<std::ptrdiff_t>(skipped), a.bytes.end());
  input.insert(input.end(), b.bytes.begin() + static_cast<std::ptrdiff_t>(skipped), b.bytes.end());
  return bitwise_toeplitz(input);
}

rc::Gen<Address> any_v4() {
  return rc::gen::map(rc::gen::container<std::array<uint8_t, 4>>(rc::gen::arbitrary<uint8_t>()),
                      [](const auto& bytes) { return Address::v4(bytes.data()); });
}
rc::Gen<Address> any_v6() {
  return rc::gen::map(rc::gen::container<std::array<uint8_t, 16>>(rc::gen::arbitrary<uint8_t>()),
                      [](const auto& bytes) { return Address::v6(bytes.data()); });
}

TEST(RssHash, IsToeplitzWithTheSymmetricKey) {
  for (const auto& any_address : {any_v4(), any_v6()}) {
    EXPECT_TRUE(rc::check([&any_address] {
      const Address a = *any_address;
      const Address b = *any_address;
      RC_ASSERT(rss_hash(a, b) == reference_hash(a, b));
      RC_ASSERT(rss_hash(b, a) == reference_hash(a, b));
    }));
  }
}

// Each bit alone: nothing cancels, so a bit in the wrong place shows.
TEST(RssHash, EveryBitOfBothAddressesCounts) {
  for (size_t bit = 0; bit < 256; ++bit) {
    std::array<uint8_t, 32> pair{};
    pair[bit / 8] = static_cast<uint8_t>(0x80 >> bit % 8);
    const Address a = Address::v6(pair.data());
    const Address b = Address::v6(pair.data() + 16);
    EXPECT_EQ(rss_hash(a, b), reference_hash(a, b)) << bit;
    EXPECT_NE(rss_hash(a, b), 0u) << bit;
  }
}

TEST(Steering, BothDirectionsOfAUeHaveOneOwner) {
  for (size_t workers = 1; workers <= Steering::kMaxWorkers; ++workers) {
    const Steering steering(workers);
    EXPECT_TRUE(rc::check([&steering, workers] {
      const Address ue = *any_v6();
      const Address pcscf = *any_v6();
      RC_ASSERT(steering.owner(ue, pcscf) == steering.owner(pcscf, ue));
      RC_ASSERT(steering.owner(ue, pcscf) < workers);
    }));
  }
}

// UEs that an operator numbers one after the other, /64 prefixes included: no worker has more than
// half as much again as its share.
TEST(Steering, NeighbouringUesAreSpreadEvenly) {
  const Address pcscf_v4 = *parse_address("198.51.100.10");
  const Address pcscf_v6 = *parse_address("2001:db8:ffff::1");
  constexpr size_t kUes = 65536;
  for (const size_t workers : {2u, 3u, 4u, 6u, 8u, 16u}) {
    const Steering steering(workers);
    std::vector<size_t> v4(workers), v6_prefixes(workers), v6_hosts(workers);
    for (size_t i = 0; i < kUes; ++i) {
      Address ue = *parse_address("10.20.0.0");
      ue.bytes[14] = static_cast<uint8_t>(i >> 8);
      ue.bytes[15] = static_cast<uint8_t>(i);
      ++v4[steering.owner(ue, pcscf_v4)];
      Address prefix = *parse_address("2001:db8:1::1");
      prefix.bytes[6] = static_cast<uint8_t>(i >> 8);
      prefix.bytes[7] = static_cast<uint8_t>(i);
      ++v6_prefixes[steering.owner(prefix, pcscf_v6)];
      Address host = *parse_address("2001:db8:1:2::");
      host.bytes[14] = static_cast<uint8_t>(i >> 8);
      host.bytes[15] = static_cast<uint8_t>(i);
      ++v6_hosts[steering.owner(host, pcscf_v6)];
    }
    for (const auto& counts : {v4, v6_prefixes, v6_hosts}) {
      const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
      EXPECT_LE(*most, kUes / workers * 3 / 2) << workers << " workers";
      EXPECT_GE(*least, kUes / workers / 2) << workers << " workers";
    }
  }
}

// A device with a larger table repeats ours, and its table then gives the same owner.
TEST(Steering, ALargerTableOfADeviceCanRepeatOurs) {
  for (const size_t entries : {2u, 64u, 128u, 512u}) {
    const Steering steering(2, entries);
    EXPECT_EQ(steering.entries(), entries);
    for (size_t device = entries; device <= 512; device *= 2) {
      EXPECT_TRUE(rc::check([&] {
        const auto hash = *rc::gen::arbitrary<uint32_t>();
        const auto place = static_cast<uint32_t>(hash % device);
        RC_ASSERT(steering.owner_of_hash(hash) == steering.owner_of_hash(place));
      }));
    }
  }
}

TEST(Steering, ItsTableIsAsLargeAsEveryDeviceCanFollow) {
  EXPECT_EQ(table_entries_for({}), Steering::kMaxEntries);
  EXPECT_EQ(table_entries_for({0, 0}), Steering::kMaxEntries);
  EXPECT_EQ(table_entries_for({0, 64}), 64u);
  EXPECT_EQ(table_entries_for({512, 128}), 128u);
  EXPECT_EQ(table_entries_for({2048, 1024}), Steering::kMaxEntries);
}

TEST(Steering, RefusesNoWorkersAndMoreThanItIsMadeFor) {
  EXPECT_THROW(Steering(0), std::invalid_argument);
  EXPECT_THROW(Steering(Steering::kMaxWorkers + 1), std::invalid_argument);
  EXPECT_NO_THROW(Steering{Steering::kMaxWorkers});
  for (const size_t entries : {0u, 1u, 96u, 1024u}) {
    EXPECT_THROW(Steering(2, entries), std::invalid_argument) << entries;
  }
}

// Worker 3 of 8, and what the others hand to it: packets that are as long as their worker's number.
class SteererTest : public testing::Test {
 protected:
  static constexpr size_t kWorkers = 8, kSelf = 3;

  void hand(size_t from, size_t packets) {
    for (size_t i = 0; i < packets; ++i) {
      Packet packet;
      packet.length = static_cast<uint16_t>(from);
      const auto to = static_cast<SteerTo>(i % kSteerToCount);
      if (mesh_.ring(from, kSelf).push({packet, to})) ++handed_[from];
    }
  }
  // How many a poll takes in all; of which worker, is added to taken_.
  size_t poll() {
    std::array<Burst, kSteerToCount> bursts;
    const size_t received = steerer_.receive(bursts);
    size_t seen = 0;
    for (Burst& burst : bursts) {
      for (const Packet& packet : burst) ++taken_[packet.length];
      seen += burst.size();
      burst.forget();
    }
    EXPECT_EQ(received, seen);
    EXPECT_LE(received, Burst::kCapacity);
    return received;
  }

  std::array<size_t, kWorkers> handed_{}, taken_{};

 private:
  Steering steering_{kWorkers};
  SteeringMesh mesh_{kWorkers};
  Counters counters_;
  Drops drops_{counters_};
  Steerer steerer_{kSelf, steering_, mesh_, drops_, 1'000'000'000};
};

// The crypto's lanes are full however few workers poll a port.
TEST_F(SteererTest, OneWorkerAloneFillsABurst) {
  for (const size_t from : {0u, 2u, 4u, 7u}) {
    hand(from, Burst::kCapacity + 10);
    EXPECT_EQ(poll(), Burst::kCapacity) << from;
    EXPECT_EQ(poll(), 10u) << from;
    EXPECT_EQ(poll(), 0u) << from;
  }
}

TEST_F(SteererTest, FewPacketsOfEachCanAllComeInOnePoll) {
  for (size_t from = 0; from < kWorkers; ++from) {
    if (from != kSelf) hand(from, 9);
  }
  EXPECT_EQ(poll(), 7u * 9);
  EXPECT_EQ(poll(), 0u);
}

// However full the others' rings are, each worker's turn comes within as many polls as there are
// others, and those that are always full have equal shares, neighbours or not.
TEST_F(SteererTest, NoRingStarvesAnother) {
  const std::vector<std::vector<size_t>> crowds = {{0, 1, 2, 4, 5, 6, 7}, {1, 2}, {2, 4}, {0, 7}};
  for (const std::vector<size_t>& crowd : crowds) {
    for (const size_t from : crowd) taken_[from] = 0;
    for (size_t round = 0; round < 20 * crowd.size(); ++round) {
      for (const size_t from : crowd) hand(from, 2 * Burst::kCapacity);
      EXPECT_EQ(poll(), Burst::kCapacity);
    }
    for (const size_t from : crowd) EXPECT_EQ(taken_[from], 20u * Burst::kCapacity) << from;
    while (poll() != 0) {
    }
  }
  EXPECT_EQ(taken_[kSelf], 0u);
  hand(5, 1);
  const size_t before = taken_[5];
  size_t polls = 0;
  while (taken_[5] == before && polls < kWorkers) {
    for (const size_t from : {0u, 1u, 2u, 4u, 6u, 7u}) hand(from, 2 * Burst::kCapacity);
    poll();
    ++polls;
  }
  EXPECT_LE(polls, kWorkers - 1);
}

TEST_F(SteererTest, LosesNothingAndKeepsNothing) {
  EXPECT_TRUE(rc::check([this] {
    for (size_t step = 0; step < 30; ++step) {
      const auto from = *rc::gen::inRange<size_t>(0, kWorkers);
      if (from != kSelf) hand(from, *rc::gen::inRange<size_t>(0, 150));
      poll();
    }
    while (poll() != 0) {
    }
    RC_ASSERT(handed_ == taken_);
  }));
}

}  // namespace
}  // namespace gmesp
