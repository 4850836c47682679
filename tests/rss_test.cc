// SPDX-License-Identifier: BSD-3-Clause
// Receive-side scaling judged from what drivers of DPDK 22.11 say of their devices, and carried out
// on devices that do, refuse or only pretend to do it. No device here hashes by itself.
#include "dataplane/dpdk/rss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

namespace gmesp {
namespace {

constexpr uint64_t kAddresses4 = RTE_ETH_RSS_IPV4;
constexpr uint64_t kAddresses6 = RTE_ETH_RSS_IPV6;
constexpr uint64_t kPorts = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP |
                            RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_NONFRAG_IPV6_UDP;
constexpr uint64_t kOther4 = RTE_ETH_RSS_FRAG_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_OTHER;
constexpr uint64_t kOther6 = RTE_ETH_RSS_FRAG_IPV6 | RTE_ETH_RSS_NONFRAG_IPV6_OTHER;

rte_eth_dev_info info_of(uint16_t entries, uint8_t key_bytes, uint64_t types) {
  rte_eth_dev_info info{};
  info.reta_size = entries;
  info.hash_key_size = key_bytes;
  info.flow_type_rss_offloads = types;
  return info;
}

struct DeviceRow {
  const char* device;
  rte_eth_dev_info info;
  size_t workers;
  uint64_t types;  // asked for
  const char* words;
};

const DeviceRow kDevices[] = {
    {"82599 (net_ixgbe)",
     info_of(128, 40, kAddresses4 | kAddresses6 | kPorts | RTE_ETH_RSS_IPV6_EX), 4,
     kAddresses4 | kAddresses6, "hardware (table written, 128 entries)"},
    {"X710 (net_i40e)", info_of(512, 52, kOther4 | kOther6 | kPorts | RTE_ETH_RSS_L2_PAYLOAD), 4,
     kOther4 | kOther6,
     "hardware (table written, 512 entries); in software: UDP and TCP over IPv4, UDP and TCP over "
     "IPv6"},
    {"E810 VF (net_iavf)",
     info_of(64, 52, kAddresses4 | kOther4 | kAddresses6 | kOther6 | kPorts | RTE_ETH_RSS_ESP), 4,
     kAddresses4 | kOther4 | kAddresses6 | kOther6, "hardware (table written, 64 entries)"},
    {"ConnectX (mlx5), two queues", info_of(2, 40, kAddresses4 | kAddresses6 | RTE_ETH_RSS_ESP), 2,
     kAddresses4 | kAddresses6, "hardware (table written, 2 entries)"},
    {"ConnectX (mlx5), more workers than entries", info_of(2, 40, kAddresses4 | kAddresses6), 3,
     kAddresses4 | kAddresses6,
     "software: its indirection table has 2 entries, fewer than workers"},
    {"ENA", info_of(128, 40, kPorts), 4, 0,
     "software: it cannot hash addresses alone, without ports"},
    {"virtio with RSS", info_of(128, 40, kAddresses4 | kAddresses6 | kPorts), 4,
     kAddresses4 | kAddresses6, "hardware (table written, 128 entries)"},
    {"virtio without RSS", info_of(0, 0, 0), 4, 0, "software: it has no RSS"},
    {"net_tap", info_of(0, 40, kAddresses4 | kAddresses6 | kPorts), 4, kAddresses4 | kAddresses6,
     "software: it has no indirection table"},
    {"a table sized by queues (bnxt)", info_of(192, 40, kAddresses4 | kAddresses6), 3,
     kAddresses4 | kAddresses6, "software: its indirection table has 192 entries, no power of two"},
    {"only IPv4", info_of(128, 40, kAddresses4), 2, kAddresses4,
     "hardware (table written, 128 entries); in software: IPv6"},
    {"only IPv6", info_of(128, 40, kAddresses6 | kOther6), 2, kAddresses6 | kOther6,
     "hardware (table written, 128 entries); in software: IPv4"},
    {"a key for IPv4 ports only", info_of(128, 16, kAddresses4 | kAddresses6), 2, 0,
     "software: its hash key of 16 bytes is too short for IPv6"},
    {"a key of unknown length (net_null)", info_of(128, 0, kAddresses4 | kAddresses6), 2,
     kAddresses4 | kAddresses6, "hardware (table written, 128 entries)"},
};

// A device in memory. Any answer can be made a refusal.
struct FakeRss {
  std::vector<uint8_t> key = std::vector<uint8_t>(40);
  uint64_t types = 0;
  std::vector<uint16_t> table = std::vector<uint16_t>(2048);
  int read_hash = 0;
  int write_hash = 0;
  int read_table = 0;
  int write_table = 0;
  bool keeps_key = false;
  bool keeps_types = false;
  bool keeps_table = false;
  size_t hash_writes = 0;

  RssDevice device() {
    using Table = std::span<rte_eth_rss_reta_entry64>;
    return {
        .read_hash =
            [this](rte_eth_rss_conf& conf) {
              std::copy(key.begin(), key.end(), conf.rss_key);
              conf.rss_hf = types;
              return read_hash;
            },
        .write_hash =
            [this](rte_eth_rss_conf& conf) {
              ++hash_writes;
              if (!keeps_key) key.assign(conf.rss_key, conf.rss_key + conf.rss_key_len);
              if (!keeps_types) types = conf.rss_hf;
              return write_hash;
            },
        .read_table =
            [this](Table groups, uint16_t entries) {
              for_each(groups, entries, [this](uint16_t& entry, size_t i) { entry = table[i]; });
              return read_table;
            },
        .write_table =
            [this](Table groups, uint16_t entries) {
              if (!keeps_table && write_table == 0) {
                for_each(groups, entries, [this](uint16_t& entry, size_t i) { table[i] = entry; });
              }
              return write_table;
            },
    };
  }
  // Entries whose mask bit is set, as drivers do.
  static void for_each(std::span<rte_eth_rss_reta_entry64> groups, size_t entries,
                       const std::function<void(uint16_t&, size_t)>& visit) {
    for (size_t i = 0; i < entries; ++i) {
      rte_eth_rss_reta_entry64& group = groups[i / RTE_ETH_RETA_GROUP_SIZE];
      if ((group.mask >> i % RTE_ETH_RETA_GROUP_SIZE & 1) != 0) {
        visit(group.reta[i % RTE_ETH_RETA_GROUP_SIZE], i);
      }
    }
  }
};

TEST(Rss, IsPlannedFromWhatDevicesSayOfThemselves) {
  for (const DeviceRow& row : kDevices) {
    RssPlan plan = plan_rss(row.info, row.workers, row.workers);
    EXPECT_EQ(plan.hash_types, row.types) << row.device;
    const Steering steering(row.workers, table_entries_for({plan.table_entries}));
    FakeRss fake;
    EXPECT_EQ(apply_rss(fake.device(), plan, steering, row.workers), row.words) << row.device;
    EXPECT_EQ(plan.table_entries, plan.in_hardware() ? row.info.reta_size : 0u) << row.device;
  }
}

TEST(Rss, NeverHashesSpiOrPorts) {
  const RssPlan plan = plan_rss(info_of(128, 40, ~uint64_t{0}), 4, 4);
  EXPECT_EQ(plan.hash_types & (kPorts | RTE_ETH_RSS_ESP | RTE_ETH_RSS_AH | RTE_ETH_RSS_L4_CHKSUM |
                               RTE_ETH_RSS_L3_SRC_ONLY | RTE_ETH_RSS_IPV6_EX),
            0u);
  EXPECT_EQ(plan.gap, "");
}

TEST(Rss, NeedsSeveralWorkersAndSeveralQueues) {
  const rte_eth_dev_info info = info_of(128, 40, kAddresses4 | kAddresses6);
  EXPECT_FALSE(plan_rss(info, 1, 1).needed);
  EXPECT_FALSE(plan_rss(info, 1, 1).in_hardware());
  EXPECT_EQ(plan_rss(info, 1, 2).obstacle, "one receive queue");
  EXPECT_EQ(plan_rss(info, 1, 2).hash_types, 0u);
}

TEST(Rss, WorkersWithoutAQueueAreNamedAsAGap) {
  const RssPlan plan = plan_rss(info_of(128, 40, kAddresses4 | kAddresses6), 2, 5);
  EXPECT_TRUE(plan.in_hardware());
  EXPECT_EQ(plan.gap, "what 3 workers without a queue own");
}

TEST(Rss, KeysOfEveryLengthRepeatTheSymmetricWord) {
  for (const size_t bytes : {40u, 52u}) {
    const std::vector<uint8_t> key = rss_key(bytes);
    ASSERT_EQ(key.size(), bytes);
    for (size_t i = 0; i < bytes; ++i) EXPECT_EQ(key[i], i % 2 == 0 ? 0x6d : 0x5a);
  }
}

// Fewer queues than workers share them; a smaller table of ours is repeated in the device's.
TEST(Rss, TheDevicesTableLeadsToTheOwnersQueue) {
  for (const size_t entries : {2u, 64u, 128u, 512u, 2048u}) {
    for (const size_t queues : {2u, 3u, 4u}) {
      const size_t workers = std::min<size_t>(entries, 4);
      RssPlan plan = plan_rss(
          info_of(static_cast<uint16_t>(entries), 40, kAddresses4 | kAddresses6), queues, workers);
      const Steering steering(workers, std::min<size_t>(entries, 64));
      FakeRss fake;
      apply_rss(fake.device(), plan, steering, queues);
      ASSERT_TRUE(plan.in_hardware());
      for (uint32_t hash = 0; hash < 4096; ++hash) {
        EXPECT_EQ(fake.table[hash % entries], steering.owner_of_hash(hash) % queues)
            << entries << " entries, " << queues << " queues, hash " << hash;
      }
    }
  }
}

struct Trouble {
  const char* words;
  std::function<void(FakeRss&)> make;
};

const Trouble kTroubles[] = {
    {"hardware (table written, 128 entries)", [](FakeRss&) {}},
    {"software: it keeps a hash key of its own", [](FakeRss& fake) { fake.keeps_key = true; }},
    {"software: it hashes nothing", [](FakeRss& fake) { fake.keeps_types = true; }},
    {"software: writing its hash key: Operation not supported",
     [](FakeRss& fake) { fake.write_hash = -ENOTSUP; }},
    {"software: reading its hash key: Input/output error",
     [](FakeRss& fake) { fake.read_hash = -EIO; }},
    {"software: writing its indirection table: Operation not supported",
     [](FakeRss& fake) { fake.write_table = -ENOTSUP; }},
    {"software: writing its indirection table: Invalid argument",
     [](FakeRss& fake) { fake.write_table = -EINVAL; }},
    {"software: reading its indirection table: Input/output error",
     [](FakeRss& fake) { fake.read_table = -EIO; }},
    {"software: its indirection table is not what was written",
     [](FakeRss& fake) { fake.keeps_table = true; }},
    {"hardware (table written, 128 entries); cannot be read back: hash key",
     [](FakeRss& fake) { fake.read_hash = -ENOTSUP; }},
    {"hardware (table written, 128 entries); cannot be read back: hash key, table",
     [](FakeRss& fake) { fake.read_hash = fake.read_table = -ENOTSUP; }},
};

TEST(Rss, WhatADeviceDoesNotDoIsSaid) {
  const Steering steering(2, 128);
  for (const Trouble& trouble : kTroubles) {
    RssPlan plan = plan_rss(info_of(128, 40, kAddresses4 | kAddresses6), 2, 2);
    FakeRss fake;
    trouble.make(fake);
    const std::string words = apply_rss(fake.device(), plan, steering, 2);
    EXPECT_EQ(words, trouble.words);
    EXPECT_EQ(plan.in_hardware(), words.starts_with("hardware"));
    EXPECT_LE(fake.hash_writes, 1u);
  }
}

TEST(Rss, AKeyThatIsOursAlreadyIsNotWrittenAgain) {
  const Steering steering(2, 128);
  RssPlan plan = plan_rss(info_of(128, 40, kAddresses4 | kAddresses6), 2, 2);
  FakeRss fake;
  fake.key = rss_key(40);
  fake.types = plan.hash_types;
  apply_rss(fake.device(), plan, steering, 2);
  EXPECT_EQ(fake.hash_writes, 0u);
}

}  // namespace
}  // namespace gmesp
