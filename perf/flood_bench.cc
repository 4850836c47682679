// SPDX-License-Identifier: BSD-3-Clause
// What becomes of good packets when hostile ones fill a worker beyond its capacity: a receive queue
// of bounded length is offered twice what the worker can serve of that mixture, and loses what
// finds it full, as a NIC does. Good packets should lose their share and no more: `ratio` is the
// part of the good ones that was delivered, by the part of all packets that was received. Time is
// that of the packet path alone; the load is made outside of it.
#include <x86intrin.h>

#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <vector>

#include "dataplane/dpdk/eal.h"
#include "perf/bench_main.h"
#include "perf/dpdk/arriving_packets.h"
#include "perf/hostile_packets.h"
#include "perf/path_load.h"

namespace gmesp {
namespace {

using Frame = PathLoad::Frame;

constexpr size_t kSas = 10'000;
constexpr size_t kIpBytes = 256;
constexpr size_t kQueue = 1024;
constexpr size_t kRings = 64;
constexpr size_t kPackets = kRings * PathLoad::kRing;
constexpr double kOverload = 2.0;

struct Figures {
  double hostile = 0;   // of the packets offered
  double received = 0;  // of all packets offered
  double good = 0;      // of the good ones offered, delivered
  double ratio() const { return good / received; }
};

class FloodBench {
 public:
  FloodBench() : load_({Suite::sha1_aes_cbc, false, kSas}) {
    load_.set_traffic(kIpBytes, kSas);
    for (const Frame& frame : load_.make_esp()) old_.push_back(frame);
    serve_all(old_);
    for (size_t held = 0; held < kHeldFragments; held += PathLoad::kRing) {
      std::vector<Frame> fragments = load_.make_esp();
      for (Frame& frame : fragments) kKinds[kLoneFragment].spoil(frame);
      serve_all(fragments);
    }
  }

  Figures run(const Kind& kind, unsigned hostile_percent) {
    const double cycles_per_packet = capacity(kind, hostile_percent);
    make(kind, hostile_percent);
    const uint64_t delivered_before = load_.counters().protected_in;
    const size_t received = offer(cycles_per_packet / kOverload);
    const auto delivered = double(load_.counters().protected_in - delivered_before);
    const auto good = double(good_);
    return {1 - good / kPackets, double(received) / kPackets, delivered / good};
  }

 private:
  // Frames in random order; a replay is one of the first ring's, which were all delivered.
  void make(const Kind& kind, unsigned hostile_percent) {
    frames_.clear();
    good_ = 0;
    while (frames_.size() < kPackets) {
      for (Frame& frame : load_.make_esp()) {
        random_ = random_ * 6364136223846793005 + 1442695040888963407;
        if ((random_ >> 33) % 100 >= hostile_percent) {
          ++good_;
          frames_.push_back(std::move(frame));
          continue;
        }
        frames_.push_back(kind.from == From::old_ring ? old_[frames_.size() % old_.size()]
                                                      : std::move(frame));
        kind.spoil(frames_.back());
      }
    }
  }

  // Cycles a packet of the mixture takes.
  double capacity(const Kind& kind, unsigned hostile_percent) {
    make(kind, hostile_percent);
    return double(serve_all(frames_)) / double(frames_.size());
  }
  uint64_t serve_all(const std::vector<Frame>& frames) {
    uint64_t cycles = 0;
    for (size_t i = 0; i < frames.size();) {
      for (size_t n = 0; n < Burst::kCapacity && i < frames.size(); ++n) queue_.arrive(frames[i++]);
      cycles += serve_burst().cycles;
    }
    return cycles;
  }

  struct Served {
    uint64_t cycles;
    size_t packets;
  };
  Served serve_burst() {
    const uint64_t begin = __rdtsc();
    queue_.receive(burst_);
    const size_t packets = burst_.size();
    load_.inbound().run(burst_, begin);
    ArrivingPackets::transmit(burst_);
    return {__rdtsc() - begin, packets};
  }

  // A packet every so many cycles. Answers how many found room in the queue.
  size_t offer(double interval) {
    size_t next = 0, waiting = 0, received = 0;
    double clock = 0;
    while (next < kPackets || waiting > 0) {
      for (; next < kPackets && double(next) * interval <= clock; ++next) {
        if (waiting == kQueue) continue;
        queue_.arrive(frames_[next]);
        ++waiting;
        ++received;
      }
      if (waiting == 0) {
        clock = double(next) * interval;
        continue;
      }
      const Served served = serve_burst();
      clock += double(served.cycles);
      waiting -= served.packets;
    }
    return received;
  }

  ArrivingPackets queue_{kHeldFragments + kQueue + Burst::kCapacity, 1600};
  PathLoad load_;  // holds fragments of that queue
  Burst burst_;
  uint64_t random_ = 42;
  std::vector<Frame> old_;
  std::vector<Frame> frames_;
  size_t good_ = 0;
};

void run(bool json) {
  EalConfig config;
  config.program = "flood_bench";
  config.memory_mb = 48;
  const Eal eal(config);
  FloodBench bench;
  if (!json) {
    std::printf(
        "%.1f times what the worker can serve of each mixture, AES-CBC + SHA-1, %zu bytes\n",
        kOverload, kIpBytes);
    std::printf("  %-32s %8s %9s %10s %7s\n", "", "hostile", "received", "good", "ratio");
  }
  const char* separator = "{\"floods\": {";
  for (size_t i = 0; i < kKinds.size(); ++i) {
    if (i == kGood) continue;
    for (const unsigned percent : {50u, 90u}) {
      const Figures figures = bench.run(kKinds[i], percent);
      if (json) {
        std::printf("%s\"%s %u%%\": {\"received\": %.3f, \"good\": %.3f, \"ratio\": %.3f}",
                    separator, kKinds[i].name, percent, figures.received, figures.good,
                    figures.ratio());
      } else {
        std::printf("  %-32s %6u %% %9.3f %10.3f %7.3f\n", kKinds[i].name, percent,
                    figures.received, figures.good, figures.ratio());
      }
      separator = ", ";
    }
  }
  if (json) std::printf("}}\n");
}

}  // namespace
}  // namespace gmesp

int main(int argc, char** argv) { return gmesp::bench_main(argc, argv, gmesp::run); }
