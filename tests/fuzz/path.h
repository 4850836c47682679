// SPDX-License-Identifier: BSD-3-Clause
// What the fuzzers of the packet paths share: SAs of every suite and family, frames out of an
// input, and the sum that every burst has to keep.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "tests/path_lab.h"

namespace gmesp {

inline constexpr size_t kFuzzSas = 2 * kSuiteCount;

inline Address fuzz_address(bool v4, uint8_t last) {
  const uint8_t of_4[4] = {192, 0, 2, last};
  Address address = v4 ? Address::v4(of_4) : kUe6;
  address.bytes[15] = last;
  return address;
}
inline bool fuzz_is_v4(size_t sa) { return sa >= kSuiteCount; }
inline Address fuzz_ue(size_t sa) {
  return fuzz_address(fuzz_is_v4(sa), static_cast<uint8_t>(20 + sa));
}
inline Address fuzz_pcscf(size_t sa) { return fuzz_is_v4(sa) ? kPcscf4 : kPcscf6; }

// Each suite once per family; their selectors differ too.
inline TestSa fuzz_sa(size_t number, Direction direction) {
  TestSa sa;
  sa.suite = kSuites[number % kSuiteCount].suite;
  sa.spi = 0x1000 + static_cast<uint32_t>(number);
  const bool any_ue_port = number % kSuiteCount == 1;
  const uint16_t ue_port = any_ue_port ? Selector::kAnyPort : kUePort;
  if (number % kSuiteCount == 2) sa.selector.protocol = Protocol::udp;
  sa.selector.source = fuzz_ue(number);
  sa.selector.destination = fuzz_pcscf(number);
  sa.selector.source_port = ue_port;
  sa.selector.destination_port = kPcscfPort;
  if (number % kSuiteCount == 3) sa.alternate = {kUePort + 1, kPcscfPort + 1};
  if (direction == Direction::out) {
    std::swap(sa.selector.source, sa.selector.destination);
    std::swap(sa.selector.source_port, sa.selector.destination_port);
    std::swap(sa.alternate.source, sa.alternate.destination);
  }
  return sa;
}

// Of a shape: with IPv6, a Fragment header of a datagram in one piece.
inline constexpr uint8_t kAtomic = 32;

// How the headers in front look: up to two VLAN tags, IPv4 options, IPv6 extension headers, what
// Ethernet pads with.
inline PacketBuilder fuzz_headers(uint8_t shape, const Address& source,
                                  const Address& destination) {
  PacketBuilder builder;
  builder.ip(source, destination);
  if ((shape & 1) != 0) builder.vlan(7);
  if ((shape & 2) != 0) builder.vlan(0xe000);
  if (source.is_v4()) {
    builder.ip_options(Bytes((shape >> 2 & 7) * 4, 1));
    builder.fragment_bits((shape & 32) != 0 ? 0x4000 : 0);
  } else {
    if ((shape & 4) != 0) builder.hop_by_hop();
    if ((shape & 8) != 0) builder.routing();
    if ((shape & 16) != 0) builder.destination_options();
    if ((shape & kAtomic) != 0) builder.fragment_header();
  }
  if ((shape & 64) != 0) builder.frame_padding(6);
  builder.inside();
  return builder;
}

inline void check_conserved(const Counters& counters, uint64_t fed, uint64_t left) {
  CHECK(packets_come(counters, fed) == packets_gone(counters, left));
}

// One direction's path of a lab that lives as long as the process; forget() brings it back to how
// it was.
class FuzzPath {
 public:
  // flow: out, of packets from the P-CSCF to its UEs, which a UE's inbound path has too.
  FuzzPath(Direction direction, Direction flow, const PathConfig& config, const Policy& policy)
      : lab(policy, config), direction_(direction) {
    GTEST_FLAG_SET(break_on_failure, true);  // what PathLab expects is a CHECK here
    for (size_t i = 0; i < kFuzzSas; ++i) {
      const TestSa sa = fuzz_sa(i, flow);
      indices_[i] = direction == Direction::in ? lab.install_in(sa) : lab.install_out(sa);
    }
    all_.push_back(this);
  }

  // fed: what the burst held before. Looks at every packet that is left: check(packet), or, of
  // fragments and ICMP answers, at nothing but that they are there.
  template <typename Check>
  void run(Burst& burst, Check&& check) {
    fed_ += burst.size();
    if (direction_ == Direction::in) {
      lab.inbound().run(burst, lab.now_tsc);
    } else {
      lab.outbound().run(burst, lab.now_tsc);
    }
    for (Packet& packet : burst) check(packet);
    left_ += burst.size();
    burst.clear();
    Oversize& oversize =
        direction_ == Direction::in ? lab.inbound().oversize() : lab.outbound().oversize();
    while (oversize.next_fragments(burst)) left_ += clear(burst);
    left_ += clear(oversize.answers());
    check_conserved(lab.counters, fed_, left_);
    CHECK(live_packets() == held_by_all());
  }

  // What waits for more fragments goes, and every SA is as new.
  void forget() {
    lab.now_tsc += uint64_t{3600} * 1'000'000'000;
    for (int polls = 0; polls < 100; ++polls) {  // each ends so many and no more
      direction_ == Direction::in ? lab.inbound().expire(lab.now_tsc)
                                  : lab.outbound().expire(lab.now_tsc);
    }
    check_conserved(lab.counters, fed_, left_);
    CHECK(lab.counters.fragments_held == 0 && live_packets() == held_by_all());
    PathLab::take_events(lab.sad);
    PathLab::take_events(lab.spd);
    for (const SaIndex index : indices_) {
      if (direction_ == Direction::in) {
        lab.sad.sas()[index].window = ReplayWindow();
      } else {
        lab.spd.sas()[index].last_sent = {};
      }
    }
    lab.counters = {};
    fed_ = left_ = 0;
  }
  OutboundSa& outbound_sa(size_t number) { return lab.spd.sas()[indices_[number]]; }

  PathLab lab;

 private:
  static size_t clear(Burst& burst) {
    const size_t packets = burst.size();
    burst.clear();
    return packets;
  }

  static size_t held_by_all() {
    size_t sum = 0;
    for (const FuzzPath* path : all_) sum += path->lab.counters.fragments_held;
    return sum;
  }

  static inline std::vector<const FuzzPath*> all_;
  const Direction direction_;
  std::array<SaIndex, kFuzzSas> indices_{};
  uint64_t fed_ = 0;
  uint64_t left_ = 0;
};

}  // namespace gmesp
