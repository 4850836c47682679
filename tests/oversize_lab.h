// SPDX-License-Identifier: BSD-3-Clause
// The last stage alone, on frames of any length: what it cuts and what it answers.
#pragma once

#include <vector>

#include "dataplane/classify.h"
#include "tests/naive_reassembly.h"
#include "tests/path_lab.h"

namespace gmesp {

constexpr uint64_t kHz = 1'000'000'000;

struct OversizeLab {
  explicit OversizeLab(size_t frames = 2000, uint64_t seed = 42,
                       Oversize::Identify identify = Oversize::Identify::all_but_ipv4_cleartext)
      : pools({"datagrams", 8, PacketPool::kMaxBytes}, {"frames", frames, 9700}),
        oversize(pools, identify, kHz, seed, drops) {}
  ~OversizeLab() { EXPECT_EQ(live_packets(), 0u); }

  // What becomes of one frame behind ESP; nothing: it was dropped.
  std::vector<Frame> fit(const Frame& frame, uint16_t mtu) {
    return run(frame, [&](Packet& p) { return oversize.fit_protected(p, mtu); });
  }
  std::vector<Frame> fit_cleartext(const Frame& frame, uint16_t mtu) {
    return run(frame, [&](Packet& p) { return oversize.fit_cleartext(p, mtu, now_tsc); });
  }
  std::vector<Frame> take_answers() {
    std::vector<Frame> frames;
    take_frames(oversize.answers(), frames);
    return frames;
  }

  PacketPools pools;
  Counters counters;
  Drops drops{counters};
  Oversize oversize;
  uint64_t now_tsc = kHz;

 private:
  template <typename Stage>
  std::vector<Frame> run(const Frame& frame, Stage&& stage) {
    Burst burst;
    burst.push(make_packet(frame));
    EXPECT_TRUE(classify(burst[0]).is_pass());
    burst.filter(drops, stage);
    std::vector<Frame> frames;
    do {
      take_frames(burst, frames);
    } while (oversize.next_fragments(burst));
    return frames;
  }
};

inline PacketBuilder ipv4_packet() { return PacketBuilder().ip(kPcscf4, kUe4); }
inline PacketBuilder ipv6_packet() { return PacketBuilder().ip(kPcscf6, kUe6); }

}  // namespace gmesp
