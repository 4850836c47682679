// SPDX-License-Identifier: BSD-3-Clause
// What receive-side scaling a device can give. Knows no DPDK: rss.h makes it and carries it out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace gmesp {

struct RssPlan {
  bool needed = false;        // one worker owns every UE
  uint64_t hash_types = 0;    // RTE_ETH_RSS_*: what the device is asked to hash; 0: nothing
  size_t key_bytes = 0;       // of the hash key it wants
  size_t table_entries = 0;   // of its table, where that can follow Steering's; else 0
  std::string obstacle = {};  // why all is steered in software; empty: there is none
  std::string gap = {};       // what the device does not hash, so what is steered; empty: nothing

  bool in_hardware() const { return obstacle.empty(); }
  void give_up(const std::string& why) {
    table_entries = 0;
    obstacle = why;
  }
};

}  // namespace gmesp
