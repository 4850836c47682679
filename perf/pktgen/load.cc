// SPDX-License-Identifier: BSD-3-Clause
// A traffic generator for machines without Pktgen-DPDK: replays a capture of gmespctl mkpcap at a
// rate and counts what comes back on a second port. Open loop as RFC 2544 26.1 wants it: what the
// device under test does not take is lost, not sent later. One thread, on the engine's own ports.
//
// Commands on standard input, an answer in JSON for each:
//   capture FILE            what the next trials send
//   trial PPS SECONDS loop|once
// Latency is the time between the n-th frame sent and the n-th received, so it is only told where
// none was lost; with several workers behind each other it is that of a stream, not of a packet.
#include <x86intrin.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <numeric>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "control/json_writer.h"
#include "dataplane/dpdk/device_string.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/port.h"
#include "perf/dpdk/frame_pool.h"
#include "perf/pktgen/capture.h"

namespace gmesp {
namespace {

constexpr size_t kBuffers = 16384;
constexpr size_t kCachedBuffers = 256;
constexpr uint64_t kMaxSendBurst = 32;
constexpr size_t kStamps = size_t{1} << 20;        // frames on their way at a time
constexpr size_t kMaxLatencies = size_t{1} << 22;  // of one trial; later ones are not kept
constexpr double kSilenceSeconds = 0.05;           // after which what is missing is lost

struct Options {
  unsigned cpu = 0;
  std::string send;
  std::string receive;
  uint16_t mtu = 1500;
  bool hugepages = false;
};

struct Trial {
  double pps;  // 0: as fast as can be
  double seconds;
  bool loop;
};

DeviceConfig device(const char* name, const std::string& text, uint16_t mtu) {
  return {.name = name, .device = text, .mtu = mtu, .workers = 1};
}

EalConfig eal_config(const Options& options) {
  constexpr size_t kOwnMegabytes = 16;
  EalConfig eal;
  eal.program = "load";
  eal.worker_cpus = {options.cpu};
  eal.allow_hugepages = options.hugepages;
  eal.memory_mb = kOwnMegabytes + FramePool::memory_mb(kBuffers, options.mtu);
  for (const std::string& text : {options.send, options.receive}) {
    const DeviceString name(text);
    if (name.is_pci()) eal.pci_devices.push_back(text);
    if (name.is_virtio_user()) eal.virtio_user = true;
    eal.memory_mb += Device::memory_mb(device("load", text, options.mtu));
  }
  return eal;
}

class Load {
 public:
  explicit Load(const Options& options)
      : eal_(eal_config(options)),
        send_device_(device("send", options.send, options.mtu)),
        receive_device_(device("receive", options.receive, options.mtu)),
        send_(send_device_.port(0)),
        receive_(receive_device_.port(0)),
        pool_(kBuffers, options.mtu + size_t{64}, kCachedBuffers),
        hz_(static_cast<double>(tsc_hz())),
        stamps_(kStamps) {
    latencies_.reserve(kMaxLatencies);
  }

  // The links of virtual devices come up when the other side is there.
  bool wait_for_links() const {
    for (int i = 0; i < 1000; ++i) {
      const auto is_up = [](const Device& device) { return device.link() != std::string("down"); };
      if (is_up(send_device_) && is_up(receive_device_)) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  void use(const std::string& path) { capture_ = std::make_unique<Capture>(path); }
  size_t frames() const { return capture_ ? capture_->size() : 0; }
  std::string run(const Trial& trial);

 private:
  void reset();
  // Frames first .. of the capture; those that the device did not take are lost.
  void send(uint64_t first, uint64_t count);
  void receive();
  std::string report(const Trial& trial, double seconds, double received_seconds);
  uint64_t percentile(double part);

  Eal eal_;
  Device send_device_;
  Device receive_device_;
  Port send_;
  Port receive_;
  FramePool pool_;
  double hz_;
  std::unique_ptr<Capture> capture_;
  Counters counters_;
  Drops drops_{counters_};
  PortCounters send_counters_;
  PortCounters receive_counters_;
  uint64_t offered_ = 0;
  uint64_t last_received_tsc_ = 0;
  std::vector<uint64_t> stamps_;
  std::vector<uint32_t> latencies_;  // ns
};

// What is still on its way from a trial before belongs to that one.
void Load::reset() {
  const uint64_t until = __rdtsc() + static_cast<uint64_t>(hz_ * kSilenceSeconds);
  while (__rdtsc() < until) receive();
  send_counters_ = {};
  receive_counters_ = {};
  offered_ = 0;
  latencies_.clear();
}

void Load::send(uint64_t first, uint64_t count) {
  Burst burst;
  for (uint64_t i = first; i < first + count; ++i) {
    const std::optional<Packet> packet = pool_.take((*capture_)[i % capture_->size()]);
    if (!packet) break;
    burst.push(*packet);
  }
  offered_ += count;
  const uint64_t before = send_counters_.tx_packets;
  const uint64_t now = __rdtsc();
  send_.transmit(burst, drops_, send_counters_);
  for (uint64_t i = before; i < send_counters_.tx_packets; ++i) stamps_[i % kStamps] = now;
}

void Load::receive() {
  Burst burst;
  const uint64_t before = receive_counters_.rx_packets;
  receive_.receive(burst, drops_, receive_counters_);
  if (receive_counters_.rx_packets == before) return;
  last_received_tsc_ = __rdtsc();
  for (uint64_t i = before; i < receive_counters_.rx_packets; ++i) {
    if (latencies_.size() == kMaxLatencies) break;
    const auto cycles = static_cast<double>(last_received_tsc_ - stamps_[i % kStamps]);
    latencies_.push_back(static_cast<uint32_t>(std::min(cycles / hz_ * 1e9, 4e9)));
  }
  burst.clear();
}

std::string Load::run(const Trial& trial) {
  reset();
  const uint64_t most = trial.loop ? ~uint64_t{0} : capture_->size();
  const uint64_t begin = __rdtsc();
  const auto end = begin + static_cast<uint64_t>(trial.seconds * hz_);
  const double per_cycle = trial.pps / hz_;
  uint64_t now = begin;
  while (now < end && offered_ < most) {
    const uint64_t target =
        trial.pps == 0 ? most : static_cast<uint64_t>(static_cast<double>(now - begin) * per_cycle);
    const uint64_t due =
        std::min({target - std::min(target, offered_), kMaxSendBurst, most - offered_});
    if (due != 0) send(offered_, due);
    receive();
    now = __rdtsc();
  }
  last_received_tsc_ = now;
  const auto silence = static_cast<uint64_t>(kSilenceSeconds * hz_);
  while (receive_counters_.rx_packets < send_counters_.tx_packets &&
         __rdtsc() - last_received_tsc_ < silence) {
    receive();
  }
  return report(trial, static_cast<double>(now - begin) / hz_,
                static_cast<double>(last_received_tsc_ - begin) / hz_);
}

uint64_t Load::percentile(double part) {
  const auto at = static_cast<std::ptrdiff_t>(part * static_cast<double>(latencies_.size() - 1));
  std::nth_element(latencies_.begin(), latencies_.begin() + at, latencies_.end());
  return latencies_[static_cast<size_t>(at)];
}

// received_pps: until the last frame came out. Rings hold frames at the end of a trial, so that a
// short one seems to pass more than it does; this rate is what was worked off.
std::string Load::report(const Trial& trial, double seconds, double received_seconds) {
  const auto received = static_cast<double>(receive_counters_.rx_packets);
  JsonWriter json;
  json.field("wanted_pps", static_cast<uint64_t>(trial.pps))
      .field("offered_pps", static_cast<uint64_t>(static_cast<double>(offered_) / seconds))
      .field("received_pps", static_cast<uint64_t>(received / received_seconds))
      .field("offered", offered_)
      .field("sent", send_counters_.tx_packets)
      .field("received", receive_counters_.rx_packets)
      .field("microseconds", static_cast<uint64_t>(seconds * 1e6));
  if (receive_counters_.rx_packets == offered_ && !latencies_.empty()) {
    json.start_object("latency_ns");
    const uint64_t sum = std::accumulate(latencies_.begin(), latencies_.end(), uint64_t{0});
    json.field("min", percentile(0)).field("avg", sum / latencies_.size());
    json.field("p50", percentile(0.5)).field("p99", percentile(0.99));
    json.field("p999", percentile(0.999)).field("max", percentile(1));
    json.end_object();
  }
  return json.finish();
}

// One command; its answer.
std::string obey(Load& load, const std::string& line) {
  std::istringstream words(line);
  std::string command, file, how;
  Trial trial{};
  words >> command;
  if (command == "capture" && words >> file) {
    load.use(file);
    return JsonWriter().field("frames", load.frames()).finish();
  }
  if (command == "trial" && words >> trial.pps >> trial.seconds >> how && trial.pps >= 0 &&
      trial.seconds > 0 && (how == "loop" || how == "once")) {
    trial.loop = how == "loop";
    if (load.frames() == 0) throw std::runtime_error("a capture comes first");
    return load.run(trial);
  }
  throw std::runtime_error("the commands are: capture FILE, trial PPS SECONDS loop|once");
}

void serve(const Options& options) {
  Load load(options);
  if (!load.wait_for_links()) throw std::runtime_error("a link stays down: is gmespd there?");
  std::cout << JsonWriter().field("ready", "yes").finish() << std::endl;
  enter_worker_thread(options.cpu);
  for (std::string line; std::getline(std::cin, line);) {
    try {
      std::cout << obey(load, line) << std::endl;
    } catch (const std::runtime_error& error) {
      std::cout << error_answer(error.what(), "usage") << std::endl;
    }
  }
  leave_worker_thread();
}

}  // namespace
}  // namespace gmesp

int main(int argc, char** argv) {
  gmesp::Options options;
  CLI::App app{"Sends a capture through two ports; commands on standard input (perf/pktgen)."};
  app.add_option("--cpu", options.cpu, "CPU to send and receive on");
  app.add_option("--send", options.send, "device, as in gmespd.toml")->required();
  app.add_option("--receive", options.receive, "device, as in gmespd.toml")->required();
  app.add_option("--mtu", options.mtu, "of both devices");
  app.add_flag("--hugepages", options.hugepages, "use them (vhost needs them)");
  CLI11_PARSE(app, argc, argv);
  try {
    gmesp::serve(options);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "load: %s\n", error.what());
    return 1;
  }
}
