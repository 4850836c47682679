// SPDX-License-Identifier: BSD-3-Clause
// The UE chooses SPI and address of outbound SAs: they must not meet in one place of the table.
#include "control/sa_inventory.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <iterator>
#include <random>
#include <set>
#include <vector>

namespace gmesp {
namespace {

constexpr size_t kCapacity = 8192;

// What anybody can compute of an SPI and an address.
size_t bucket_without_key(Spi spi, const Address& destination, size_t buckets) {
  uint64_t halves[2];
  std::memcpy(halves, &destination, sizeof halves);
  uint64_t identity = static_cast<uint32_t>(spi);
  identity = (identity ^ halves[0]) * 0x9e3779b97f4a7c15u;
  identity ^= identity >> 32 ^ halves[1];
  return uint64_t{spread(identity)} * buckets >> 32;
}

SaEntry entry(std::mt19937& random) {
  SaEntry entry;
  entry.state = SaState::live;
  entry.selector.destination = *parse_address("2001:db8::");
  const auto host = random();
  std::memcpy(&entry.selector.destination.bytes[8], &host, 4);
  entry.spi = Spi{static_cast<uint32_t>(random()) | 256};
  return entry;
}

TEST(SaInventory, OutboundSasChosenToMeetInOneBucketDoNot) {
  const size_t buckets = IndexTable<SaPlace, kNoPlace>(kCapacity).buckets();
  SaInventory inventory(Direction::out, 1, kCapacity);
  std::mt19937 random(1);
  std::vector<SaEntry> chosen;
  while (chosen.size() < 2000) {
    const SaEntry next = entry(random);
    if (bucket_without_key(next.spi, next.selector.destination, buckets) == 5) {
      chosen.push_back(next);
    }
  }
  for (const SaEntry& one : chosen) ASSERT_TRUE(inventory.insert(0, one));
  EXPECT_LT(inventory.passed(), 20u) << "in one bucket it would be some 280,000";
  for (const SaEntry& one : chosen) {
    const auto place = inventory.find(one.spi, one.selector.destination);
    ASSERT_TRUE(place);
    EXPECT_EQ(inventory[*place].selector.destination, one.selector.destination);
  }
}

TEST(SaInventory, KnowsHowManyPlacesOfAWorkerAreFree) {
  SaInventory inventory(Direction::out, 2, 3);
  std::mt19937 random(2);
  EXPECT_EQ(inventory.free_places(0), 3u);
  const auto first = inventory.insert(0, entry(random));
  ASSERT_TRUE(first && inventory.insert(0, entry(random)));
  EXPECT_EQ(inventory.free_places(0), 1u);
  EXPECT_EQ(inventory.free_places(1), 3u);
  inventory.erase(*first);
  EXPECT_EQ(inventory.free_places(0), 2u);
}

// What list and flush walk by, over the borders of words and workers, with holes.
TEST(SaInventory, NextGoesThroughTheTakenPlacesInOrder) {
  constexpr size_t kWorkers = 3, kPlaces = 100;
  SaInventory inventory(Direction::out, kWorkers, kPlaces);
  std::mt19937 random(3);
  std::set<SaPlace> taken;
  for (size_t step = 0; step < 2000; ++step) {
    if (random() % 2 == 0) {
      const auto place = inventory.insert(random() % kWorkers, entry(random));
      if (place) {
        ASSERT_TRUE(taken.insert(*place).second);
      }
    } else if (!taken.empty()) {
      const auto gone = std::next(taken.begin(), static_cast<ptrdiff_t>(random() % taken.size()));
      inventory.erase(*gone);
      taken.erase(gone);
    }
    if (step % 20 != 0) continue;
    std::vector<SaPlace> walked;
    for (auto place = inventory.next(0); place;
         place = inventory.next(static_cast<size_t>(*place) + 1)) {
      walked.push_back(*place);
    }
    ASSERT_EQ(walked, std::vector<SaPlace>(taken.begin(), taken.end())) << step;
  }
  EXPECT_FALSE(inventory.next(kWorkers * kPlaces));
  EXPECT_FALSE(inventory.next(0xffffffff)) << "any cursor that a client makes up";
}

}  // namespace
}  // namespace gmesp
