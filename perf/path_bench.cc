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

constexpr size_t kSas = 1'000'000;

void start_eal_once() {
  EalConfig config;
  config.program = "path_bench";
  config.memory_mb = 32;
  static const Eal eal(config);
}

// Cases of one suite and family follow each other and share the tables.
PathLoad& load_of(Suite suite, bool ipv4) {
  static std::unique_ptr<PathLoad> load;
  static Suite made_suite;
  static bool made_ipv4;
  if (!load || made_suite != suite || made_ipv4 != ipv4) {
    load.reset();
    load = std::make_unique<PathLoad>(PathLoad::Tables{suite, ipv4, kSas});
    made_suite = suite;
    made_ipv4 = ipv4;
  }
  return *load;
}

void path(benchmark::State& state, Suite suite) {
  start_eal_once();
  PathLoad& load = load_of(suite, state.range(0) == 4);
  load.set_traffic(static_cast<size_t>(state.range(1)), static_cast<size_t>(state.range(2)));
  BothWays figures;
  for ([[maybe_unused]] auto _ : state) {
    figures = measure_paths(load, static_cast<size_t>(state.range(3)));
  }
  state.counters["in_path"] = figures.in.path.quartile;
  state.counters["in_path_median"] = figures.in.path.median;
  state.counters["in_crypto"] = figures.in.crypto.quartile;
  state.counters["in_ratio"] = figures.in.ratio();
  state.counters["out_path"] = figures.out.path.quartile;
  state.counters["out_path_median"] = figures.out.path.median;
  state.counters["out_crypto"] = figures.out.crypto.quartile;
  state.counters["out_ratio"] = figures.out.ratio();
}

constexpr Suite kMeasured[] = {Suite::sha1_null, Suite::md5_null, Suite::sha1_aes_cbc,
                               Suite::aes_gcm, Suite::sha1_des3};

[[maybe_unused]] const bool kRegistered = [] {
  for (const Suite suite : kMeasured) {
    const SuiteInfo& info = suite_info(suite);
    const std::string pair =
        std::string(name(info.integrity)) + '+' + std::string(name(info.encryption));
    for (const int ip : {4, 6}) {
      for (const int bytes : {256, 1400}) {
        for (const int sas : {1, 10'000, 100'000, 1'000'000}) {
          benchmark::RegisterBenchmark(pair.c_str(),
                                       [suite](benchmark::State& state) { path(state, suite); })
              ->ArgNames({"ip", "bytes", "sas", "rings"})
              ->Args({ip, bytes, sas, sas == 1'000'000 ? 977 / 2 : 128})
              ->Iterations(1);
        }
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace gmesp
