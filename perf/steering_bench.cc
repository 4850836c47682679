// SPDX-License-Identifier: BSD-3-Clause
// What it costs a packet to find its worker: the stage between classify and look-up that runs where
// there are several. TSC cycles a packet; the packets are this worker's own, as behind a NIC that
// follows the steering table. Baseline: the hash of the two addresses alone.
#include <benchmark/benchmark.h>
#include <x86intrin.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "dataplane/classify.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/steering.h"
#include "perf/dpdk/packet_source.h"

namespace gmesp {
namespace {

constexpr size_t kFrameBytes = 14 + 40 + 200;

void start_eal_once() {
  EalConfig config;
  config.program = "steering_bench";
  config.allow_hugepages = false;
  static const Eal eal(config);
}

// ESP over IPv6 between two addresses, as much of it as classify reads.
std::vector<uint8_t> esp_frame(const Address& ue, const Address& pcscf) {
  std::vector<uint8_t> frame(kFrameBytes);
  frame[12] = 0x86;
  frame[13] = 0xdd;
  uint8_t* const ip = frame.data() + 14;
  ip[0] = 0x60;
  ip[5] = kFrameBytes - 14 - 40;
  ip[6] = static_cast<uint8_t>(Protocol::esp);
  std::memcpy(ip + 8, ue.bytes.data(), 16);
  std::memcpy(ip + 24, pcscf.bytes.data(), 16);
  return frame;
}

// A burst of packets that worker 0 of two owns, each of another UE.
class Load {
 public:
  explicit Load(bool with_device_hash)
      : with_device_hash_(with_device_hash), source_(Burst::kCapacity, kFrameBytes) {
    Address ue = *parse_address("2001:db8:1::1");
    const Address pcscf = *parse_address("2001:db8:ffff::1");
    for (size_t i = 0; i < source_.size();) {
      ++ue.bytes[7];
      if (ue.bytes[7] == 0) ++ue.bytes[6];
      if (!steerer_.owns(ue, pcscf)) continue;
      const std::vector<uint8_t> frame = esp_frame(ue, pcscf);
      std::memcpy(source_.arm(i, frame.size()), frame.data(), frame.size());
      hashes_[i++] = rss_hash(ue, pcscf);
    }
  }

  void receive(Burst& burst) {
    // Each time: sending a buffer has wiped what its receiver knew.
    for (size_t i = 0; with_device_hash_ && i < source_.size(); ++i) {
      source_.set_hash(i, hashes_[i]);
    }
    source_.receive(0, source_.size(), burst);
    burst.filter(drops_, [](Packet& packet) { return classify(packet); });
  }
  void steer(Burst& burst) {
    burst.filter(drops_, [&](Packet& p) { return steerer_.to_owner(p, SteerTo::inbound); });
  }
  const Counters& counters() const { return counters_; }

 private:
  bool with_device_hash_;
  std::array<uint32_t, Burst::kCapacity> hashes_{};
  Steering steering_{2};
  SteeringMesh mesh_{2};
  Counters counters_;
  Drops drops_{counters_};
  Steerer steerer_{0, steering_, mesh_, drops_, 1'000'000'000};
  PacketSource source_;
};

// Cycles a packet at the first quartile of all bursts: a shared machine interrupts many.
template <typename Work>
void measure(benchmark::State& state, bool with_device_hash, Work&& work) {
  start_eal_once();
  Load load(with_device_hash);
  std::vector<uint64_t> cycles;
  for ([[maybe_unused]] auto _ : state) {
    Burst burst;
    load.receive(burst);
    const uint64_t begin = __rdtsc();
    work(load, burst);
    cycles.push_back(__rdtsc() - begin);
    if (burst.size() != Burst::kCapacity) state.SkipWithError("a packet was not this worker's");
    PacketSource::transmit(burst);
  }
  const auto quartile = cycles.begin() + static_cast<std::ptrdiff_t>(cycles.size() / 4);
  std::nth_element(cycles.begin(), quartile, cycles.end());
  state.counters["cycles"] = static_cast<double>(*quartile) / static_cast<double>(Burst::kCapacity);
  const PortCounters& port = load.counters().access;
  if (port.rx_hash_mismatches != 0 ||
      port.rx_hash_compared != (with_device_hash ? port.rx_landed_right : 0)) {
    state.SkipWithError("hashes differ, or were not compared");
  }
}

void hash_alone(benchmark::State& state) {
  measure(state, false, [](Load&, Burst& burst) {
    for (const Packet& p : burst) {
      benchmark::DoNotOptimize(rss_hash(source_address(p), destination_address(p)));
    }
  });
}
void to_owner(benchmark::State& state) {
  measure(state, false, [](Load& load, Burst& burst) { load.steer(burst); });
}
void to_owner_compared(benchmark::State& state) {
  measure(state, true, [](Load& load, Burst& burst) { load.steer(burst); });
}
BENCHMARK(hash_alone);
BENCHMARK(to_owner);
BENCHMARK(to_owner_compared);

}  // namespace
}  // namespace gmesp
