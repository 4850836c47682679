// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/numa.h"

#include <gtest/gtest.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "control/engine_info.h"

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

TEST(NumaNotices, NameThePortAndTheCpusThatAreFarFromIt) {
  EngineInfo info;
  for (const unsigned cpu : {2u, 3u, 40u}) {
    info.workers.push_back(
        {.cpu = cpu, .numa_node = cpu < 32 ? 0 : 1, .idle = "", .instruction_set = ""});
  }
  const auto port = [&info](const char* name, int node) {
    PortInfo more;
    more.port = name;
    more.numa_node = node;
    info.ports.push_back(more);
  };
  port("host", -1);
  EXPECT_TRUE(numa_notices(info).empty()) << "a virtual device is near everybody";
  port("access", 1);
  ASSERT_EQ(numa_notices(info).size(), 1u);
  EXPECT_EQ(
      numa_notices(info)[0],
      "the access device is on NUMA node 1, CPU 2, 3 of [workers] cpus is not: choose CPUs of "
      "that node (lscpu shows them)");
  for (WorkerInfo& worker : info.workers) worker.numa_node = -1;
  EXPECT_TRUE(numa_notices(info).empty()) << "a kernel without NUMA";
}

}  // namespace
}  // namespace gmesp
