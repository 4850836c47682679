// SPDX-License-Identifier: BSD-3-Clause
// Both packet paths of one worker without the worker: frames in, frames and drop reasons out.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <memory>
#include <ostream>
#include <vector>

#include "dataplane/inbound.h"
#include "dataplane/outbound.h"
#include "tests/fake_port.h"
#include "tests/packet_builder.h"

namespace gmesp {

// What became of the frames of one burst.
struct Outcome {
  std::vector<Frame> frames;
  std::map<Drop, uint64_t> drops;
  std::vector<Frame> answers = {};  // ICMP, back to where the frames came from

  friend bool operator==(const Outcome&, const Outcome&) = default;
  friend void PrintTo(const Outcome& outcome, std::ostream* stream) {
    for (const auto& [drop, count] : outcome.drops) {
      *stream << count << " x " << drop_info(drop).name << "; ";
    }
    for (const Frame& frame : outcome.frames) *stream << testing::PrintToString(frame) << "; ";
    for (const Frame& frame : outcome.answers) {
      *stream << "answer " << testing::PrintToString(frame) << "; ";
    }
  }
};

inline Outcome passed(const Frame& frame) { return {{frame}, {}, {}}; }
inline Outcome passed(const PacketBuilder& builder) { return passed(builder.frame()); }
inline Outcome dropped(Drop reason, uint64_t count = 1) { return {{}, {{reason, count}}, {}}; }

// counters.h: a packet is counted once, and so is what it becomes. What came is what went.
inline uint64_t packets_come(const Counters& counters, uint64_t received) {
  return received + counters.datagrams_joined + counters.fragments_made + counters.answers_made;
}
inline uint64_t packets_gone(const Counters& counters, uint64_t sent) {
  return sent + counters.dropped() + counters.fragments_joined + counters.fragments_held +
         counters.packets_fragmented;
}

inline std::map<Drop, uint64_t> drops_since(const Counters& before, const Counters& now) {
  std::map<Drop, uint64_t> drops;
  for (const DropInfo& info : kDropInfo) {
    if (now[info.drop] != before[info.drop]) drops[info.drop] = now[info.drop] - before[info.drop];
  }
  return drops;
}

// Behind those of `frames`; the burst is empty then.
inline void take_frames(Burst& burst, std::vector<Frame>& frames) {
  for (const Packet& packet : burst) frames.push_back(frame_of(packet));
  burst.clear();
}

// Role pcscf with one protected port; everything else in clear is allowed.
inline Policy open_policy() {
  Policy policy;
  policy.protected_ports.set(kPcscfPort);
  policy.rules = {{"all", true, true, Match::any, {}, {}, true}};
  return policy;
}

class PathLab {
 public:
  explicit PathLab(const Policy& policy = open_policy(), const PathConfig& config = {},
                   InstructionSet instruction_set = InstructionSet::best)
      : policy_(policy),
        keys_(kCapacity, instruction_set),
        multi_buffer_(instruction_set),
        config_(config),
        inbound_(context(), sad),
        outbound_(context()) {}
  ~PathLab() {
    EXPECT_EQ(live_packets(), counters.fragments_held) << "packets neither forwarded nor freed";
  }

  SaIndex install_in(const TestSa& sa, uint16_t window = 64, uint32_t seen = 0) {
    return install_in(sa, sa.keys(), window, seen);
  }
  SaIndex install_in(const TestSa& sa, const EspKeys& keys, uint16_t window, uint32_t seen) {
    const SaIndex index{next_index_++};
    const size_t words = ReplayWindow::outside_words(window);
    if (words != 0) windows_.push_back(std::make_unique<uint64_t[]>(words));
    const KeySlot slot = keys_.store(sa.suite, Direction::in, keys).value();
    const auto error =
        sad.install({index, Spi{sa.spi}, slot, sa.suite, window, SequenceNumber{seen},
                     words != 0 ? windows_.back().get() : nullptr, sa.selector, sa.alternate});
    EXPECT_FALSE(error) << "install";
    ports.add(sa.selector.destination_port);
    return index;
  }
  SaIndex install_out(const TestSa& sa, uint32_t last_sent = 0) {
    return install_out(sa, sa.keys(), last_sent);
  }
  SaIndex install_out(const TestSa& sa, const EspKeys& keys, uint32_t last_sent) {
    const SaIndex index{next_index_++};
    const KeySlot slot = keys_.store(sa.suite, Direction::out, keys).value();
    const auto error = spd.install(
        {index, Spi{sa.spi}, slot, sa.suite, SequenceNumber{last_sent}, sa.selector, sa.alternate});
    EXPECT_FALSE(error) << "install";
    ports.add(sa.selector.source_port);
    return index;
  }

  // At most one burst of frames, from the access port or from the host.
  Outcome in(const std::vector<Frame>& frames) {
    return run(frames, [&](Burst& burst) { inbound_.run(burst, now_tsc); });
  }
  Outcome out(const std::vector<Frame>& frames) {
    return run(frames, [&](Burst& burst) { outbound_.run(burst, now_tsc); });
  }
  Outcome in(const Frame& frame) { return in(std::vector<Frame>{frame}); }
  Outcome out(const Frame& frame) { return out(std::vector<Frame>{frame}); }
  // A frame of which the host port's device has said something.
  Outcome out(const Frame& frame, const DeviceFindings& findings) {
    return run(
        {frame}, [&](Burst& burst) { outbound_.run(burst, now_tsc); }, findings);
  }
  // Time passes, and a poll comes.
  Outcome expire(uint64_t tsc) {
    now_tsc += tsc;
    return run({}, [&](Burst&) {
      inbound_.expire(now_tsc);
      outbound_.expire(now_tsc);
    });
  }
  Outcome in(const PacketBuilder& builder) { return in(builder.frame()); }
  Outcome out(const PacketBuilder& builder) { return out(builder.frame()); }

  // From the next packet on; outlives the lab or the next one used.
  void use(const Policy& policy) { cleartext_.use(policy); }
  // For those that bring bursts of their own and look at them themselves (tests/fuzz).
  Inbound& inbound() { return inbound_; }
  Outbound& outbound() { return outbound_; }

  // The events that wait on SAs of a direction, taken.
  template <typename Table>
  static std::vector<SaEventKind> take_events(Table& table) {
    std::vector<SaEventKind> kinds;
    table.sas().deliver_events([&](SaIndex, SaEventKind kind) {
      kinds.push_back(kind);
      return true;
    });
    return kinds;
  }

 private:
  static constexpr size_t kCapacity = 256;

  Policy policy_;
  KeyStore keys_;
  SteeringMesh mesh_{1};
  MultiBuffer multi_buffer_;
  std::vector<std::unique_ptr<uint64_t[]>> windows_;
  uint32_t next_index_ = 0;

 public:
  static constexpr uint64_t kTscHz = 1'000'000'000;
  uint64_t now_tsc = 1'000'000;
  Counters counters;
  Sad sad{kCapacity};
  Spd spd{kCapacity, 42};
  ProtectedPorts ports{policy_, mesh_.learned_ports(), kTscHz};
  PacketPools pools{{"datagrams", 64, PacketPool::kMaxBytes}, {"frames", 256, 1600}};

 private:
  template <typename Path>
  Outcome run(const std::vector<Frame>& frames, Path&& path, const DeviceFindings& findings = {}) {
    const Counters before = counters;
    Burst burst;
    for (const Frame& frame : frames) burst.push(make_packet(frame, findings));
    path(burst);
    Outcome outcome;
    take_frames(burst, outcome.frames);
    for (Oversize* oversize : {&inbound_.oversize(), &outbound_.oversize()}) {
      while (oversize->next_fragments(burst)) take_frames(burst, outcome.frames);
      take_frames(oversize->answers(), outcome.answers);
    }
    outcome.drops = drops_since(before, counters);
    return outcome;
  }

  Steering steering_{1};
  PathContext context() {
    return {config_, keys_, multi_buffer_, cleartext_, spd, steerer_, pools, drops_, 42};
  }

  const PathConfig config_;
  Drops drops_{counters};
  Steerer steerer_{0, steering_, mesh_, drops_, config_.tsc_hz};
  RateLimits limits_{kTscHz, 1, 0x243f6a8885a308d3};
  Cleartext cleartext_{policy_, ports, spd, steerer_, limits_, counters};
  Inbound inbound_;
  Outbound outbound_;
};

}  // namespace gmesp
