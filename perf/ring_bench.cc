// SPDX-License-Identifier: BSD-3-Clause
// Registrations a second that one SIP server brings through libgmesp: a client process, the control
// thread and a worker, every set's keys expanded and its SAs acknowledged. Three busy threads: with
// fewer CPUs than that the rate says how they share, and the CPU time that client and control
// thread take for one registration says what each could do alone.
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "control/control_thread.h"
#include "dataplane/worker.h"
#include "perf/in_child.h"
#include "perf/resident_memory.h"
#include "perf/ring_load.h"

namespace gmesp {
namespace {

constexpr uint32_t kSasOfOne = 4;
// Not in the function: g++ 12 takes the parts of one that goes again for uninitialised.
const ControlConfig kPlainConfig;

struct Options {
  bool json = false;
  uint32_t registrations = 100'000;
  uint32_t runs = 3;  // of each life
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--json") {
      options.json = true;
    } else if (word == "--registrations" && i + 1 < argc) {
      options.registrations = static_cast<uint32_t>(std::strtoul(argv[++i], nullptr, 10));
    } else if (word == "--runs" && i + 1 < argc) {
      options.runs = static_cast<uint32_t>(std::strtoul(argv[++i], nullptr, 10));
    } else {
      throw std::runtime_error("usage: [--json] [--registrations NUMBER] [--runs NUMBER]");
    }
  }
  if (options.registrations < 1000 || options.registrations > 1'000'000 || options.runs == 0) {
    throw std::runtime_error("1000 to 1000000 registrations, 1 run or more");
  }
  return options;
}

// The child: prepares, waits until gmespd's socket is there (a byte in `go`), runs, tells.
[[noreturn]] void client_process(const std::string& path, Life life, uint32_t registrations, int go,
                                 int tell) {
  RingFigures figures;
  try {
    std::vector<Ue> ues = make_ues(registrations);
    char byte = 0;
    if (read(go, &byte, 1) != 1) _exit(1);
    figures = register_all(path, life, ues);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ring_bench: client: %s\n", error.what());
    figures.refused = registrations;
  }
  _exit(write(tell, &figures, sizeof figures) == sizeof figures ? 0 : 1);
}

void run_worker(Worker& worker) {
  const AssumeRole role(worker_thread);
  worker.prepare();
  worker.run();
}

// The engine around the control thread, which is the calling one.
void serve(const std::string& path, uint32_t registrations, int go, int tell,
           RingFigures& figures) {
  const AssumeRole role(control_thread);
  const size_t before = resident_bytes();
  WorkerConfig worker_config;
  // Two of each direction for each, and the share that is kept for those who register again.
  const size_t capacity = 3 * size_t{registrations};
  worker_config.sa_capacity = capacity;
  ControlConfig config = kPlainConfig;
  config.socket = path;
  config.sa.capacity = capacity;
  config.registrar.capacity = registrations;
  Policy policy;
  const Steering steering(1);
  SteeringMesh mesh(1);
  KeyStore keys(2 * registrations);
  const EngineInfo info;
  const auto channel = std::make_unique<WorkerChannel>();
  PacketPools pools;
  Worker worker(worker_config, Port(), Port(), pools, keys, policy, steering, mesh, *channel);
  ControlThread control(config, info, policy, steering, keys, {channel.get()});
  std::thread worker_runs(run_worker, std::ref(worker));
  const FileDescriptor stop(eventfd(0, EFD_CLOEXEC));
  bool told = false;
  std::thread waits([&] {
    told = write(go, "", 1) == 1 && read(tell, &figures, sizeof figures) == sizeof figures;
    eventfd_write(stop.get(), 1);
  });
  const double cpu = cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
  control.run(stop.get());
  const double control_cpu_s = cpu_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
  const size_t grown = resident_bytes() - before;
  waits.join();
  channel->stop = true;
  worker_runs.join();
  if (!told) throw std::runtime_error("the client process has died");
  figures.control_cpu_s = control_cpu_s;
  figures.bytes = static_cast<double>(grown) / registrations;
}

RingFigures measure(Life life, uint32_t registrations) {
  const std::string path = "/tmp/gmesp-bench-" + std::to_string(getpid());
  int go[2], tell[2];
  if (pipe(go) != 0 || pipe(tell) != 0) throw std::runtime_error("no pipe");
  const pid_t child = fork();  // before there are threads
  if (child < 0) throw std::runtime_error("no process");
  if (child == 0) client_process(path, life, registrations, go[0], tell[1]);
  close(tell[1]);
  RingFigures figures;
  serve(path, registrations, go[1], tell[0], figures);
  waitpid(child, nullptr, 0);
  close(go[0]), close(go[1]), close(tell[0]);
  if (figures.refused != 0) {
    throw std::runtime_error(std::to_string(figures.refused) + " refused: " + figures.refusal);
  }
  if (figures.live_sas != uint64_t{kSasOfOne} * registrations) {
    throw std::runtime_error(std::to_string(figures.live_sas) + " SAs are live");
  }
  return figures;
}

struct Row {
  const char* key;
  const char* meaning;
  Life life;
};
constexpr Row kRows[] = {
    {"challenged", "register, challenge", Life::challenged},
    {"established", "register, challenge, response, ok", Life::established},
};

void print_head(const Options& options) {
  if (options.json) {
    std::printf("{\"registrations\": %u, \"runs\": [", options.registrations);
  } else {
    std::printf("One client process, %u registrations, AES-CBC + HMAC-SHA-1\n\n",
                options.registrations);
    std::printf(
        "| calls of each | a second | us of CPU: client | control thread | bytes each | live SAs "
        "|\n"
        "|---|---|---|---|---|---|\n");
  }
}

void print_row(const Options& options, const Row& row, const RingFigures& figures, bool first) {
  const double rate = options.registrations / figures.seconds;
  const double client_us = figures.client_cpu_s * 1e6 / options.registrations;
  const double control_us = figures.control_cpu_s * 1e6 / options.registrations;
  if (options.json) {
    std::printf(
        "%s{\"calls\": \"%s\", \"per_s\": %.0f, \"client_us\": %.2f, \"control_us\": %.2f, "
        "\"bytes\": %.0f, \"live_sas\": %lu}",
        first ? "" : ", ", row.key, rate, client_us, control_us, figures.bytes, figures.live_sas);
  } else {
    std::printf("| %s | %.0f | %.2f | %.2f | %.0f | %lu |\n", row.meaning, rate, client_us,
                control_us, figures.bytes, figures.live_sas);
  }
}

// Every run is printed; the two lives take turns.
void run(const Options& options) {
  print_head(options);
  for (uint32_t i = 0; i < options.runs; ++i) {
    for (const Row& row : kRows) {
      const RingFigures figures =
          in_child([&] { return measure(row.life, options.registrations); });
      print_row(options, row, figures, i == 0 && &row == kRows);
    }
  }
  if (options.json) std::printf("]}\n");
}

}  // namespace
}  // namespace gmesp

int main(int argc, char** argv) {
  try {
    gmesp::run(gmesp::parse(argc, argv));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ring_bench: %s\n", error.what());
    return 1;
  }
}
