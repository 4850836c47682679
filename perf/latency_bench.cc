// SPDX-License-Identifier: BSD-3-Clause
// How long a packet takes from port to port (port_to_port.h). Alone: nothing else is under way, so
// whatever waits for company (a crypto lane) would wait for ever, or show. Under load: what a poll
// returned is the batch.
#include <sched.h>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>

#include "dataplane/dpdk/eal.h"
#include "perf/bench_main.h"
#include "perf/port_to_port.h"

namespace gmesp {
namespace {

constexpr size_t kWindows = 41;
constexpr size_t kWindowsAdaptive = 11;
constexpr size_t kWindowsLoaded = 201;
constexpr double kLoadPerSecond = 100'000;

struct Figures {
  Latencies poll, adaptive, load;
};

std::string suite_name(Suite suite) {
  const SuiteInfo& info = suite_info(suite);
  return std::string(name(info.integrity)) + '+' + std::string(name(info.encryption));
}

Latency of(const Latencies& both, Direction direction) {
  return direction == Direction::in ? both.in : both.out;
}

void print_json(const char* separator, Suite suite, const Figures& figures) {
  std::printf("%s\"%s\": {", separator, suite_name(suite).c_str());
  for (const Direction direction : {Direction::in, Direction::out}) {
    const Latency poll = of(figures.poll, direction);
    const Latency adaptive = of(figures.adaptive, direction);
    const Latency load = of(figures.load, direction);
    std::printf(
        "%s\"%s\": {\"p50_us\": %.2f, \"p99_us\": %.2f, \"max_us\": %.2f, "
        "\"adaptive\": {\"p50_us\": %.2f, \"p99_us\": %.2f}, "
        "\"load\": {\"packets_per_s\": %.0f, \"p50_us\": %.2f, \"p99_us\": %.2f}}",
        direction == Direction::in ? "" : ", ", direction == Direction::in ? "in" : "out",
        poll.p50_us, poll.p99_us, poll.max_us, adaptive.p50_us, adaptive.p99_us, kLoadPerSecond,
        load.p50_us, load.p99_us);
  }
  std::printf("}");
}

void print_rows(Suite suite, const Figures& figures) {
  for (const Direction direction : {Direction::in, Direction::out}) {
    std::printf("%-28s %-3s", suite_name(suite).c_str(), direction == Direction::in ? "in" : "out");
    for (const Latencies* both : {&figures.poll, &figures.adaptive, &figures.load}) {
      const Latency latency = of(*both, direction);
      std::printf("  %8.2f %8.2f %9.2f", latency.p50_us, latency.p99_us, latency.max_us);
    }
    std::printf("\n");
  }
  std::fflush(stdout);
}

// The worker's CPU, and another for this thread: both spin.
unsigned worker_cpu() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  sched_getaffinity(0, sizeof cpus, &cpus);
  if (CPU_COUNT(&cpus) < 2) throw std::runtime_error("two CPUs needed");
  unsigned cpu = CPU_SETSIZE - 1;
  while (!CPU_ISSET(cpu, &cpus)) --cpu;
  return cpu;
}

void run(bool json) {
  const unsigned cpu = worker_cpu();
  EalConfig config;
  config.program = "latency_bench";
  config.worker_cpus = {cpu};
  config.memory_mb = 96;
  const Eal eal(config);
  RingLink access("access");
  RingLink host("host");
  const Device access_device({.name = "access", .device = access.device()});
  const Device host_device({.name = "host", .device = host.device()});
  const auto bench = [&](Suite suite, Idle idle) {
    return PortToPort(access, host, access_device, host_device, suite, idle, cpu);
  };
  if (!json) {
    std::printf(
        "Port to port, us: p50, p99, max of a lone packet while the worker polls; when it is "
        "adaptive;\nat %.0f packets/s. %zu bytes, windows of %zu packets, the median of each "
        "figure\n",
        kLoadPerSecond, PortToPort::kIpBytes, PortToPort::kWindow);
  }
  const char* separator = "{";
  for (const SuiteInfo& info : kSuites) {
    Figures figures;
    {
      PortToPort polling = bench(info.suite, Idle::poll);
      figures.poll = polling.lone(kWindows, 20e-6);
      figures.load = polling.loaded(kWindowsLoaded, kLoadPerSecond);
    }
    figures.adaptive = bench(info.suite, Idle::adaptive).lone(kWindowsAdaptive, 150e-6);
    json ? print_json(separator, info.suite, figures) : print_rows(info.suite, figures);
    separator = ", ";
  }
  if (json) std::printf("}\n");
}

}  // namespace
}  // namespace gmesp

int main(int argc, char** argv) { return gmesp::bench_main(argc, argv, gmesp::run); }
