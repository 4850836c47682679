// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/numa.h"

#include <gtest/gtest.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>

namespace gmesp {
namespace {

int policy_of_this_thread() {
  int policy = -1;
  syscall(SYS_get_mempolicy, &policy, nullptr, 0, nullptr, 0);
  return policy;
}

TEST(NodeOfCpu, IsTheLinkInTheCpusFolder) {
  const std::string cpus = testing::TempDir() + "gmesp_numa_test_" + std::to_string(getpid());
  std::filesystem::create_directories(cpus + "/cpu3/node1");
  std::filesystem::create_directories(cpus + "/cpu3/topology");
  std::filesystem::create_directories(cpus + "/cpu4/nodes");
  std::filesystem::create_directories(cpus + "/cpu40/node12");
  EXPECT_EQ(node_of_cpu(3, cpus), 1);
  EXPECT_EQ(node_of_cpu(4, cpus), kAnyNode);
  EXPECT_EQ(node_of_cpu(40, cpus), 12);
  EXPECT_EQ(node_of_cpu(5, cpus), kAnyNode);
  std::filesystem::remove_all(cpus);
}

TEST(PreferNode, HoldsForItsScopeAndThisThread) {
  const int before = policy_of_this_thread();
  if (before < 0) GTEST_SKIP() << "a kernel without NUMA";
  ASSERT_EQ(before, MPOL_DEFAULT);
  {
    const PreferNode prefer(0);
    EXPECT_EQ(policy_of_this_thread(), MPOL_PREFERRED);
  }
  EXPECT_EQ(policy_of_this_thread(), MPOL_DEFAULT);
  for (const int none : {kAnyNode, 64}) {
    const PreferNode prefer(none);
    EXPECT_EQ(policy_of_this_thread(), MPOL_DEFAULT);
  }
}

}  // namespace
}  // namespace gmesp
