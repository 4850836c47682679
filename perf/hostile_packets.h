// SPDX-License-Identifier: BSD-3-Clause
// Packets that the inbound path refuses, made of good ones of PathLoad (IPv6): for reject_bench and
// flood_bench.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "dataplane/checksum.h"
#include "dataplane/classify.h"
#include "dataplane/counters.h"
#include "dataplane/icmp.h"
#include "dataplane/wire.h"
#include "perf/path_load.h"

namespace gmesp {

inline constexpr size_t kIpOffset = sizeof(EthernetHeader);
inline constexpr size_t kEspOffset = kIpOffset + sizeof(Ipv6Header);

template <typename Header>
Header& header_at(PathLoad::Frame& frame, size_t offset) {
  return *reinterpret_cast<Header*>(frame.data() + offset);
}

inline void set_spi(PathLoad::Frame& frame, uint32_t spi) {
  header_at<EspHeader>(frame, kEspOffset).spi = Be32(spi);
}

// From the UE, in clear, to this port.
inline void make_cleartext(PathLoad::Frame& frame, uint16_t port) {
  auto& ip = header_at<Ipv6Header>(frame, kIpOffset);
  ip.next_header = Protocol::udp;
  std::swap(ip.source, ip.destination);
  const auto bytes = static_cast<uint16_t>(frame.size() - kEspOffset);
  header_at<UdpHeader>(frame, kEspOffset) = {Be16(5062), Be16(port), Be16(bytes), Be16(0)};
}

// The first 8 bytes of ESP as a Fragment header; of phones that each have a /64.
inline void make_fragment(PathLoad::Frame& frame, uint16_t offset_and_more) {
  static uint32_t identification = 0;
  frame.resize(frame.size() - (frame.size() - kEspOffset) % 8);
  auto& ip = header_at<Ipv6Header>(frame, kIpOffset);
  ip.next_header = Protocol::fragment;
  ip.payload_length = Be16(static_cast<uint16_t>(frame.size() - kEspOffset));
  std::memcpy(ip.source + 4, &identification, sizeof identification);
  header_at<Ipv6FragmentHeader>(frame, kEspOffset) = {Protocol::udp, 0, Be16(offset_and_more),
                                                      Be32(++identification)};
}

// As many as a worker holds of UEs with SAs: from then on each one that comes is the end of
// another.
inline constexpr size_t kHeldFragments = ReassemblyConfig{}.fragments / 2;

inline void make_spoofed(PathLoad::Frame& frame) {  // our own address as the source
  header_at<Ipv6Header>(frame, kIpOffset).next_header = Protocol::udp;
}

inline void make_martian(PathLoad::Frame& frame) {
  make_cleartext(frame, 5060);
  std::memset(header_at<Ipv6Header>(frame, kIpOffset).source, 0xff, 16);
}

// All from one UE, to the rule that grants each source a packet in minutes (path_load.cc).
inline void make_beyond_rate_of_source(PathLoad::Frame& frame) {
  make_cleartext(frame, 5060);
  auto& ip = header_at<Ipv6Header>(frame, kIpOffset);
  ip.next_header = Protocol::tcp;
  std::memset(ip.source + 4, 1, 12);
}

// What a router says of the frame's packet, which our side has sent: too big for 1280 bytes (RFC
// 4443 3.2), with a right checksum.
inline void make_too_big(PathLoad::Frame& frame) {
  constexpr size_t kErrorBytes = sizeof(Ipv6Header) + sizeof(IcmpHeader);
  frame.insert(frame.begin() + kIpOffset, kErrorBytes, 0);
  auto& ip = header_at<Ipv6Header>(frame, kIpOffset);
  const auto& quoted = header_at<Ipv6Header>(frame, kIpOffset + kErrorBytes);
  const auto bytes = static_cast<uint16_t>(frame.size() - kEspOffset);
  ip.version_class_flow = Be32(0x60000000);
  ip.payload_length = Be16(bytes);
  ip.next_header = Protocol::icmpv6;
  std::memcpy(ip.source, quoted.destination, sizeof ip.source);
  ip.source[15] ^= 0xff;
  std::memcpy(ip.destination, quoted.source, sizeof ip.destination);
  auto& icmp = header_at<IcmpHeader>(frame, kEspOffset);
  icmp.type = kIcmpv6TooBig;
  icmp.rest = Be32(kIpv6LeastMtu);
  Packet packet;
  packet.data = frame.data();
  packet.length = static_cast<uint16_t>(frame.size());
  classify(packet);
  icmp.checksum = Be16(icmp_checksum(packet, kEspOffset));
}

enum class From : uint8_t { new_ring, good_ring, old_ring };

struct Kind {
  const char* name;
  Drop drop;
  From from;  // what is spoiled; an SA's first packet in a while must meet a cold SA
  void (*spoil)(PathLoad::Frame&);
};

// In this order: a packet with a bad ICV leaves its number free, and only what came before can be
// a replay.
inline constexpr size_t kGood = 0;
inline constexpr size_t kBadIcv = 1;
inline constexpr size_t kLoneFragment = 7;
inline constexpr std::array<Kind, 16> kKinds = {{
    {"good", Drop::kCount, From::good_ring, [](PathLoad::Frame&) {}},
    {"bad_icv", Drop::icv_mismatch, From::new_ring, [](PathLoad::Frame& f) { f.back() ^= 1; }},
    {"replayed", Drop::replayed, From::old_ring, [](PathLoad::Frame&) {}},
    {"unknown_spi", Drop::unknown_spi, From::good_ring,
     [](PathLoad::Frame& f) {
       const uint32_t spi = header_at<EspHeader>(f, kEspOffset).spi.host();
       set_spi(f, spi * 2654435761u | 0x80000000);  // any number; ours are below (INT-23)
     }},
    {"reserved_spi", Drop::reserved_spi, From::good_ring,
     [](PathLoad::Frame& f) { set_spi(f, 255); }},
    {"runt", Drop::runt, From::good_ring,
     [](PathLoad::Frame& f) { f.resize(kIpOffset + sizeof(Ipv6Header) / 2); }},
    {"fragment", Drop::bad_fragment, From::good_ring,  // that cannot be, by itself
     [](PathLoad::Frame& f) {
       make_fragment(f, 1024 | 1);
       header_at<Ipv6Header>(f, kIpOffset).payload_length = Be16(uint16_t{201});
     }},
    // Held until as many others have come: no refusal at once, the way in and the way out.
    {"lone_fragment", Drop::fragment_evicted, From::good_ring,
     [](PathLoad::Frame& f) { make_fragment(f, 1024 | 1); }},
    {"cleartext_to_protected_port", Drop::cleartext_on_protected_port, From::good_ring,
     [](PathLoad::Frame& f) { make_cleartext(f, 5063); }},
    {"cleartext_without_rule", Drop::policy_default, From::good_ring,
     [](PathLoad::Frame& f) { make_cleartext(f, 9999); }},
    {"spoofed_source", Drop::spoofed_source, From::good_ring, make_spoofed},
    {"martian_source", Drop::martian_source, From::good_ring, make_martian},
    {"rate_of_rule", Drop::rate_of_rule, From::good_ring,
     [](PathLoad::Frame& f) { make_cleartext(f, 5060); }},
    {"rate_of_source", Drop::rate_of_source, From::good_ring, make_beyond_rate_of_source},
    // About a packet to a live UE, but not of its SA: as near to a lesson as a stranger comes. All
    // but the first few are beyond the rate of look-ups (PathMtu).
    {"too_big_of_unknown_spi", Drop::icmp_about_esp, From::good_ring,
     [](PathLoad::Frame& f) {
       set_spi(f, header_at<EspHeader>(f, kEspOffset).spi.host() ^ 0x80000000);
       make_too_big(f);
     }},
    {"icmp_error_without_rule", Drop::policy_default, From::good_ring,
     [](PathLoad::Frame& f) {
       header_at<Ipv6Header>(f, kIpOffset).next_header = Protocol::udp;
       const auto bytes = static_cast<uint16_t>(f.size() - kEspOffset);
       header_at<UdpHeader>(f, kEspOffset) = {Be16(5060), Be16(5060), Be16(bytes), Be16(0)};
       make_too_big(f);
     }},
}};

}  // namespace gmesp
