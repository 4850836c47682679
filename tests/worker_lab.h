// SPDX-License-Identifier: BSD-3-Clause
// Whole workers on fake ports, with the test in the control thread's place at their channels.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <variant>
#include <vector>

#include "dataplane/worker.h"
#include "tests/fake_port.h"
#include "tests/path_lab.h"

namespace gmesp {

class WorkerLab {
 public:
  struct Shape {
    size_t workers = 1;
    size_t queues = 1;  // of each port, for receive and transmit
    size_t sa_capacity = 64;
    Policy policy = open_policy();
    Idle idle = Idle::poll;
    InstructionSet instruction_set = InstructionSet::best;
    AuditSetting audit = {};
    PathConfig path = {};
  };

  explicit WorkerLab(const Shape& shape)
      : policy_(shape.policy),
        steering(shape.workers),
        access(shape.queues, shape.queues),
        host(shape.queues, shape.queues),
        keys(2 * shape.workers * shape.sa_capacity, shape.instruction_set),
        mesh_(shape.workers) {
    for (size_t i = 0; i < shape.workers; ++i) {
      channels.push_back(std::make_unique<WorkerChannel>());
      WorkerConfig config;
      config.number = i;
      config.sa_capacity = shape.sa_capacity;
      config.idle = shape.idle;
      config.instruction_set = shape.instruction_set;
      config.audit = shape.audit;
      config.path = shape.path;
      workers.push_back(std::make_unique<Worker>(config, access.port(i), host.port(i), pools_, keys,
                                                 policy_, steering, mesh_, *channels[i]));
    }
  }
  WorkerLab() : WorkerLab(Shape{}) {}

  // Rounds of all workers until none has anything left to do.
  void settle() ON(worker_thread) {
    for (bool busy = true; busy;) {
      busy = false;
      for (const auto& worker : workers) busy |= worker->poll();
    }
  }
  Counters counters(size_t worker) ON(worker_thread) {
    workers[worker]->publish_counters();
    return channels[worker]->counters.read();
  }
  Counters sum() ON(worker_thread) {
    Counters all;
    for (size_t i = 0; i < workers.size(); ++i) all += counters(i);
    return all;
  }
  // Everything received was sent, is held or is counted under one reason.
  void expect_conserved() ON(worker_thread) {
    const Counters all = sum();
    EXPECT_EQ(packets_come(all, all.access.rx_packets + all.host.rx_packets),
              packets_gone(all, all.access.tx_packets + all.host.tx_packets));
    EXPECT_EQ(live_packets(), all.fragments_held);
  }

  size_t owner(const TestSa& sa) const {
    return steering.owner(sa.selector.source, sa.selector.destination);
  }
  InstallInbound install_in(const TestSa& sa, SaIndex index, uint16_t window = 64) {
    const KeySlot slot = keys.store(sa.suite, Direction::in, sa.keys()).value();
    return {index,   Spi{sa.spi}, slot,        sa.suite, window, SequenceNumber{0},
            nullptr, sa.selector, sa.alternate};
  }
  InstallOutbound install_out(const TestSa& sa, SaIndex index, uint32_t last_sent = 0) {
    const KeySlot slot = keys.store(sa.suite, Direction::out, sa.keys()).value();
    return {index,       Spi{sa.spi}, slot, sa.suite, SequenceNumber{last_sent},
            sa.selector, sa.alternate};
  }
  void command(const SaCommand& command, size_t worker = 0) {
    ASSERT_TRUE(channels[worker]->commands.push(command));
  }
  std::vector<SaEvent> take_events(size_t worker = 0) {
    std::vector<SaEvent> events;
    channels[worker]->events.consume_all([&](const SaEvent& event) { events.push_back(event); });
    return events;
  }
  // The events of one kind among those.
  template <typename Event>
  std::vector<Event> take(size_t worker = 0) {
    std::vector<Event> wanted;
    for (const SaEvent& event : take_events(worker)) {
      if (const auto* of_kind = std::get_if<Event>(&event)) wanted.push_back(*of_kind);
    }
    return wanted;
  }

 private:
  Policy policy_;

 public:
  Steering steering;
  FakeDevice access;
  FakeDevice host;
  KeyStore keys;
  std::vector<std::unique_ptr<WorkerChannel>> channels;

 private:
  SteeringMesh mesh_;
  PacketPools pools_{{"datagrams", 64, PacketPool::kMaxBytes}, {"frames", 256, 1600}};

 public:
  std::vector<std::unique_ptr<Worker>> workers;
};

}  // namespace gmesp
