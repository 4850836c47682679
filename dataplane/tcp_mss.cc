// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/tcp_mss.h"

#include <algorithm>

#include "dataplane/checksum.h"
#include "dataplane/classify.h"
#include "dataplane/esp.h"
#include "dataplane/options.h"

namespace gmesp {

namespace {

constexpr uint8_t kSyn = 0x02;
constexpr uint8_t kOptionMss = 2;
constexpr uint8_t kOptionMssBytes = 4;

constexpr uint16_t swap_bytes(uint16_t value) {
  return static_cast<uint16_t>(value << 8 | value >> 8);
}

void lower(TcpHeader& tcp, Be16& value, bool at_odd_place, uint16_t mss) {
  const uint16_t before = value.host();
  if (before <= mss) return;
  value = Be16(mss);
  // An option at an odd place spans two checksum words: its bytes count swapped.
  tcp.checksum = updated_checksum(tcp.checksum, at_odd_place ? swap_bytes(before) : before,
                                  at_odd_place ? swap_bytes(mss) : mss);
}

// Where the TCP header of a SYN starts; 0: it is none.
uint16_t find_syn(const Packet& packet) {
  UpperLayer upper;
  if (!find_upper_layer(packet, upper).is_pass() || upper.protocol != Protocol::tcp ||
      upper.offset + sizeof(TcpHeader) > packet.length) {
    return 0;
  }
  return (packet.header<TcpHeader>(upper.offset).flags & kSyn) != 0 ? upper.offset : uint16_t{0};
}

}  // namespace

uint16_t largest_mss(const SuiteInfo& info, bool ipv4, uint16_t mtu) {
  const size_t ip_header = ipv4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
  if (mtu < ip_header) return 0;
  const uint16_t payload = esp_payload_capacity(info, mtu - ip_header);
  return payload > sizeof(TcpHeader) ? static_cast<uint16_t>(payload - sizeof(TcpHeader)) : 0;
}

bool is_tcp_syn(const Packet& packet) { return find_syn(packet) != 0; }

void clamp_mss(Packet& packet, uint16_t mss) {
  const uint16_t offset = find_syn(packet);
  if (offset == 0) return;
  auto& tcp = packet.header<TcpHeader>(offset);
  const size_t header_bytes =
      std::min<size_t>((tcp.data_offset >> 4) * 4u, size_t{packet.length} - offset);
  if (header_bytes < sizeof(TcpHeader)) return;
  const size_t options = offset + sizeof(TcpHeader);
  // Every MSS option: of several, some stacks take the first and some the last.
  for_each_option(packet.data + options, header_bytes - sizeof(TcpHeader),
                  [&](size_t at, size_t n) {
                    if (packet.data[options + at] != kOptionMss || n != kOptionMssBytes) return;
                    lower(tcp, packet.header<Be16>(options + at + 2), at % 2 != 0, mss);
                  });
}

}  // namespace gmesp
