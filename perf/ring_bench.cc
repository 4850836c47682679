// SPDX-License-Identifier: BSD-3-Clause
// Registrations a second that one SIP server brings through libgmesp: a client process, the control
// thread and a worker, every set's keys expanded and its SAs acknowledged. Three busy threads: with
// fewer CPUs than that the rate says how they share, and the CPU time that client and control
// thread take for one registration says what each could do alone.
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "control/client/gmesp.h"
#include "control/control_thread.h"
#include "dataplane/worker.h"
#include "perf/bench_main.h"

namespace gmesp {
namespace {

constexpr uint32_t kRegistrations = 100'000;
constexpr size_t kInFlight = 192;  // of the 256 that may be unanswered
constexpr int kWaitMs = 60000;
// Not in the function: g++ 12 takes the parts of one that goes again for uninitialised.
const ControlConfig kPlainConfig;

enum class Life : uint8_t {
  challenged,   // register, challenge: the 401 may leave
  established,  // and response, ok: the 200 may leave
};

struct Figures {
  double seconds = 0;
  double client_cpu_s = 0;
  double control_cpu_s = 0;
  uint64_t refused = 0;
  char refusal[32] = {};
};

double cpu_seconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// The texts of one UE as a SIP server has them out of a REGISTER.
struct Ue {
  std::string address, impi, impu, client, server;
  std::array<const char*, 1> impus{};
  uint64_t handle = 0;
};

std::vector<Ue> make_ues() {
  std::vector<Ue> ues(kRegistrations);
  for (uint32_t i = 0; i < kRegistrations; ++i) {
    Ue& ue = ues[i];
    const std::string number = std::to_string(1010000000000 + i);
    ue.address = "10." + std::to_string(i >> 16) + "." + std::to_string(i >> 8 & 255) + "." +
                 std::to_string(i & 255);
    ue.impi = number + "@ims.mnc001.mcc001.3gppnetwork.org";
    ue.impu = "sip:" + ue.impi;
    ue.client = "ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc;prot=esp;mod=trans;spi-c=" +
                std::to_string(0x80000000u + 2 * i) +
                ";spi-s=" + std::to_string(0x80000001u + 2 * i) + ";port-c=40001;port-s=40002";
    ue.impus[0] = ue.impu.c_str();
  }
  return ues;
}

// A SIP server that does nothing but register.
class Load {
 public:
  Load(const std::string& path, Life life, std::vector<Ue>& ues) : life_(life), ues_(ues) {
    gmesp_options options{};
    options.size = sizeof options;
    options.abi_version = GMESP_ABI_VERSION;
    options.path = path.c_str();
    options.timeout_ms = kWaitMs;
    must(gmesp_connect(&options, &client_));
    waiting_.resize(256);
  }
  ~Load() { gmesp_close(client_); }

  void run(Figures& figures) {
    const auto begin = std::chrono::steady_clock::now();
    const double cpu = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
    while (done_ < ues_.size()) {
      while (next_ < ues_.size() && in_flight_ < kInFlight) submit_register(next_++);
      gmesp_report report{};
      report.size = sizeof report;
      must(gmesp_wait(client_, kWaitMs, &report) - 1);
      on_report(report, figures);
    }
    figures.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    figures.client_cpu_s = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  }

 private:
  enum class Step : uint8_t { registered, challenged, response, ok };
  struct Waiting {
    uint32_t ue = 0;
    Step step{};
  };

  static void must(int error) {
    if (error != 0) throw std::runtime_error(gmesp_error_text(error));
  }
  // Tokens that wait differ in their lowest byte: libgmesp has 256 places for them.
  void wait_for(uint64_t token, uint32_t ue, Step step) {
    waiting_[token % waiting_.size()] = {ue, step};
  }

  void submit_register(uint32_t i) {
    const Ue& ue = ues_[i];
    gmesp_register_call call{};
    call.size = sizeof call;
    call.ue = ue.address.c_str();
    call.pcscf = "192.0.2.1";
    call.impi = ue.impi.c_str();
    call.impus = ue.impus.data();
    call.impu_count = 1;
    call.security_client = ue.client.c_str();
    uint64_t token = 0;
    must(gmesp_submit_register(client_, &call, &token));
    wait_for(token, i, Step::registered);
    ++in_flight_;
  }

  void on_report(const gmesp_report& report, Figures& figures) {
    const Waiting waiting = waiting_[report.token % waiting_.size()];
    if (report.error != 0 && figures.refused++ == 0) {
      std::snprintf(figures.refusal, sizeof figures.refusal, "%s", gmesp_error_code(report.error));
    }
    const Step last = life_ == Life::challenged ? Step::challenged : Step::ok;
    if (report.error != 0 || waiting.step == last) {
      ++done_;
      --in_flight_;
    } else {
      submit_next(waiting, report);
    }
  }

  void submit_next(const Waiting& waiting, const gmesp_report& report) {
    Ue& ue = ues_[waiting.ue];
    uint64_t token = 0;
    if (waiting.step == Step::registered) {
      ue.handle = report.handle;
      if (life_ == Life::established) ue.server = report.security;
      std::array<uint8_t, 16> ck{}, ik{};
      std::memcpy(ck.data(), &ue.handle, sizeof ue.handle);
      std::memcpy(ik.data() + 4, &ue.handle, sizeof ue.handle);
      must(gmesp_submit_challenge(client_, ue.handle, ck.data(), ik.data(), nullptr, &token));
      wait_for(token, waiting.ue, Step::challenged);
    } else if (waiting.step == Step::challenged) {
      must(gmesp_submit_response(client_, ue.handle, ue.server.c_str(), ue.client.c_str(), &token));
      wait_for(token, waiting.ue, Step::response);
    } else {
      must(gmesp_submit_ok(client_, ue.handle, 600000, nullptr, 0, &token));
      wait_for(token, waiting.ue, Step::ok);
    }
  }

  const Life life_;
  std::vector<Ue>& ues_;
  gmesp_client* client_ = nullptr;
  std::vector<Waiting> waiting_;
  uint32_t next_ = 0;
  size_t in_flight_ = 0;
  size_t done_ = 0;
};

// The child: prepares, waits until gmespd's socket is there (a byte in `go`), runs, tells.
[[noreturn]] void client_process(const std::string& path, Life life, int go, int tell) {
  Figures figures;
  try {
    std::vector<Ue> ues = make_ues();
    char byte = 0;
    if (read(go, &byte, 1) != 1) _exit(1);
    Load(path, life, ues).run(figures);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ring_bench: client: %s\n", error.what());
    figures.refused = kRegistrations;
  }
  _exit(write(tell, &figures, sizeof figures) == sizeof figures ? 0 : 1);
}

void run_worker(Worker& worker) {
  const AssumeRole role(worker_thread);
  worker.prepare();
  worker.run();
}

// The engine around the control thread, which is the calling one.
void serve(const std::string& path, int go, int tell, Figures& figures) {
  const AssumeRole role(control_thread);
  WorkerConfig worker_config;
  worker_config.sa_capacity = 2 * kRegistrations;
  ControlConfig config = kPlainConfig;
  config.socket = path;
  config.sa.capacity = 2 * kRegistrations;
  config.registrar.capacity = kRegistrations;
  Policy policy;
  const Steering steering(1);
  SteeringMesh mesh(1);
  KeyStore keys(2 * kRegistrations);
  const EngineInfo info;
  const auto channel = std::make_unique<WorkerChannel>();
  Worker worker(worker_config, Port(), Port(), keys, policy, steering, mesh, *channel);
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
  waits.join();
  channel->stop = true;
  worker_runs.join();
  if (!told) throw std::runtime_error("the client process has died");
  figures.control_cpu_s = control_cpu_s;
}

Figures measure(Life life) {
  const std::string path = "/tmp/gmesp-bench-" + std::to_string(getpid());
  int go[2], tell[2];
  if (pipe(go) != 0 || pipe(tell) != 0) throw std::runtime_error("no pipe");
  const pid_t child = fork();  // before there are threads
  if (child < 0) throw std::runtime_error("no process");
  if (child == 0) client_process(path, life, go[0], tell[1]);
  close(tell[1]);
  Figures figures;
  serve(path, go[1], tell[0], figures);
  waitpid(child, nullptr, 0);
  close(go[0]), close(go[1]), close(tell[0]);
  if (figures.refused != 0) {
    throw std::runtime_error(std::to_string(figures.refused) + " refused: " + figures.refusal);
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

void run(bool json) {
  if (!json) {
    std::printf("One client process, %u registrations, %u SAs, AES-CBC + HMAC-SHA-1\n\n",
                kRegistrations, 4 * kRegistrations);
    std::printf(
        "| calls of each | a second | us of CPU: client | control thread | a second, with a CPU "
        "each |\n|---|---|---|---|---|\n");
  }
  const char* separator = "{";
  for (const Row& row : kRows) {
    const Figures figures = measure(row.life);
    const double rate = kRegistrations / figures.seconds;
    const double client_us = figures.client_cpu_s * 1e6 / kRegistrations;
    const double control_us = figures.control_cpu_s * 1e6 / kRegistrations;
    const double apart = 1e6 / std::max(client_us, control_us);
    if (json) {
      std::printf("%s\"%s\": {\"per_s\": %.0f, \"client_us\": %.2f, \"control_us\": %.2f}",
                  separator, row.key, rate, client_us, control_us);
      separator = ", ";
    } else {
      std::printf("| %s | %.0f | %.2f | %.2f | %.0f |\n", row.meaning, rate, client_us, control_us,
                  apart);
    }
  }
  if (json) std::printf("}\n");
}

}  // namespace
}  // namespace gmesp

int main(int argc, char** argv) { return gmesp::bench_main(argc, argv, gmesp::run); }
