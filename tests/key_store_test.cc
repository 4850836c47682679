// SPDX-License-Identifier: BSD-3-Clause
// Slots: wiped, bounded, apart, and kept in this process's memory.
#include "crypto/key_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>

#include "perf/resident_memory.h"
#include "tests/crypto_batch.h"

namespace gmesp {
namespace {

Bytes memory_of(const KeyStore& store, KeySlot slot, Suite suite) {
  return {store.at(slot), store.at(slot) + KeyStore::slot_bytes(suite)};
}

bool all_zero(const Bytes& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
}

TEST(KeyStore, WipesASlotWhenItIsReleased) {
  KeyStore store(4);
  for (const SuiteInfo& info : kSuites) {
    for (const Direction direction : {Direction::in, Direction::out}) {
      const KeySlot slot = *store.store(info.suite, direction, counting_keys(info.suite, 1));
      EXPECT_FALSE(all_zero(memory_of(store, slot, info.suite)));
      store.release(slot, info.suite);
      EXPECT_TRUE(all_zero(memory_of(store, slot, info.suite))) << suite_label(info.suite);
    }
  }
}

TEST(KeyStore, HoldsItsCapacityOfEverySizeAndNoMore) {
  constexpr size_t kCapacity = 40;
  for (const SuiteInfo& info : kSuites) {
    KeyStore store(kCapacity);
    std::vector<KeySlot> slots;
    for (size_t i = 0; i < kCapacity; ++i) {
      slots.push_back(store.store(info.suite, Direction::in, counting_keys(info.suite, i)).value());
    }
    EXPECT_FALSE(store.store(info.suite, Direction::in, counting_keys(info.suite, 99)));
    store.release(slots[7], info.suite);
    EXPECT_EQ(store.store(info.suite, Direction::in, counting_keys(info.suite, 99)), slots[7]);
    EXPECT_FALSE(store.store(info.suite, Direction::in, counting_keys(info.suite, 99)));
  }
}

TEST(KeyStore, KeepsSlotsApartAndOnCacheLines) {
  constexpr size_t kCapacity = 100;
  KeyStore store(kCapacity);
  std::map<const uint8_t*, size_t> bytes_at;
  for (size_t i = 0; i < kCapacity; ++i) {
    // One suite of each size.
    for (const Suite suite :
         {Suite::md5_null, Suite::sha1_aes_cbc, Suite::md5_des3, Suite::aes_gcm}) {
      const KeySlot slot = *store.store(suite, Direction::out, counting_keys(suite, i));
      EXPECT_EQ(reinterpret_cast<uintptr_t>(store.at(slot)) % 64, 0u);
      EXPECT_TRUE(bytes_at.emplace(store.at(slot), KeyStore::slot_bytes(suite)).second);
    }
  }
  const uint8_t* end = nullptr;
  for (const auto& [begin, bytes] : bytes_at) {
    EXPECT_GE(begin, end);
    end = begin + bytes;
  }
}

// A neighbour's release or reuse must not reach into a slot.
// The pages of a slot, as /proc/self/numa_maps gives them to their mapping: "7f..00 prefer:0 ...".
std::string policy_of(const uint8_t* address) {
  std::ifstream maps("/proc/self/numa_maps");
  std::string policy;
  uintptr_t begin = 0;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::string its_policy;
    words >> std::hex >> begin >> its_policy;
    if (begin > reinterpret_cast<uintptr_t>(address)) break;
    policy = its_policy;
  }
  return policy;
}

TEST(KeyStore, HasARegionForEachWorkerOnItsNode) {
  constexpr size_t kCapacity = 10;
  KeyStore store(kCapacity, {0, -1, 0});
  std::set<const uint8_t*> slots;
  std::vector<std::vector<KeySlot>> of_worker(3);
  for (size_t worker = 0; worker < 3; ++worker) {
    for (const SuiteInfo& info : {kSuites.front(), kSuites.back()}) {
      for (size_t i = 0; i < kCapacity; ++i) {
        const KeySlot slot =
            store.store(info.suite, Direction::in, counting_keys(info.suite, i), worker).value();
        EXPECT_TRUE(slots.insert(store.at(slot)).second);
        of_worker[worker].push_back(slot);
      }
      EXPECT_FALSE(store.store(info.suite, Direction::in, counting_keys(info.suite, 0), worker));
    }
  }
  // What one gives back is its own to use again.
  const Suite suite = kSuites.front().suite;
  store.release(of_worker[1][3], suite);
  EXPECT_FALSE(store.store(suite, Direction::in, counting_keys(suite, 0), 0));
  EXPECT_FALSE(store.store(suite, Direction::in, counting_keys(suite, 0), 2));
  EXPECT_EQ(store.store(suite, Direction::in, counting_keys(suite, 0), 1), of_worker[1][3]);
  if (!std::ifstream("/proc/self/numa_maps")) GTEST_SKIP() << "a kernel without NUMA";
  EXPECT_TRUE(policy_of(store.at(of_worker[0][0])).starts_with("prefer")) << "node 0";
  EXPECT_EQ(policy_of(store.at(of_worker[1][0])), "default");
  EXPECT_TRUE(policy_of(store.at(of_worker[2][0])).starts_with("prefer"));
}

TEST(KeyStore, WorkersWithoutARegionShareThoseThereAre) {
  KeyStore store(2);
  const Suite suite = kSuites.front().suite;
  EXPECT_TRUE(store.store(suite, Direction::in, counting_keys(suite, 0), 0));
  EXPECT_TRUE(store.store(suite, Direction::in, counting_keys(suite, 1), 5));
  EXPECT_FALSE(store.store(suite, Direction::in, counting_keys(suite, 2), 9));
}

TEST(KeyStore, LeavesOtherSlotsAloneThroughChurn) {
  constexpr size_t kCapacity = 64;
  KeyStore store(kCapacity);
  std::map<KeySlot, std::pair<Suite, Bytes>> live;
  for (size_t round = 0; round < 4000; ++round) {
    const Suite suite = kSuites[round * 5 % kSuiteCount].suite;
    if (live.size() > 40) {
      auto victim = std::next(live.begin(), static_cast<std::ptrdiff_t>(round * 7 % live.size()));
      store.release(victim->first, victim->second.first);
      live.erase(victim);
    }
    const KeySlot slot = store.store(suite, Direction::out, counting_keys(suite, round)).value();
    ASSERT_TRUE(live.try_emplace(slot, suite, memory_of(store, slot, suite)).second);
  }
  for (const auto& [slot, expected] : live) {
    EXPECT_EQ(memory_of(store, slot, expected.first), expected.second);
  }
}

TEST(KeyStore, RefusesACapacityThatSlotNumbersCannotReach) {
  EXPECT_THROW(KeyStore(size_t{1} << 32), std::length_error);
}

// The flags of the mapping that holds the address, from /proc/self/smaps.
std::set<std::string> mapping_flags(const uint8_t* address) {
  std::ifstream smaps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    uintptr_t begin = 0, end = 0;
    char dash = 0;
    std::istringstream header(line);
    if (header >> std::hex >> begin >> dash >> end && dash == '-') {
      inside = begin <= wanted && wanted < end;
    } else if (inside && line.rfind("VmFlags:", 0) == 0) {
      std::istringstream words(line.substr(8));
      return {std::istream_iterator<std::string>(words), {}};
    }
  }
  return {};
}

// proc(5): dd = left out of core dumps, dc = not copied by fork(), lo = locked.
TEST(KeyStore, KeepsKeysOutOfCoreDumpsAndChildren) {
  KeyStore store(10);
  const KeySlot slot =
      *store.store(Suite::md5_null, Direction::in, counting_keys(Suite::md5_null, 0));
  const std::set<std::string> flags = mapping_flags(store.at(slot));
  if (flags.empty()) GTEST_SKIP() << "this kernel shows no VmFlags";
  EXPECT_EQ(flags.count("dd"), 1u);
  EXPECT_EQ(flags.count("dc"), 1u);
  EXPECT_EQ(flags.count("lo"), store.locked() ? 1u : 0u);
}

TEST(KeyStore, TakesMemoryOnlyAsSlotsAreUsed) {
  const size_t before = resident_bytes();
  KeyStore store(1'000'000);
  store.store(Suite::aes_gcm, Direction::in, counting_keys(Suite::aes_gcm, 0));
  EXPECT_LT(resident_bytes() - before, size_t{32} << 20);
}

}  // namespace
}  // namespace gmesp
