// SPDX-License-Identifier: BSD-3-Clause
#include "perf/socket_load.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "control/control_thread.h"
#include "dataplane/worker.h"
#include "perf/bench_ue.h"

namespace gmesp {
namespace {

constexpr size_t kWindow = 128;
// Not in the function: g++ 12 takes the parts of one that goes again for uninitialised.
const ControlConfig kPlainConfig;

std::string hex(const Key& key) {
  std::string text;
  for (const uint8_t byte : key.bytes()) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

std::string add_record(uint32_t ue) {
  const NewSa sa = bench_sa(Direction::in, ue, Suite::sha1_aes_cbc);
  return R"({"command":"sa add","dir":"in","spi":)" +
         std::to_string(static_cast<uint32_t>(sa.spi)) + R"(,"src":")" +
         to_string(sa.selector.source) + R"(","dst":")" + to_string(sa.selector.destination) +
         R"(","proto":"any","dport":)" + std::to_string(sa.selector.destination_port) +
         R"(,"alg":"hmac-sha-1-96","auth-key":")" + hex(sa.keys.authentication) +
         R"(","ealg":"aes-cbc","enc-key":")" + hex(sa.keys.encryption) + R"("})";
}

// A client that does nothing but send and count; its own cost is two system calls a record.
class Client {
 public:
  explicit Client(const std::string& path)
      : fd_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error("no control socket");
    }
  }
  // Seconds until every record is answered; below 0 when one was not "added".
  double run(const std::vector<std::string>& records) {
    const auto begin = std::chrono::steady_clock::now();
    size_t sent = 0;
    for (size_t answered = 0; answered < records.size(); ++answered) {
      for (; sent < records.size() && sent - answered < kWindow; ++sent) {
        send(fd_.get(), records[sent].data(), records[sent].size(), MSG_NOSIGNAL);
      }
      char answer[512];
      const ssize_t bytes = recv(fd_.get(), answer, sizeof answer, 0);
      if (bytes <= 0 || std::string_view(answer, static_cast<size_t>(bytes)).find("added") ==
                            std::string_view::npos) {
        return -1;
      }
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

 private:
  FileDescriptor fd_;
};

void run_worker(Worker& worker, unsigned cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  sched_setaffinity(0, sizeof cpus, &cpus);
  const AssumeRole role(worker_thread);
  worker.prepare();
  worker.run();
}

}  // namespace

double socket_adds_per_second(size_t sas, unsigned worker_cpu) {
  const AssumeRole role(control_thread);
  std::vector<std::string> records;
  for (uint32_t ue = 0; ue < sas; ++ue) records.push_back(add_record(ue));
  WorkerConfig config;
  config.sa_capacity = sas;
  Policy policy;
  const Steering steering(1);
  SteeringMesh mesh(1);
  KeyStore keys(sas);
  const EngineInfo info;
  const auto channel = std::make_unique<WorkerChannel>();
  PacketPools pools;
  Worker worker(config, Port(), Port(), pools, keys, policy, steering, mesh, *channel);
  const std::string path = "/tmp/gmesp-bench-" + std::to_string(getpid());
  ControlConfig control_config = kPlainConfig;
  control_config.socket = path;
  control_config.sa.capacity = sas;
  ControlThread control(control_config, info, policy, steering, keys, {channel.get()});
  const FileDescriptor stop(eventfd(0, EFD_CLOEXEC));
  double seconds = -1;
  std::thread worker_runs(run_worker, std::ref(worker), worker_cpu);
  std::thread client_runs([&] {
    seconds = Client(path).run(records);
    eventfd_write(stop.get(), 1);
  });
  control.run(stop.get());
  client_runs.join();
  channel->stop = true;
  worker_runs.join();
  if (seconds < 0) throw std::runtime_error("an SA was refused at the control socket");
  return static_cast<double>(sas) / seconds;
}

}  // namespace gmesp
