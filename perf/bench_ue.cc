// SPDX-License-Identifier: BSD-3-Clause
#include "perf/bench_ue.h"

#include <array>
#include <cstring>
#include <span>

#include "dataplane/wire.h"

namespace gmesp {
namespace {

constexpr uint32_t kFirstSpi = 0x10000;
// 2001:db8::/64 with the UE's number behind it; 2001:db8:ffff::1.
constexpr Address kFirstUe{{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
constexpr Address kPcscf{{0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

Address ue_address(uint32_t ue) {
  Address address = kFirstUe;
  for (size_t i = 0; i < 3; ++i) address.bytes[5 + i] = static_cast<uint8_t>(ue >> (16 - 8 * i));
  return address;
}

Key bench_key(size_t bytes, Direction direction, uint32_t ue) {
  std::array<uint8_t, Key::kMaxBytes> key;
  uint32_t state = ue * 2 + static_cast<uint32_t>(direction) + 1;
  for (size_t i = 0; i < bytes; ++i) {
    state = state * 1664525 + 1013904223;
    key[i] = static_cast<uint8_t>(state >> 24);
  }
  return Key(std::span(key).first(bytes));
}

}  // namespace

NewSa bench_sa(Direction direction, uint32_t ue, Suite suite) {
  NewSa sa;
  sa.direction = direction;
  sa.spi = Spi{kFirstSpi + ue};
  const bool in = direction == Direction::in;
  sa.selector.source = in ? ue_address(ue) : kPcscf;
  sa.selector.destination = in ? kPcscf : ue_address(ue);
  sa.selector.source_port = in ? kBenchUePort : kBenchPcscfPort;
  sa.selector.destination_port = in ? kBenchPcscfPort : kBenchUePort;
  sa.suite = suite;
  const SuiteInfo& info = suite_info(suite);
  sa.keys.authentication = bench_key(info.auth_key_bytes, direction, ue);
  sa.keys.encryption = bench_key(info.enc_key_bytes, direction, ue);
  sa.keys.salt = bench_key(info.salt_bytes, direction, ue);
  return sa;
}

SaName bench_sa_name(Direction direction, uint32_t ue) {
  return {direction, Spi{kFirstSpi + ue}, direction == Direction::in ? kPcscf : ue_address(ue)};
}

std::vector<uint8_t> bench_frame(const Selector& selector, size_t ip_bytes) {
  std::vector<uint8_t> frame(sizeof(EthernetHeader) + ip_bytes, 0x5a);
  EthernetHeader ethernet{};
  ethernet.type = Be16(static_cast<uint16_t>(EtherType::ipv6));
  Ipv6Header ip{};
  const auto content_bytes = static_cast<uint16_t>(ip_bytes - sizeof ip);
  ip.version_class_flow = Be32(0x60000000);
  ip.payload_length = Be16(content_bytes);
  ip.next_header = Protocol::udp;
  ip.hop_limit = 64;
  std::memcpy(ip.source, &selector.source, sizeof ip.source);
  std::memcpy(ip.destination, &selector.destination, sizeof ip.destination);
  const UdpHeader udp{Be16(selector.source_port), Be16(selector.destination_port),
                      Be16(content_bytes), Be16(0)};
  uint8_t* at = frame.data();
  std::memcpy(at, &ethernet, sizeof ethernet);
  std::memcpy(at += sizeof ethernet, &ip, sizeof ip);
  std::memcpy(at += sizeof ip, &udp, sizeof udp);
  return frame;
}

}  // namespace gmesp
