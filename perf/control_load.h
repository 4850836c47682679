// SPDX-License-Identifier: BSD-3-Clause
// The control thread's own objects and a real worker on its thread, in the middle of traffic that
// must not be lost: storms of installs and deletes, and what they cost. What control_bench.cc
// measures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "control/sa_manager.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/steering.h"
#include "perf/bench_ue.h"
#include "perf/round_traffic.h"

namespace gmesp {

struct Storm {
  size_t sas = 0;
  double seconds = 0;  // from the first command to the last answer
  // The CPU time that the control thread had meanwhile. It never waits: less than `seconds` means
  // that others had its CPU.
  double cpu_seconds = 0;
  std::vector<uint64_t> slice_tsc;     // for every kSlice commands
  std::vector<uint64_t> answered_tsc;  // from command to answer, of a sample
  StormRecord worker;

  static constexpr size_t kSlice = 4096;
  double per_second() const { return static_cast<double>(sas) / seconds; }
};

class ControlLoad {
 public:
  struct Shape {
    size_t ues = 0;  // SAs: two for each
    Suite suite = Suite::sha1_aes_cbc;
    unsigned worker_cpu = 0;
  };
  // EAL has started, off the worker's CPU. Returns when the worker's thread runs and traffic flows.
  explicit ControlLoad(const Shape& shape);
  ~ControlLoad();
  ControlLoad(const ControlLoad&) = delete;
  ControlLoad& operator=(const ControlLoad&) = delete;

  // Installs the SAs of all UEs, one after the other; both directions of a UE together.
  void install_all(Storm& storm) ON(control_thread);
  // Deletes them in random order.
  void delete_all(Storm& storm) ON(control_thread);
  // Traffic alone, for comparison.
  void rest(Storm& storm, double seconds);

  // What the worker took to get the memory of its tables; after stop().
  double prepare_seconds() const { return prepare_seconds_; }
  // Ends the worker's thread.
  RoundTraffic::Total stop();

 private:
  void install_traffic() ON(control_thread);
  void make_probes();
  void run_worker();
  void begin(Storm& storm);
  SaManager::Done done(size_t position, Storm& storm);
  void make_room(size_t position, Storm& storm) ON(control_thread);
  void end(Storm& storm) ON(control_thread);

  const Shape shape_;
  Device access_;
  Device host_;
  KeyStore keys_;
  Policy policy_;
  Steering steering_{1};
  SteeringMesh mesh_{1};
  std::unique_ptr<WorkerChannel> channel_ = std::make_unique<WorkerChannel>();
  PacketPools pools_;
  Worker worker_;
  WorkerProxies proxies_;
  SaManager sas_;
  RoundTraffic traffic_;
  std::vector<Frame> probes_;
  std::vector<uint32_t> order_;  // of deletes: twice the UE, and direction
  uint64_t began_tsc_ = 0;
  uint64_t slice_began_tsc_ = 0;
  double began_cpu_s_ = 0;
  double prepare_seconds_ = 0;
  std::thread thread_;
};

}  // namespace gmesp
