// SPDX-License-Identifier: BSD-3-Clause
// The engine put together from its parts, in the order in which they need each other: DPDK, ports,
// keys, workers, control thread. The members' order is the plan: what is made last goes first.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "control/config.h"
#include "control/control_thread.h"
#include "control/engine_info.h"
#include "crypto/key_store.h"
#include "dataplane/command.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/steering.h"
#include "dataplane/thread_role.h"
#include "dataplane/worker.h"

namespace gmesp {

class Engine {
 public:
  // Opens everything that takes rights. Throws std::runtime_error with what mends it.
  Engine(const Config& config, bool verbose);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Starts the workers' threads; on return all of them poll.
  void start_workers();
  // As ControlThread::run().
  void run(int stop_fd, int reload_fd) ON(control_thread) { control_->run(stop_fd, reload_fd); }

  // What `status` says of the start; main adds what it does itself.
  EngineInfo& info() { return info_; }

 private:
  void make_workers();
  EngineInfo describe() const;
  void run_worker(size_t number, std::promise<void> started);

  Config config_;
  Eal eal_;
  // Of each worker. Behind the devices, whose transmit queues hold packets of them to the end.
  std::vector<std::unique_ptr<PacketPools>> pools_;
  Device access_;
  Device host_;
  KeyStore keys_;
  Steering steering_;
  SteeringMesh mesh_;
  std::vector<std::unique_ptr<WorkerChannel>> channels_;
  std::vector<std::unique_ptr<Worker>> workers_;
  EngineInfo info_;
  std::unique_ptr<ControlThread> control_;
  std::vector<std::thread> threads_;
};

}  // namespace gmesp
