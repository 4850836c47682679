// SPDX-License-Identifier: BSD-3-Clause
// Every worker's thread has the load of one suite and of the UEs that hash to it, makes its tables
// and keys, and measures case after case together with the others, so that they share caches and
// memory as in service.
#include "tools/bench.h"

#include <sched.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "control/json_writer.h"
#include "crypto/multi_buffer.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/index_table.h"
#include "dataplane/security_association.h"
#include "perf/path_measure.h"

namespace gmesp {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kFewestRings = 4;  // whatever the time: a quartile has to be one of several

struct Case {
  size_t sas;
  size_t bytes;
};

struct Row {
  Suite suite;
  Case traffic;
  Direction direction;
  double crypto_cycles = 0;  // a packet, mean of the workers
  double path_cycles = 0;
  double mpps = 0;  // of all workers together
  double ratio() const { return crypto_cycles / path_cycles; }
};

struct Report {
  std::vector<Row> rows;
  std::vector<std::string> left_out;
};

std::string suite_name(Suite suite) {
  const SuiteInfo& info = suite_info(suite);
  return std::string(name(info.integrity)) + " + " + std::string(name(info.encryption));
}

std::vector<size_t> sa_counts(size_t capacity) {
  std::vector<size_t> counts;
  for (const size_t count : {size_t{1}, size_t{10'000}, size_t{100'000}}) {
    if (count < capacity) counts.push_back(count);
  }
  counts.push_back(capacity);
  return counts;
}

// Keys, both lines of an SA and its place in a look-up table, in both directions.
size_t memory_mb(Suite suite, size_t sas, size_t workers) {
  constexpr size_t kTableBytes =
      sizeof(InboundSa) + sizeof(SaRecord) + IndexTable<SaIndex, kNoSa>::bytes_per_entry();
  return workers * sas * 2 * (KeyStore::slot_bytes(suite) + kTableBytes) >> 20;
}

// The counts that fit into four fifths of what the machine has left.
std::vector<size_t> fitting_counts(const Config& config, Suite suite, Report& report) {
  std::vector<size_t> counts = sa_counts(config.worker.sa_capacity);
  const size_t available_mb = available_memory_mb();
  while (counts.size() > 1) {
    const size_t needed_mb = memory_mb(suite, counts.back(), config.cpus.size());
    if (available_mb == 0 || needed_mb <= available_mb / 5 * 4) break;
    report.left_out.push_back(suite_name(suite) + " with " + std::to_string(counts.back()) +
                              " SAs a worker: takes " + std::to_string(needed_mb) + " MB, " +
                              std::to_string(available_mb) + " MB are left");
    counts.pop_back();
  }
  return counts;
}

// One suite on all workers.
class SuiteBench {
 public:
  SuiteBench(const Config& config, Suite suite, std::vector<size_t> counts, Clock::time_point end)
      : config_(config), suite_(suite), end_(end), most_(counts.back()) {
    for (const size_t bytes : {size_t{256}, size_t{1400}}) {
      for (const size_t sas : counts) cases_.push_back({sas, bytes});
    }
  }

  // A row for each case and direction.
  std::vector<Row> run() {
    const size_t workers = config_.cpus.size();
    figures_.assign(workers, std::vector<BothWays>(cases_.size()));
    failures_.assign(workers, nullptr);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < workers; ++i) threads.emplace_back([this, i] { run_worker(i); });
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& failure : failures_) {
      if (failure) std::rethrow_exception(failure);
    }
    std::vector<Row> rows;
    for (size_t i = 0; i < cases_.size(); ++i) {
      rows.push_back(row(i, Direction::in));
      rows.push_back(row(i, Direction::out));
    }
    return rows;
  }

 private:
  // Who fails leaves the others to their measuring.
  void run_worker(size_t number) {
    bool entered = false;
    try {
      enter_worker_thread(config_.cpus[number]);
      entered = true;
      measure(number);
    } catch (...) {
      failures_[number] = std::current_exception();
      together_.arrive_and_drop();
    }
    if (entered) leave_worker_thread();
  }

  // On its own thread, so that the memory is on the worker's node.
  void measure(size_t number) {
    PathLoad load({suite_, false, most_, config_.cpus.size(), number});
    together_.arrive_and_wait();
    for (size_t i = 0; i < cases_.size(); ++i) {
      load.set_traffic(cases_[i].bytes, cases_[i].sas);
      together_.arrive_and_wait();
      const auto now = Clock::now();
      const auto share = (end_ - now) / static_cast<int>(cases_.size() - i);
      figures_[number][i] = measure_paths(load, kFewestRings, now + share);
    }
  }

  Row row(size_t number, Direction direction) const {
    Row row{suite_, cases_[number], direction};
    const auto workers = static_cast<double>(config_.cpus.size());
    for (const std::vector<BothWays>& worker : figures_) {
      const PathFigures& f = direction == Direction::in ? worker[number].in : worker[number].out;
      row.crypto_cycles += f.crypto.quartile / workers;
      row.path_cycles += f.path.quartile / workers;
      row.mpps += static_cast<double>(tsc_hz()) / f.path.quartile / 1e6;
    }
    return row;
  }

  const Config& config_;
  const Suite suite_;
  const Clock::time_point end_;
  const size_t most_;
  std::vector<Case> cases_;
  std::vector<std::vector<BothWays>> figures_;  // by worker and case
  std::vector<std::exception_ptr> failures_;
  std::barrier<> together_{static_cast<std::ptrdiff_t>(config_.cpus.size())};
};

const char* direction_name(Direction direction) {
  return direction == Direction::in ? "in" : "out";
}

// Earlier writes may have failed: the stream remembers.
void flush_or_throw() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    throw std::runtime_error("the figures could not be written to standard output");
  }
}

void print_head(const Config& config, const Eal& eal) {
  std::printf(
      "%zu worker%s, IPv6, %s; TSC cycles a packet (%.0f MHz), the first quartile of rings of "
      "%zu\npackets; Mpps of all workers together; bytes are those of the plain IP packet\n\n"
      "%-28s %-3s %5s %8s %8s %8s %6s %8s\n",
      config.cpus.size(), config.cpus.size() == 1 ? "" : "s",
      eal.hugepages() ? "hugepages" : "no hugepages", static_cast<double>(tsc_hz()) / 1e6,
      PathLoad::kRing, "suite", "way", "bytes", "SAs", "crypto", "path", "ratio", "Mpps");
  flush_or_throw();
}

void print_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    std::printf("%-28s %-3s %5zu %8zu %8.0f %8.0f %6.2f %8.3f\n", suite_name(row.suite).c_str(),
                direction_name(row.direction), row.traffic.bytes, row.traffic.sas,
                row.crypto_cycles, row.path_cycles, row.ratio(), row.mpps);
  }
  flush_or_throw();
}

std::string as_json(const Config& config, const Eal& eal, const Report& report) {
  JsonWriter json;
  json.start_object("machine");
  json.field("version", GMESP_VERSION).field("workers", config.cpus.size());
  json.field("tsc_hz", tsc_hz()).flag("hugepages", eal.hugepages());
  json.end_object();
  json.start_array("paths");
  for (const Row& row : report.rows) {
    const SuiteInfo& info = suite_info(row.suite);
    json.start_object();
    json.field("direction", direction_name(row.direction)).field("ip", uint64_t{6});
    json.field("alg", name(info.integrity)).field("ealg", name(info.encryption));
    json.field("bytes", row.traffic.bytes).field("sas", row.traffic.sas);
    json.decimal("crypto_cycles", row.crypto_cycles).decimal("path_cycles", row.path_cycles);
    json.decimal("ratio", row.ratio()).decimal("mpps", row.mpps);
    json.end_object();
  }
  json.end_array();
  json.start_array("left_out");
  for (const std::string& sentence : report.left_out) json.element(sentence);
  json.end_array();
  return json.finish();
}

EalConfig eal_config(const Config& config, bool verbose) {
  constexpr size_t kOwnMegabytes = 16;       // as Engine
  constexpr size_t kMegabytesPerWorker = 4;  // buffers of a ring
  EalConfig eal;
  eal.worker_cpus = config.cpus;
  eal.allow_hugepages = config.allow_hugepages;
  eal.verbose = verbose;
  eal.memory_mb = kOwnMegabytes + kMegabytesPerWorker * config.cpus.size();
  return eal;
}

}  // namespace

Config bench_defaults() {
  Config config;
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  sched_getaffinity(0, sizeof cpus, &cpus);
  unsigned cpu = 0;
  while (cpu + 1 < CPU_SETSIZE && !CPU_ISSET(cpu, &cpus)) ++cpu;
  config.cpus = {cpu};
  config.worker.sa_capacity = 1'000'000;
  return config;
}

void run_bench(const Config& config, const BenchOptions& options) {
  const auto end = Clock::now() + std::chrono::seconds(options.seconds);
  const Eal eal(eal_config(config, options.verbose));
  if (!eal.notice().empty()) std::fprintf(stderr, "gmespd: %s\n", eal.notice().c_str());
  if (!options.json) print_head(config, eal);
  Report report;
  const MultiBuffer multi_buffer;
  for (size_t i = 0; i < kSuiteCount; ++i) {
    const Suite suite = kSuites[i].suite;
    if (!multi_buffer.is_fast(suite)) {
      report.left_out.push_back(suite_name(suite) +
                                ": takes milliseconds a packet without AVX-512");
      continue;
    }
    const auto now = Clock::now();
    const auto suite_end = now + (end - now) / static_cast<int>(kSuiteCount - i);
    SuiteBench bench(config, suite, fitting_counts(config, suite, report), suite_end);
    const std::vector<Row> rows = bench.run();
    if (!options.json) print_rows(rows);
    report.rows.insert(report.rows.end(), rows.begin(), rows.end());
  }
  if (options.json) {
    std::puts(as_json(config, eal, report).c_str());
  } else {
    for (const std::string& sentence : report.left_out) {
      std::printf("left out: %s\n", sentence.c_str());
    }
  }
  flush_or_throw();
}

}  // namespace gmesp
