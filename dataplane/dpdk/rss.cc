// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/dpdk/rss.h"

#include <rte_errno.h>

#include <algorithm>
#include <bit>

namespace gmesp {
namespace {

// Never RTE_ETH_RSS_ESP or any type with ports: those hash the SPI or the ports too, and a UE's two
// directions have different ones. The _FRAG and _OTHER types hash addresses, as fragments and ESP
// have no ports; RTE_ETH_RSS_IPV4 and _IPV6 stand for every packet that no other type claims. Not
// RTE_ETH_RSS_IPV6_EX: it takes addresses out of extension headers. The function is the device's
// default, Toeplitz in all drivers that we know (DPDK 22.11 has no setting for a port); a device
// with another one shows in rx_hash_mismatches.
constexpr uint64_t kIpv4Types =
    RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_OTHER;
constexpr uint64_t kIpv6Types =
    RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_FRAG_IPV6 | RTE_ETH_RSS_NONFRAG_IPV6_OTHER;

// Two IPv6 addresses, and the 32 bits of window that Toeplitz slides over them.
constexpr size_t kLeastKeyBytes = 2 * 16 + 4;
// Of devices that do not say how long theirs is: what DPDK takes for the usual length.
constexpr size_t kUsualKeyBytes = 40;
constexpr size_t kMostKeyBytes = UINT8_MAX;  // rte_eth_rss_conf has 8 bits for it

std::string list(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text.append(text.empty() ? "" : ", ").append(item);
  return text;
}

std::string gap_of(uint64_t types, size_t rx_queues, size_t workers) {
  std::vector<std::string> missing;
  if (rx_queues < workers) {
    missing.push_back("what " + std::to_string(workers - rx_queues) +
                      " workers without a queue own");
  }
  if ((types & kIpv4Types) == 0) {
    missing.emplace_back("IPv4");
  } else if ((types & RTE_ETH_RSS_IPV4) == 0) {
    missing.emplace_back("UDP and TCP over IPv4");  // X710 has no type for their addresses alone
  }
  if ((types & kIpv6Types) == 0) {
    missing.emplace_back("IPv6");
  } else if ((types & RTE_ETH_RSS_IPV6) == 0) {
    missing.emplace_back("UDP and TCP over IPv6");
  }
  return list(missing);
}

std::string table_obstacle(size_t entries, size_t workers) {
  if (entries == 0) return "it has no indirection table";
  const std::string table = "its indirection table has " + std::to_string(entries) + " entries, ";
  if (!std::has_single_bit(entries)) return table + "no power of two";
  if (entries < workers) return table + "fewer than workers";
  return "";
}

std::vector<rte_eth_rss_reta_entry64> make_table(size_t entries) {
  std::vector<rte_eth_rss_reta_entry64> groups(
      (entries + RTE_ETH_RETA_GROUP_SIZE - 1) / RTE_ETH_RETA_GROUP_SIZE,
      rte_eth_rss_reta_entry64{});
  for (size_t i = 0; i < entries; ++i) {
    groups[i / RTE_ETH_RETA_GROUP_SIZE].mask |= uint64_t{1} << i % RTE_ETH_RETA_GROUP_SIZE;
  }
  return groups;
}

uint16_t& entry(std::vector<rte_eth_rss_reta_entry64>& table, size_t i) {
  return table[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE];
}

// What could not be looked at, and why there is no use in the device.
struct Finding {
  std::string unread = {};
  std::string obstacle = {};
};

// A device may keep a key of its own, or hash nothing, and say yes to everything (net_null does).
Finding check_hash(const RssDevice& device, const RssPlan& plan) {
  std::vector<uint8_t> wanted = rss_key(plan.key_bytes);
  for (const bool written : {false, true}) {
    std::vector<uint8_t> key(kMostKeyBytes);
    rte_eth_rss_conf has{};
    has.rss_key = key.data();
    has.rss_key_len = static_cast<uint8_t>(plan.key_bytes);
    const int read = device.read_hash(has);
    if (is_unsupported(read)) return {.unread = "hash key"};
    if (read != 0) return {.obstacle = std::string("reading its hash key: ") + rte_strerror(-read)};
    const bool ours = std::equal(wanted.begin(), wanted.end(), key.begin());
    if (ours && (has.rss_hf & plan.hash_types) != 0) return {};
    if (written) return {.obstacle = ours ? "it hashes nothing" : "it keeps a hash key of its own"};
    rte_eth_rss_conf ask{};
    ask.rss_key = wanted.data();
    ask.rss_key_len = static_cast<uint8_t>(plan.key_bytes);
    ask.rss_hf = plan.hash_types;
    const int write = device.write_hash(ask);
    if (write != 0) {
      return {.obstacle = std::string("writing its hash key: ") + rte_strerror(-write)};
    }
  }
  return {};
}

// A queue for each worker, or workers share: those without a queue of their own are steered to.
Finding write_table(const RssDevice& device, size_t entries, const Steering& steering,
                    size_t rx_queues) {
  std::vector<rte_eth_rss_reta_entry64> table = make_table(entries);
  for (size_t i = 0; i < entries; ++i) {
    entry(table, i) =
        static_cast<uint16_t>(steering.owner_of_hash(static_cast<uint32_t>(i)) % rx_queues);
  }
  const auto size = static_cast<uint16_t>(entries);
  const int write = device.write_table(table, size);
  if (write != 0) {
    return {.obstacle = std::string("writing its indirection table: ") + rte_strerror(-write)};
  }
  std::vector<rte_eth_rss_reta_entry64> has = make_table(entries);
  const int read = device.read_table(has, size);
  if (is_unsupported(read)) return {.unread = "table"};
  if (read != 0) {
    return {.obstacle = std::string("reading its indirection table: ") + rte_strerror(-read)};
  }
  for (size_t i = 0; i < entries; ++i) {
    if (entry(has, i) != entry(table, i)) {
      return {.obstacle = "its indirection table is not what was written"};
    }
  }
  return {};
}

std::string in_words(const RssPlan& plan, const std::vector<std::string>& unread) {
  if (!plan.needed) return "none: one worker";
  if (!plan.in_hardware()) return "software: " + plan.obstacle;
  std::string words =
      "hardware (table written, " + std::to_string(plan.table_entries) + " entries)";
  if (!unread.empty()) words += "; cannot be read back: " + list(unread);
  if (!plan.gap.empty()) words += "; in software: " + plan.gap;
  return words;
}

}  // namespace

RssPlan plan_rss(const rte_eth_dev_info& info, size_t rx_queues, size_t workers) {
  RssPlan plan;
  plan.needed = workers > 1;
  if (rx_queues < 2 || !plan.needed) {
    plan.obstacle = "one receive queue";
    return plan;
  }
  plan.hash_types = info.flow_type_rss_offloads & (kIpv4Types | kIpv6Types);
  plan.key_bytes = info.hash_key_size == 0 ? kUsualKeyBytes : info.hash_key_size;
  plan.obstacle = table_obstacle(info.reta_size, workers);
  plan.gap = gap_of(plan.hash_types, rx_queues, workers);
  if (plan.hash_types == 0) plan.obstacle = "it cannot hash addresses alone, without ports";
  if (info.flow_type_rss_offloads == 0) plan.obstacle = "it has no RSS";
  if (plan.key_bytes < kLeastKeyBytes) {
    plan.hash_types = 0;
    plan.obstacle =
        "its hash key of " + std::to_string(plan.key_bytes) + " bytes is too short for IPv6";
  }
  if (plan.in_hardware()) plan.table_entries = info.reta_size;
  return plan;
}

std::vector<uint8_t> rss_key(size_t bytes) {
  std::vector<uint8_t> key(bytes);
  for (size_t i = 0; i < bytes; ++i) {
    key[i] = static_cast<uint8_t>(i % 2 == 0 ? kRssKeyWord >> 8 : kRssKeyWord & 0xff);
  }
  return key;
}

RssDevice rss_device(uint16_t port) {
  using Table = std::span<rte_eth_rss_reta_entry64>;
  return {
      .read_hash =
          [port](rte_eth_rss_conf& conf) { return rte_eth_dev_rss_hash_conf_get(port, &conf); },
      .write_hash =
          [port](rte_eth_rss_conf& conf) { return rte_eth_dev_rss_hash_update(port, &conf); },
      .read_table =
          [port](Table table, uint16_t entries) {
            return rte_eth_dev_rss_reta_query(port, table.data(), entries);
          },
      .write_table =
          [port](Table table, uint16_t entries) {
            return rte_eth_dev_rss_reta_update(port, table.data(), entries);
          },
  };
}

std::string apply_rss(const RssDevice& device, RssPlan& plan, const Steering& steering,
                      size_t rx_queues) {
  std::vector<std::string> unread;
  if (plan.in_hardware()) {
    const Finding hash = check_hash(device, plan);
    const Finding table = hash.obstacle.empty()
                              ? write_table(device, plan.table_entries, steering, rx_queues)
                              : Finding{};
    for (const Finding& finding : {hash, table}) {
      if (!finding.obstacle.empty()) plan.give_up(finding.obstacle);
      if (!finding.unread.empty()) unread.push_back(finding.unread);
    }
  }
  return in_words(plan, unread);
}

}  // namespace gmesp
