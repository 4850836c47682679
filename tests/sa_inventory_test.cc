// SPDX-License-Identifier: BSD-3-Clause
// The UE chooses SPI and address of outbound SAs: they must not meet in one place of the table.
#include "control/sa_inventory.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
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
  const size_t buckets = IndexTable(kCapacity).buckets();
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

}  // namespace
}  // namespace gmesp
