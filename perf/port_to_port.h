// SPDX-License-Identifier: BSD-3-Clause
// How long packets take from port to port through a real worker: it polls two DPDK ports on a CPU
// of its own, the caller's thread puts a packet into one and spins until it leaves the other. For
// latency_bench.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <future>
#include <random>
#include <thread>
#include <vector>

#include "dataplane/worker.h"
#include "perf/dpdk/ring_link.h"

namespace gmesp {

struct Latency {
  double p50_us, p99_us, max_us;
};

struct Latencies {
  Latency in, out;
};

// One worker with one pair of SAs, on its own thread while the object lives.
class PortToPort {
 public:
  static constexpr size_t kIpBytes = 256;
  // Packets are measured in windows, shorter than what another process takes of the CPU: the
  // median window is one in which nobody did.
  static constexpr size_t kWindow = 100;

  // The devices are the wires' other ends. Throws std::runtime_error when the CPU is not ours.
  PortToPort(RingLink& access, RingLink& host, const Device& access_device,
             const Device& host_device, Suite suite, Idle idle, unsigned cpu);
  ~PortToPort() { stop(); }
  PortToPort(const PortToPort&) = delete;
  PortToPort& operator=(const PortToPort&) = delete;

  // Both answer each figure's median over the windows, and throw std::runtime_error when a packet
  // is lost. Each packet alone, `gap_s` and up to twice that after the one before:
  Latencies lone(size_t windows, double gap_s);
  // At random intervals:
  Latencies loaded(size_t windows, double per_second);

 private:
  using Frame = std::vector<uint8_t>;
  void run(unsigned cpu, std::promise<void> started);
  void stop();
  void install(Suite suite);
  Latencies lone_window(double gap_s);
  Latency flow(RingLink& from, const std::vector<Frame>& frames, RingLink& to,
               std::vector<Frame>& arrived, double per_second);

  RingLink& access_;
  RingLink& host_;
  std::mt19937_64 random_{1};
  Policy policy_;
  KeyStore keys_{4};
  Steering steering_{1};
  SteeringMesh mesh_{1};
  WorkerChannel channel_;
  PacketPools pools_;
  Worker worker_;
  std::thread thread_;
};

}  // namespace gmesp
