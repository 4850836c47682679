// SPDX-License-Identifier: BSD-3-Clause
// What main knows about the engine it has put together, for `status`: plain data, made once.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "dataplane/counters.h"

namespace gmesp {

struct PortInfo {
  std::string port;    // "access" or "host"
  std::string device;  // as in the configuration
  std::string driver;  // DPDK's name: "net_af_packet"
  std::string mac;
  uint16_t mtu = 1500;
  size_t rx_queues = 0;
  size_t tx_queues = 0;
  int numa_node = -1;  // -1: none in particular
  std::string
      spreading;  // what brings packets to their UE's worker: "hardware (...)", "software: ..."
  std::function<std::string()>
      link;  // "up", "down", "unknown"; asked at every status, on the control thread
  std::function<PortLosses()> losses;  // asked at every status, there too
};

struct WorkerInfo {
  unsigned cpu = 0;
  int numa_node = -1;
  std::string idle;             // "poll" or "adaptive"
  std::string instruction_set;  // IPsec-MB's code path: "AVX512", "AVX2", "SSE"
};

struct EngineInfo {
  std::string version;
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
  bool hugepages = false;
  std::string user;            // whom the process serves as
  bool seccomp = false;        // system calls are restricted
  bool memory_locked = false;  // nothing of it is swapped
  std::vector<PortInfo> ports;
  std::vector<WorkerInfo> workers;   // as many as WorkerChannels, in their order
  std::vector<std::string> notices;  // what start-up had to say; shown among the warnings
};

// A sentence for each port whose device is on another NUMA node than some worker.
std::vector<std::string> numa_notices(const EngineInfo& info);

}  // namespace gmesp
