// SPDX-License-Identifier: BSD-3-Clause
// How fast the control thread fills and empties a worker while that worker has traffic to serve,
// and what an SA takes in memory. Rates are of two threads together, so this bench has a clock and
// a table of its own instead of Google Benchmark's. --json: the same as one JSON object.
#include <sched.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/dpdk/eal.h"
#include "perf/control_load.h"
#include "perf/sa_memory.h"
#include "perf/socket_load.h"

namespace gmesp {
namespace {

constexpr size_t kRounds = 3;
constexpr double kRestS = 0.3;
// One of each size of key slot is weighed.
constexpr Suite kWeighed[] = {Suite::sha1_null, Suite::sha1_aes_cbc, Suite::sha1_des3,
                              Suite::aes_gcm};

struct Options {
  bool json = false;
  size_t sas = 1'000'000;
};

struct Spread {
  double p25 = 0;
  double p50 = 0;
  double p99 = 0;
  double max = 0;
};

struct MemoryRow {
  Suite suite;
  SaMemory counted;
  double measured = 0;
};

struct Result {
  std::array<Storm, kRounds> installs;
  std::array<Storm, kRounds> deletes;
  Storm rest;
  RoundTraffic::Total traffic;
  double prepare_s = 0;
  double socket_adds_per_s = 0;
  std::vector<MemoryRow> memory;
};

struct Latency {
  const char* key;
  const char* meaning;
  Spread spread;
};

struct Summary {
  double installs_per_s = 0;  // median of the rounds
  double deletes_per_s = 0;
  double quiet_installs_per_s = 0;  // first quartile of all slices of the rounds
  double quiet_deletes_per_s = 0;
  double million_s = 0;  // the first million, into memory that nobody has touched yet
  double cpu_share = 0;
  uint64_t page_faults = 0;
  std::vector<Latency> latencies;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--json") {
      options.json = true;
    } else if (word == "--sas" && i + 1 < argc) {
      options.sas = std::strtoul(argv[++i], nullptr, 10);
    } else {
      throw std::runtime_error("control_bench [--json] [--sas NUMBER]");
    }
  }
  if (options.sas < 1000) throw std::runtime_error("--sas: 1000 or more");
  return options;
}

// The last CPU that is ours; the control thread has the others.
unsigned worker_cpu() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  sched_getaffinity(0, sizeof cpus, &cpus);
  if (CPU_COUNT(&cpus) < 2) throw std::runtime_error("control and worker need a CPU each");
  unsigned last = 0;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &cpus)) last = cpu;
  }
  return last;
}

Spread microseconds(const std::vector<const std::vector<uint64_t>*>& parts) {
  std::vector<uint64_t> all;
  for (const auto* part : parts) all.insert(all.end(), part->begin(), part->end());
  if (all.empty()) return {};
  std::sort(all.begin(), all.end());
  const auto at = [&](double share) {
    const auto place = static_cast<size_t>(share * static_cast<double>(all.size() - 1));
    return static_cast<double>(all[place]) * 1e6 / static_cast<double>(tsc_hz());
  };
  return {at(0.25), at(0.5), at(0.99), at(1)};
}

// One member of all storms of a kind.
template <typename Member>
Spread microseconds(const std::array<Storm, kRounds>& storms, Member&& member) {
  std::vector<const std::vector<uint64_t>*> parts;
  for (const Storm& storm : storms) parts.push_back(&member(storm));
  return microseconds(parts);
}

double median_rate(const std::array<Storm, kRounds>& storms) {
  std::array<double, kRounds> rates;
  for (size_t i = 0; i < kRounds; ++i) rates[i] = storms[i].per_second();
  std::sort(rates.begin(), rates.end());
  return rates[kRounds / 2];
}

// Of the slice at the first quartile: what others on the machine took from the rest does not show.
double slice_rate(const std::array<Storm, kRounds>& storms) {
  const Spread slices = microseconds(
      storms, [](const Storm& storm) -> auto& { return storm.slice_tsc; });
  return slices.p25 == 0 ? 0 : static_cast<double>(Storm::kSlice) * 1e6 / slices.p25;
}

double cpu_share(const std::array<Storm, kRounds>& storms) {
  double seconds = 0;
  double cpu_seconds = 0;
  for (const Storm& storm : storms) seconds += storm.seconds, cpu_seconds += storm.cpu_seconds;
  return cpu_seconds / seconds;
}

void run_storms(size_t sas, unsigned cpu, Result& result) {
  const AssumeRole role(control_thread);
  EalConfig config;
  config.program = "control_bench";
  config.worker_cpus = {cpu};
  config.allow_hugepages = false;  // some dozen packets; the tables do not come from EAL
  config.memory_mb = 16 + 2 * Device::memory_mb({.name = "", .device = "net_ring0"});
  const Eal eal(config);
  ControlLoad load({.ues = sas / 2, .worker_cpu = cpu});
  load.rest(result.rest, kRestS);
  for (size_t round = 0; round < kRounds; ++round) {
    load.install_all(result.installs[round]);
    if (result.installs[round].worker.unclear != 0) {
      throw std::logic_error("an SA was there before its first packet: nothing was measured");
    }
    load.delete_all(result.deletes[round]);
  }
  result.traffic = load.stop();
  result.prepare_s = load.prepare_seconds();
}

void weigh(size_t sas, Result& result) {
  for (const SuiteInfo& info : kSuites) {
    result.memory.push_back({info.suite, sa_memory(info.suite), 0});
    const bool weighed =
        std::find(std::begin(kWeighed), std::end(kWeighed), info.suite) != std::end(kWeighed);
    if (weighed) result.memory.back().measured = measured_bytes_per_sa(info.suite, sas);
  }
}

Summary summarise(const Result& result) {
  Summary summary;
  summary.installs_per_s = median_rate(result.installs);
  summary.deletes_per_s = median_rate(result.deletes);
  summary.quiet_installs_per_s = slice_rate(result.installs);
  summary.quiet_deletes_per_s = slice_rate(result.deletes);
  summary.million_s = 1e6 / result.installs[0].per_second();
  summary.cpu_share = (cpu_share(result.installs) + cpu_share(result.deletes)) / 2;
  const auto polls = [](const Storm& storm) -> auto& { return storm.worker.poll_tsc; };
  summary.latencies = {
      {"first_packet_us", "worker takes the command .. first packet passed",
       microseconds(
           result.installs,
           [](const Storm& storm) -> auto& { return storm.worker.first_packet_tsc; })},
      {"acknowledged_us", "command .. answer, 512 commands in flight",
       microseconds(
           result.installs, [](const Storm& storm) -> auto& { return storm.answered_tsc; })},
      {"poll_at_rest_us", "one poll of the worker, traffic alone",
       microseconds({&result.rest.worker.poll_tsc})},
      {"poll_installing_us", "the same, during installs", microseconds(result.installs, polls)},
      {"poll_deleting_us", "the same, during deletes", microseconds(result.deletes, polls)},
  };
  for (size_t i = 0; i < kRounds; ++i) {
    summary.page_faults +=
        result.installs[i].worker.page_faults + result.deletes[i].worker.page_faults;
  }
  return summary;
}

std::string suite_name(Suite suite) {
  const SuiteInfo& info = suite_info(suite);
  return std::string(name(info.integrity)) + '+' + std::string(name(info.encryption));
}

void print_json(const Summary& summary, const Result& result) {
  std::printf("{\"installs_per_s\": %.0f, \"installs_per_s_quiet\": %.0f, ", summary.installs_per_s,
              summary.quiet_installs_per_s);
  std::printf("\"deletes_per_s\": %.0f, \"deletes_per_s_quiet\": %.0f, ", summary.deletes_per_s,
              summary.quiet_deletes_per_s);
  std::printf("\"million_s\": %.3f, \"prepare_s\": %.3f, \"control_cpu_share\": %.3f, ",
              summary.million_s, result.prepare_s, summary.cpu_share);
  for (const Latency& latency : summary.latencies) {
    std::printf("\"%s\": {\"p50\": %.1f, \"p99\": %.1f, \"max\": %.1f}, ", latency.key,
                latency.spread.p50, latency.spread.p99, latency.spread.max);
  }
  std::printf("\"socket_adds_per_s\": %.0f, ", result.socket_adds_per_s);
  std::printf("\"worker_page_faults\": %" PRIu64 ", ", summary.page_faults);
  std::printf("\"traffic\": {\"sent\": %" PRIu64 ", \"received\": %" PRIu64 ", \"lost\": %" PRIu64
              "}, \"memory\": {",
              result.traffic.sent, result.traffic.received, result.traffic.lost());
  const char* separator = "";
  for (const MemoryRow& row : result.memory) {
    std::printf("%s\"%s\": {\"tables\": %zu, \"keys\": %zu, \"control\": %zu, \"total\": %zu",
                separator, suite_name(row.suite).c_str(), row.counted.tables, row.counted.keys,
                row.counted.control, row.counted.total());
    if (row.measured != 0) std::printf(", \"measured_rss\": %.1f", row.measured);
    std::printf("}");
    separator = ", ";
  }
  std::printf("}}\n");
}

void print_table(const Summary& summary, const Result& result) {
  std::printf(
      "Control thread to worker, %zu SAs, AES-CBC + HMAC-SHA-1, among %zu packets that go "
      "round\n\n| | a second | undisturbed |\n|---|---|---|\n",
      result.installs[0].sas, RoundTraffic::kPackets);
  std::printf("| installs | %.0f | %.0f |\n| deletes | %.0f | %.0f |\n", summary.installs_per_s,
              summary.quiet_installs_per_s, summary.deletes_per_s, summary.quiet_deletes_per_s);
  std::printf("| sa add, JSON through the control socket | %.0f | - |\n\n",
              result.socket_adds_per_s);
  std::printf(
      "First million: %.2f s; before, the worker took %.2f s to get its tables' memory. The "
      "control thread had %.0f %% of its CPU; the worker took "
      "%" PRIu64 " page faults.\nTraffic: %" PRIu64 " sent, %" PRIu64 " lost.\n\n",
      summary.million_s, result.prepare_s, 100 * summary.cpu_share, summary.page_faults,
      result.traffic.sent, result.traffic.lost());
  std::printf("| us | p50 | p99 | max |\n|---|---|---|---|\n");
  for (const Latency& latency : summary.latencies) {
    std::printf("| %s | %.1f | %.1f | %.1f |\n", latency.meaning, latency.spread.p50,
                latency.spread.p99, latency.spread.max);
  }
  std::printf(
      "\n| bytes an SA | tables | keys | control | total | measured |\n"
      "|---|---|---|---|---|---|\n");
  for (const MemoryRow& row : result.memory) {
    std::printf("| %s | %zu | %zu | %zu | %zu | ", suite_name(row.suite).c_str(),
                row.counted.tables, row.counted.keys, row.counted.control, row.counted.total());
    row.measured != 0 ? std::printf("%.1f |\n", row.measured) : std::printf("- |\n");
  }
}

int run(int argc, char** argv) {
  const Options options = parse(argc, argv);
  Result result;
  weigh(options.sas, result);         // in children: before there are threads
  const unsigned cpu = worker_cpu();  // before EAL keeps this thread off it
  run_storms(options.sas, cpu, result);
  result.socket_adds_per_s = socket_adds_per_second(options.sas / 20, cpu);
  const Summary summary = summarise(result);
  options.json ? print_json(summary, result) : print_table(summary, result);
  // As JSON the loss is a figure among others: perf/run has a target for it and drops failed runs.
  return options.json || result.traffic.lost() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace gmesp

int main(int argc, char** argv) {
  try {
    return gmesp::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "control_bench: %s\n", error.what());
    return 1;
  }
}
