// SPDX-License-Identifier: BSD-3-Clause
// The two packet paths with up to a million SAs, and the same packets with nothing but their
// crypto: TSC cycles a packet and how much of the path is crypto. Rings of the two alternate, so
// that a disturbance meets both. The time column has the refilling of the buffers in it and means
// nothing.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "dataplane/dpdk/eal.h"
#include "perf/path_measure.h"

namespace gmesp {
namespace {

constexpr size_t kManySas = 1'000'000;
constexpr size_t kFewerSas =
    100'000;  // tables of the cases up to here: made in a tenth of the time

void start_eal_once() {
  EalConfig config;
  config.program = "path_bench";
  config.memory_mb = 32;
  static const Eal eal(config);
}

// Cases that follow each other share the tables.
PathLoad& load_of(const PathLoad::Tables& tables) {
  static std::unique_ptr<PathLoad> load;
  static PathLoad::Tables made{};
  if (!load || made.suite != tables.suite || made.ipv4 != tables.ipv4 || made.sas != tables.sas) {
    load.reset();
    load = std::make_unique<PathLoad>(tables);
    made = tables;
  }
  return *load;
}

void report(benchmark::State& state, const std::string& name, const Spread& spread) {
  state.counters[name] = spread.quartile;
  state.counters[name + "_least"] = spread.least;
  state.counters[name + "_median"] = spread.median;
  state.counters[name + "_third_quartile"] = spread.third_quartile;
}

void path(benchmark::State& state, Suite suite) {
  start_eal_once();
  const auto sas = static_cast<size_t>(state.range(2));
  PathLoad& load = load_of({suite, state.range(0) == 4, sas <= kFewerSas ? kFewerSas : kManySas});
  load.set_traffic(static_cast<size_t>(state.range(1)), sas);
  BothWays figures;
  for ([[maybe_unused]] auto _ : state) {
    figures = measure_paths(load, static_cast<size_t>(state.range(3)));
  }
  report(state, "in_path", figures.in.path);
  report(state, "in_crypto", figures.in.crypto);
  report(state, "out_path", figures.out.path);
  report(state, "out_crypto", figures.out.crypto);
  state.counters["in_ratio"] = figures.in.ratio();
  state.counters["out_ratio"] = figures.out.ratio();
  state.counters["packets"] = static_cast<double>(state.range(3)) * PathLoad::kRing;
  state.counters["tsc_hz"] = static_cast<double>(tsc_hz());
}

// As many packets as SAs, and enough rings for a quartile; 3DES costs up to 40 ms a ring.
int64_t rings(Suite suite, int64_t bytes, int64_t sas) {
  if (suite == Suite::sha1_des3) return bytes > 256 ? 12 : 48;
  return sas > 100'000 ? (sas + 1023) / 1024 : 128;
}

void register_case(Suite suite, int64_t ip, int64_t bytes, int64_t sas) {
  const SuiteInfo& info = suite_info(suite);
  const std::string pair =
      std::string(name(info.integrity)) + '+' + std::string(name(info.encryption));
  benchmark::RegisterBenchmark(pair.c_str(),
                               [suite](benchmark::State& state) { path(state, suite); })
      ->ArgNames({"ip", "bytes", "sas", "rings"})
      ->Args({ip, bytes, sas, rings(suite, bytes, sas)})
      ->Iterations(1);
}

constexpr Suite kMeasured[] = {Suite::sha1_null, Suite::md5_null, Suite::sha1_aes_cbc,
                               Suite::aes_gcm, Suite::sha1_des3};

[[maybe_unused]] const bool kRegistered = [] {
  for (const Suite suite : kMeasured) {
    for (const int ip : {4, 6}) {
      for (const int sas : {1, 10'000, 100'000, 1'000'000}) {
        for (const int bytes : {256, 1400}) register_case(suite, ip, bytes, sas);
      }
      // For the plot against the packet size; 3DES is a straight line.
      if (ip == 4 || suite == Suite::sha1_des3) continue;
      for (const int bytes : {64, 512, 1024}) register_case(suite, ip, bytes, 1'000'000);
    }
  }
  return true;
}();

}  // namespace
}  // namespace gmesp
