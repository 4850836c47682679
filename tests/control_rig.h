// SPDX-License-Identifier: BSD-3-Clause
// Everything behind the control thread for its tests: real workers on ports in memory, a key store,
// a policy. Workers run either one round at a time, when the test says so, or on threads.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "control/engine_info.h"
#include "control/registration/registrar_config.h"
#include "control/sa_manager.h"
#include "crypto/key_store.h"
#include "dataplane/command.h"
#include "dataplane/policy.h"
#include "dataplane/steering.h"
#include "dataplane/worker.h"
#include "tests/fake_port.h"

namespace gmesp {

inline constexpr uint16_t kProtectedPort = 5063;

struct RigConfig {
  size_t workers = 1;
  size_t capacity = 64;        // SAs per worker and direction, for manager and worker
  size_t worker_capacity = 0;  // 0: the same
  size_t key_slots = 100000;
  Role role = Role::pcscf;
};

class ControlRig {
 public:
  explicit ControlRig(const RigConfig& config = {})
      : steering(config.workers), mesh(config.workers), keys(config.key_slots) {
    policy.role = config.role;
    policy.protected_ports.set(kProtectedPort);
    limits.capacity = config.capacity;
    registrar.capacity = 1024;
    info.version = "test";
    for (size_t i = 0; i < config.workers; ++i) {
      channels.push_back(std::make_unique<WorkerChannel>());
      WorkerConfig worker;
      worker.number = i;
      worker.sa_capacity = config.worker_capacity != 0 ? config.worker_capacity : config.capacity;
      workers.push_back(std::make_unique<Worker>(worker, access.port(i), host.port(i), pools, keys,
                                                 policy, steering, mesh, *channels.back()));
      info.workers.push_back({.cpu = static_cast<unsigned>(2 + i),
                              .numa_node = 0,
                              .idle = "poll",
                              .instruction_set = "test"});
    }
    info.ports.push_back({.port = "access",
                          .device = "memory",
                          .driver = "fake",
                          .mac = "02:00:00:00:00:01",
                          .rx_queues = 1,
                          .tx_queues = 1,
                          .numa_node = 0,
                          .spreading = "software: one receive queue",
                          .link = {},
                          .losses = {}});
  }
  ~ControlRig() { stop(); }
  ControlRig(const ControlRig&) = delete;
  ControlRig& operator=(const ControlRig&) = delete;

  std::vector<WorkerChannel*> channel_pointers() const {
    std::vector<WorkerChannel*> pointers;
    for (const auto& channel : channels) pointers.push_back(channel.get());
    return pointers;
  }

  // One round of every worker.
  void poll_workers() {
    AssumeRole role(worker_thread);
    for (const auto& worker : workers) worker->poll();
  }

  void start() {
    for (const auto& worker : workers) {
      threads.emplace_back([&worker] {
        AssumeRole role(worker_thread);
        worker->run();
      });
    }
  }
  void stop() {
    for (const auto& channel : channels) channel->stop = true;
    for (std::thread& thread : threads) thread.join();
    threads.clear();
  }

  Policy policy;
  Steering steering;
  SteeringMesh mesh;
  PacketPools pools;
  KeyStore keys;
  SaLimits limits;
  RegistrarConfig registrar;
  EngineInfo info;
  FakeDevice access{1, 1};
  FakeDevice host{1, 1};
  std::vector<std::unique_ptr<WorkerChannel>> channels;
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<std::thread> threads;
};

// SAs of both directions, whatever their state.
inline size_t count_all(const SaManager& sas) {
  size_t sum = 0;
  for (const Direction direction : {Direction::in, Direction::out}) {
    for (const SaState state : {SaState::installing, SaState::live, SaState::deleting}) {
      sum += sas.count(direction, state);
    }
  }
  return sum;
}

}  // namespace gmesp
