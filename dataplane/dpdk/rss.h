// SPDX-License-Identifier: BSD-3-Clause
// Receive-side scaling of one device: that a packet comes by the queue of the worker that owns its
// UE (DESIGN 2). What the device can do is judged from what it says of itself; then it is told, and
// asked what it has understood. Whatever is missing, workers steer: slower, never wrong.
#pragma once

#include <rte_ethdev.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "dataplane/dpdk/rss_plan.h"
#include "dataplane/steering.h"

namespace gmesp {

// What a device answers that cannot do what it was asked.
inline bool is_unsupported(int result) { return result == -ENOTSUP || result == -ENOSYS; }

RssPlan plan_rss(const rte_eth_dev_info& info, size_t rx_queues, size_t workers);

// The symmetric Toeplitz key in the length that the device wants.
std::vector<uint8_t> rss_key(size_t bytes);

// A device's settings as functions that answer like DPDK's: 0 or a negative errno.
struct RssDevice {
  std::function<int(rte_eth_rss_conf&)> read_hash;
  std::function<int(rte_eth_rss_conf&)> write_hash;
  std::function<int(std::span<rte_eth_rss_reta_entry64>, uint16_t entries)> read_table;
  std::function<int(std::span<rte_eth_rss_reta_entry64>, uint16_t entries)> write_table;
};
RssDevice rss_device(uint16_t port);

// Makes a started device follow Steering: the key looked at (and written again where it is not
// ours), the table written and read back. What does not work becomes the plan's obstacle. Returns
// what the device does, in words for `status`.
std::string apply_rss(const RssDevice& device, RssPlan& plan, const Steering& steering,
                      size_t rx_queues);

}  // namespace gmesp
