// SPDX-License-Identifier: BSD-3-Clause
// The two packet paths in memory with real mbufs, and the same packets with nothing but their
// crypto: TSC cycles a packet, and the ratio. What a packet costs above its crypto is the engine's
// own share. The time column has the refilling of the buffers in it and means nothing.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>
#include <vector>

#include "dataplane/dpdk/eal.h"
#include "perf/path_load.h"

namespace gmesp {
namespace {

void start_eal_once() {
  EalConfig config;
  config.program = "path_bench";
  config.memory_mb = 128;  // 10,048 buffers of 2 KB, and the pool's ring
  static const Eal eal(config);
}

// Cycles a packet of the burst at the first quartile: on a shared machine many bursts are
// interrupted and say nothing.
double undisturbed_per_packet(std::vector<uint64_t>& burst_cycles) {
  const auto quartile = burst_cycles.begin() + static_cast<std::ptrdiff_t>(burst_cycles.size() / 4);
  std::nth_element(burst_cycles.begin(), quartile, burst_cycles.end());
  return static_cast<double>(*quartile) / static_cast<double>(Burst::kCapacity);
}

void path(benchmark::State& state, Suite suite, Direction direction) {
  start_eal_once();
  PathLoad load({suite, direction, state.range(0) == 4, static_cast<size_t>(state.range(1)),
                 static_cast<size_t>(state.range(2))});
  std::vector<uint64_t> path;
  std::vector<uint64_t> crypto;
  for ([[maybe_unused]] auto _ : state) {
    load.run_path(path);
    load.run_crypto(crypto);
  }
  const double path_cycles = undisturbed_per_packet(path);
  const double crypto_cycles = undisturbed_per_packet(crypto);
  state.counters["path"] = path_cycles;
  state.counters["crypto"] = crypto_cycles;
  state.counters["ratio"] = path_cycles / crypto_cycles;
}

constexpr int64_t kRounds = 16;  // of 4096 packets, or one of every UE
constexpr Suite kMeasured[] = {Suite::md5_null,  Suite::sha1_null, Suite::sha1_aes_cbc,
                               Suite::sha1_des3, Suite::aes_gcm,   Suite::aes_gmac};

[[maybe_unused]] const bool kRegistered = [] {
  for (const Suite suite : kMeasured) {
    const SuiteInfo& info = suite_info(suite);
    const std::string pair =
        std::string(name(info.integrity)) + '+' + std::string(name(info.encryption));
    for (const Direction direction : {Direction::in, Direction::out}) {
      benchmark::RegisterBenchmark(
          ((direction == Direction::in ? "in/" : "out/") + pair).c_str(),
          [suite, direction](benchmark::State& state) { path(state, suite, direction); })
          ->ArgNames({"ip", "bytes", "sas"})
          ->ArgsProduct({{4, 6}, {64, 256, 1400}, {1, 10'000}})
          ->Iterations(kRounds);
    }
  }
  return true;
}();

}  // namespace
}  // namespace gmesp
