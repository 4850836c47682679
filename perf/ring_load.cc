// SPDX-License-Identifier: BSD-3-Clause
#include "perf/ring_load.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "control/client/gmesp.h"
#include "control/file_descriptor.h"

namespace gmesp {
namespace {

constexpr size_t kInFlight = 192;  // of the 256 that may be unanswered
constexpr int kWaitMs = 60000;

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

  void run(RingFigures& figures) {
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

  void on_report(const gmesp_report& report, RingFigures& figures) {
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

// "total" of `sa count`, which are the live ones.
uint64_t count_sas(const std::string& path) {
  const FileDescriptor fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  constexpr std::string_view kRequest = R"({"command":"sa count"})";
  char answer[512] = {};
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      send(fd.get(), kRequest.data(), kRequest.size(), MSG_NOSIGNAL) < 0 ||
      recv(fd.get(), answer, sizeof answer - 1, 0) <= 0) {
    throw std::runtime_error("no answer at the control socket");
  }
  constexpr std::string_view kKey = "\"total\":";
  const char* const total = std::strstr(answer, kKey.data());
  if (total == nullptr) throw std::runtime_error(answer);
  return std::strtoull(total + kKey.size(), nullptr, 10);
}

}  // namespace

double cpu_seconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::vector<Ue> make_ues(uint32_t count) {
  std::vector<Ue> ues(count);
  for (uint32_t i = 0; i < count; ++i) {
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

RingFigures register_all(const std::string& path, Life life, std::vector<Ue>& ues) {
  RingFigures figures;
  Load(path, life, ues).run(figures);
  figures.live_sas = count_sas(path);
  return figures;
}

}  // namespace gmesp
