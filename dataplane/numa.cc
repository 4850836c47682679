// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/numa.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <string_view>

namespace gmesp {

// A CPU's folder has a link named after its node: cpu3/node1.
int node_of_cpu(unsigned cpu, const std::string& cpus_folder) {
  constexpr std::string_view kPrefix = "node";
  const std::filesystem::path folder = cpus_folder + "/cpu" + std::to_string(cpu);
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kPrefix)) continue;
    int node = kAnyNode;
    const char* const end = name.data() + name.size();
    const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, node);
    if (error == std::errc() && stop == end) return node;
  }
  return kAnyNode;
}

// By system call: the library around it (libnuma) would be one more package for one call. A kernel
// without NUMA refuses, and has one node.
PreferNode::PreferNode(int node) {
  constexpr int kNodeBits = 64;
  if (node < 0 || node >= kNodeBits) return;
  const unsigned long mask = 1ul << node;
  // The kernel takes one bit less than it is told (get_nodes() in mm/mempolicy.c).
  set_ = syscall(SYS_set_mempolicy, MPOL_PREFERRED, &mask, kNodeBits + 1) == 0;
}

PreferNode::~PreferNode() {
  if (set_) syscall(SYS_set_mempolicy, MPOL_DEFAULT, nullptr, 0);
}

}  // namespace gmesp
