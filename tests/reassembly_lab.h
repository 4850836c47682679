// SPDX-License-Identifier: BSD-3-Clause
// One Reassembler behind the classifier: frames in, datagrams and drop reasons out.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "dataplane/classify.h"
#include "dataplane/reassembly.h"
#include "tests/fake_port.h"
#include "tests/fragments.h"
#include "tests/path_lab.h"

namespace gmesp {

inline const Outcome kHeld{};

inline PacketBuilder v4(size_t payload = 100) {
  return PacketBuilder().ip(kUe4, kPcscf4).fragment_bits(0).udp(kUePort, 5060).payload(payload);
}
inline PacketBuilder v6(size_t payload = 100) {
  return PacketBuilder().udp(kUePort, 5060).payload(payload);
}

class ReassemblyLab {
 public:
  static constexpr uint64_t kHz = 1'000'000;  // a tick is a microsecond

  explicit ReassemblyLab(const ReassemblyConfig& config = {}, size_t datagrams = 8)
      : pool_({.name = "datagrams", .packets = datagrams, .bytes = PacketPool::kMaxBytes}),
        reassembler_(config, kHz, 42, pool_, drops_) {
    reassembler_.populate();
  }
  ~ReassemblyLab() { expect_conserved(); }

  Outcome add(const Frame& frame) { return add(std::vector<Frame>{frame}); }
  Outcome add(const std::vector<Frame>& frames) {
    const Counters before = counters;
    Outcome outcome;
    for (const Frame& frame : frames) {
      Burst burst;
      burst.push(make_packet(frame));
      ++received_;
      burst.filter(
          drops_, [](Packet& p) { return classify(p); },
          [&](Packet& p) { return reassembler_.add(p, now_us); });
      for (Packet& packet : burst) {
        outcome.frames.push_back(frame_of(packet));
        kind = packet.kind;
        ++sent_;
      }
    }
    note_drops(before, outcome);
    return outcome;
  }
  Outcome wait(uint64_t microseconds) {
    const Counters before = counters;
    now_us += microseconds;
    reassembler_.expire(now_us);
    Outcome outcome;
    note_drops(before, outcome);
    return outcome;
  }
  // counters.h: a packet is counted once.
  void expect_conserved() const {
    uint64_t dropped = 0;
    for (const DropInfo& info : kDropInfo) dropped += counters[info.drop];
    EXPECT_EQ(received_ + counters.datagrams_joined,
              sent_ + dropped + counters.fragments_joined + counters.fragments_held);
    EXPECT_EQ(live_packets(), counters.fragments_held);
  }

  Counters counters;
  uint64_t now_us = 77;
  PacketKind kind = PacketKind::not_ip;  // of the last packet that came out

 private:
  void note_drops(const Counters& before, Outcome& outcome) const {
    for (const DropInfo& info : kDropInfo) {
      const uint64_t more = counters[info.drop] - before[info.drop];
      if (more != 0) outcome.drops[info.drop] = more;
    }
  }

  Drops drops_{counters};
  PacketPool pool_;
  uint64_t received_ = 0;
  uint64_t sent_ = 0;
  Reassembler reassembler_;
};

}  // namespace gmesp
