// SPDX-License-Identifier: BSD-3-Clause
// What it costs to refuse a packet: TSC cycles through the inbound path, from receive to the buffer
// back in its pool, beside a good AES-CBC + HMAC-SHA-1 packet of 256 bytes. The kinds take turns,
// so that a disturbance meets all of them. Under a flood of refused packets this is what is left
// of a worker.
#include <x86intrin.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <deque>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/dpdk/eal.h"
#include "dataplane/wire.h"
#include "perf/bench_main.h"
#include "perf/dpdk/arriving_packets.h"
#include "perf/hostile_packets.h"
#include "perf/path_load.h"

namespace gmesp {
namespace {

using Frame = PathLoad::Frame;

constexpr size_t kIpBytes = 256;
constexpr size_t kRings = 300;
// A replay comes later than its original: with a million SAs, when the caches have forgotten the
// SA (131,000 others, 64 MB, came in between).
constexpr size_t kReplayLag = 128;  // rings
constexpr double kLimit = 0.25;     // of a good packet

// Every packet of a ring has the same fate, or the figure is of something else.
void check(const Kind& kind, const Counters& before, const Counters& after) {
  const uint64_t count = kind.drop == Drop::kCount ? after.protected_in - before.protected_in
                                                   : after[kind.drop] - before[kind.drop];
  if (count != PathLoad::kRing) throw std::logic_error(std::string(kind.name) + " went elsewhere");
}

using Ring = std::vector<Frame>;
using Cycles = std::array<double, kKinds.size()>;  // a packet, by kind

class RejectBench {
 public:
  explicit RejectBench(size_t sas) : load_({Suite::sha1_aes_cbc, false, sas}) {
    load_.set_traffic(kIpBytes, sas);
  }

  // The first quartile of the rings.
  Cycles run() {
    hold_fragments();
    for (const Kind& kind : kKinds) {
      if (kind.drop != Drop::rate_of_rule && kind.drop != Drop::rate_of_source) continue;
      arrive(kind, load_.make_esp());  // the one that passes
      time_inbound();
    }
    for (size_t i = 0; i < kReplayLag; ++i) {
      rings_.push_back(load_.make_esp());
      time(kKinds[kGood], rings_.back());
    }
    std::array<std::vector<uint64_t>, kKinds.size()> cycles;
    for (size_t ring = 0; ring < kRings; ++ring) {
      rings_.push_back(load_.make_esp());
      for (size_t i = 0; i < kKinds.size(); ++i) {
        cycles[i].push_back(time(kKinds[i], ring_for(kKinds[i].from)));
      }
      rings_.pop_front();
    }
    Cycles quartiles{};
    for (size_t i = 0; i < kKinds.size(); ++i) {
      std::nth_element(cycles[i].begin(), cycles[i].begin() + kRings / 4, cycles[i].end());
      quartiles[i] = static_cast<double>(cycles[i][kRings / 4]) / PathLoad::kRing;
    }
    return quartiles;
  }

 private:
  // As many as are kept: from now on each one that comes is the end of another.
  void hold_fragments() {
    for (size_t held = 0; held < kHeldFragments; held += PathLoad::kRing) {
      for (Frame& frame : load_.make_esp()) {
        make_fragment(frame, 1024 | 1);
        queue_.arrive(frame);
      }
      time_inbound();
    }
    if (load_.counters().fragments_held != kHeldFragments) throw std::logic_error("not held");
  }

  Ring ring_for(From from) {
    if (from == From::new_ring) return load_.make_esp();
    return from == From::old_ring ? rings_.front() : rings_.back();
  }

  void arrive(const Kind& kind, Ring ring) {
    for (Frame& frame : ring) {
      kind.spoil(frame);
      queue_.arrive(frame);
    }
  }

  uint64_t time(const Kind& kind, Ring ring) {
    arrive(kind, std::move(ring));
    const Counters before = load_.counters();
    const uint64_t cycles = time_inbound();
    check(kind, before, load_.counters());
    return cycles;
  }

  uint64_t time_inbound() {
    const uint64_t begin = __rdtsc();
    for (size_t i = 0; i < PathLoad::kRing / Burst::kCapacity; ++i) {
      queue_.receive(burst_);
      load_.inbound().run(burst_, begin);
      ArrivingPackets::transmit(burst_);
    }
    return __rdtsc() - begin;
  }

  ArrivingPackets queue_{kHeldFragments + PathLoad::kRing, 1600};
  PathLoad load_;  // holds fragments of that queue
  Burst burst_;
  std::deque<Ring> rings_;  // good ones, the oldest first
};

void print_json(const char* separator, size_t sas, const Cycles& cycles) {
  std::printf("%s\"%zu\": {\"good_cycles\": %.1f, \"kinds\": {", separator, sas, cycles[kGood]);
  separator = "";
  for (size_t i = 0; i < kKinds.size(); ++i) {
    if (i == kGood) continue;
    std::printf("%s\"%s\": {\"cycles\": %.1f, \"share\": %.3f}", separator, kKinds[i].name,
                cycles[i], cycles[i] / cycles[kGood]);
    separator = ", ";
  }
  std::printf("}}");
}

void print_table(size_t sas, const Cycles& cycles) {
  std::printf("%zu SAs\n", sas);
  for (size_t i = 0; i < kKinds.size(); ++i) {
    const double share = cycles[i] / cycles[kGood];
    std::printf("  %-28s %6.0f %6.3f%s\n", kKinds[i].name, cycles[i], share,
                i != kGood && i != kBadIcv && i != kLoneFragment && share > kLimit
                    ? "  over the limit"
                    : "");
  }
}

void run(bool json) {
  EalConfig config;
  config.program = "reject_bench";
  config.memory_mb = 48;
  const Eal eal(config);
  if (!json)
    std::printf("TSC cycles a packet, and as a share of a good one (limit %.2f)\n", kLimit);
  const char* separator = "{";
  for (const size_t sas : {size_t{10'000}, size_t{1'000'000}}) {
    const Cycles cycles = RejectBench(sas).run();
    json ? print_json(separator, sas, cycles) : print_table(sas, cycles);
    separator = ", ";
  }
  if (json) std::printf("}\n");
}

}  // namespace
}  // namespace gmesp

int main(int argc, char** argv) { return gmesp::bench_main(argc, argv, gmesp::run); }
