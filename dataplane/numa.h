// SPDX-License-Identifier: BSD-3-Clause
// Which NUMA node a CPU is on, and memory from there: a cache miss to another node costs about
// twice as much, and every packet of a large SA table has several.
#pragma once

#include <string>

namespace gmesp {

inline constexpr int kAnyNode = -1;

// kAnyNode where the kernel says nothing. The folder is another one in tests.
int node_of_cpu(unsigned cpu, const std::string& cpus_folder = "/sys/devices/system/cpu");

// While it lives, pages that the calling thread touches first come from this node if it has any.
// What the thread maps and does not touch is decided later, by whoever does: a worker's own tables
// come from its node anyhow, as it is pinned.
class PreferNode {
 public:
  explicit PreferNode(int node);
  ~PreferNode();
  PreferNode(const PreferNode&) = delete;
  PreferNode& operator=(const PreferNode&) = delete;

 private:
  bool set_ = false;
};

}  // namespace gmesp
