// SPDX-License-Identifier: BSD-3-Clause
// One Reassembler behind the classifier: frames in, datagrams and drop reasons out.
#pragma once

#include <gtest/gtest.h>

#include <memory>
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

// Of a worker whose UEs are `ues`, each with an SA.
inline std::unique_ptr<Spd> peers(const std::vector<Address>& ues) {
  auto spd = std::make_unique<Spd>(ues.size(), 42);
  uint32_t index = 0;
  for (const Address& ue : ues) {
    const Selector selector{ue.is_v4() ? kPcscf4 : kPcscf6, ue, kPcscfPort, kUePort};
    const auto error = spd->install({SaIndex{index++},
                                     Spi{4096},
                                     KeySlot{},
                                     Suite::sha1_null,
                                     SequenceNumber{0},
                                     selector,
                                     {}});
    EXPECT_FALSE(error);
  }
  return spd;
}

class ReassemblyLab {
 public:
  static constexpr uint64_t kHz = 1'000'000;  // a tick is a microsecond

  explicit ReassemblyLab(const ReassemblyConfig& config = {}, size_t datagrams = 8,
                         const Spd* peers = nullptr)
      : pool_({.name = "datagrams", .packets = datagrams, .bytes = PacketPool::kMaxBytes}),
        reassembler_(config, kHz, 42, pool_, peers, drops_) {
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
    outcome.drops = drops_since(before, counters);
    return outcome;
  }
  Outcome wait(uint64_t microseconds) {
    const Counters before = counters;
    now_us += microseconds;
    reassembler_.expire(now_us);
    return {{}, drops_since(before, counters)};
  }
  void expect_conserved() const {
    EXPECT_EQ(packets_come(counters, received_), packets_gone(counters, sent_));
    EXPECT_EQ(live_packets(), counters.fragments_held);
  }

  Counters counters;
  uint64_t now_us = 77;
  PacketKind kind = PacketKind::not_ip;  // of the last packet that came out

 private:
  Drops drops_{counters};
  PacketPool pool_;
  uint64_t received_ = 0;
  uint64_t sent_ = 0;
  Reassembler reassembler_;
};

}  // namespace gmesp
