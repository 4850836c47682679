// SPDX-License-Identifier: BSD-3-Clause
// What a second worker gains: two, each with the UEs that hash to it, on a CPU each at the same
// time, against one with as many UEs as each of them (with all UEs the one's caches would be
// shared by twice as many keys, and two would do more than twice the work). The same for the crypto
// alone, because memory is shared whatever the engine does. The time column means nothing.
#include <benchmark/benchmark.h>
#include <sched.h>

#include <memory>
#include <string>
#include <vector>

#include "dataplane/dpdk/eal.h"
#include "perf/side_by_side.h"

namespace gmesp {
namespace {

std::vector<unsigned> our_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::vector<unsigned> cpus;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

// Before EAL pins this thread.
const std::vector<unsigned> kCpus = our_cpus();

void start_eal_once() {
  EalConfig config;
  config.program = "workers_bench";
  config.memory_mb = 48;
  static const Eal eal(config);
}

// Two workers with half of the UEs each, and a single one with as many as each. Cases share them.
struct Loads {
  Loads(Suite suite_, size_t sas_)
      : suite(suite_),
        sas(sas_),
        one({suite, false, sas / 2}),
        first({suite, false, sas / 2, 2, 0}),
        second({suite, false, sas / 2, 2, 1}) {}

  void set_traffic(size_t bytes) {
    one.set_traffic(bytes, sas / 2);
    first.set_traffic(bytes, sas / 2);
    second.set_traffic(bytes, sas / 2);
  }

  Suite suite;
  size_t sas;
  PathLoad one;
  PathLoad first;
  PathLoad second;
};

Loads& loads_of(Suite suite, size_t sas) {
  static std::unique_ptr<Loads> loads;
  if (!loads || loads->suite != suite || loads->sas != sas) {
    loads.reset();
    loads = std::make_unique<Loads>(suite, sas);
  }
  return *loads;
}

void workers(benchmark::State& state, Suite suite) {
  if (kCpus.size() < 2) return state.SkipWithError("one CPU only");
  start_eal_once();
  Loads& loads = loads_of(suite, static_cast<size_t>(state.range(1)));
  loads.set_traffic(static_cast<size_t>(state.range(0)));
  Gains gains;
  for ([[maybe_unused]] auto _ : state) {
    try {
      gains = measure_gains(loads.one, {&loads.first, &loads.second}, kCpus,
                            static_cast<size_t>(state.range(2)));
    } catch (const std::runtime_error& error) {
      return state.SkipWithError(error.what());
    }
  }
  state.counters["in_path_gain"] = gains.in.path;
  state.counters["in_crypto_gain"] = gains.in.crypto;
  state.counters["in_ratio"] = gains.in.ratio();
  state.counters["out_path_gain"] = gains.out.path;
  state.counters["out_crypto_gain"] = gains.out.crypto;
  state.counters["out_ratio"] = gains.out.ratio();
  state.counters["share_counted"] = gains.share_counted;
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const Suite suite : {Suite::sha1_aes_cbc, Suite::aes_gcm}) {
    const SuiteInfo& info = suite_info(suite);
    const std::string pair =
        std::string(name(info.integrity)) + '+' + std::string(name(info.encryption));
    for (const int sas : {10'000, 1'000'000}) {
      for (const int bytes : {256, 1400}) {
        benchmark::RegisterBenchmark(pair.c_str(),
                                     [suite](benchmark::State& state) { workers(state, suite); })
            ->ArgNames({"bytes", "sas", "rings"})
            ->Args({bytes, sas, 512})
            ->Iterations(1);
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace gmesp
