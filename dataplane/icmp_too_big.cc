// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/icmp_too_big.h"

#include <algorithm>
#include <cstring>

#include "dataplane/checksum.h"
#include "dataplane/classify.h"
#include "dataplane/icmp.h"

namespace gmesp {

namespace {

constexpr uint8_t kNetworkControl = 0xc0;  // precedence of ICMP errors (RFC 1812 4.3.2.5)
constexpr uint8_t kHops = 64;

bool is_group(const uint8_t* mac) { return (mac[0] & 1) != 0; }

size_t quoted_bytes(const Packet& about) {
  const size_t ip_bytes = end_of_ip(about) - about.ip_offset;
  const size_t room = about.is_ipv4() ? kIpv4LeastReceived - sizeof(Ipv4Header) - sizeof(IcmpHeader)
                                      : kIpv6LeastMtu - sizeof(Ipv6Header) - sizeof(IcmpHeader);
  return std::min(ip_bytes, room);
}

void write_ipv4(const Ipv4Header& about, Ipv4Header& ip, uint16_t bytes) {
  ip = Ipv4Header{};
  ip.version_and_ihl = 0x45;
  ip.type_of_service = kNetworkControl;
  ip.total_length = Be16(bytes);
  ip.flags_and_fragment_offset =
      Be16(kIpv4DontFragment);  // so it needs no identification (RFC 6864)
  ip.time_to_live = kHops;
  ip.protocol = Protocol::icmp;
  std::memcpy(ip.source, about.destination, sizeof ip.source);
  std::memcpy(ip.destination, about.source, sizeof ip.destination);
  ip.header_checksum = Be16(internet_checksum(reinterpret_cast<const uint8_t*>(&ip), sizeof ip));
}

void write_ipv6(const Ipv6Header& about, Ipv6Header& ip, uint16_t bytes) {
  ip.version_class_flow = Be32(6u << 28);
  ip.payload_length = Be16(static_cast<uint16_t>(bytes - sizeof(Ipv6Header)));
  ip.next_header = Protocol::icmpv6;
  ip.hop_limit = kHops;
  std::memcpy(ip.source, about.destination, sizeof ip.source);
  std::memcpy(ip.destination, about.source, sizeof ip.destination);
}

}  // namespace

bool may_be_answered(const Packet& packet) {
  const auto& ethernet = packet.header<EthernetHeader>(0);
  if (is_group(ethernet.destination) || is_group(ethernet.source)) return false;
  if (source_address(packet).is_martian() || destination_address(packet).is_martian()) return false;
  UpperLayer upper;
  return find_upper_layer(packet, upper).is_pass() && !is_icmp_error(packet, upper);
}

size_t too_big_frame_bytes(const Packet& about) {
  const size_t ip_bytes = about.is_ipv4() ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
  return about.ip_offset + ip_bytes + sizeof(IcmpHeader) + quoted_bytes(about);
}

void write_too_big(const Packet& about, uint16_t mtu, Packet& answer) {
  std::memcpy(answer.data, about.data, about.ip_offset);
  auto& ethernet = answer.header<EthernetHeader>(0);
  std::swap(ethernet.destination, ethernet.source);

  const bool ipv4 = about.is_ipv4();
  const size_t ip = about.ip_offset;
  answer.ip_offset = about.ip_offset;
  answer.kind = PacketKind::cleartext;
  answer.payload_offset =
      static_cast<uint16_t>(ip + (ipv4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header)));
  answer.next_header_offset = static_cast<uint16_t>(
      ip + (ipv4 ? offsetof(Ipv4Header, protocol) : offsetof(Ipv6Header, next_header)));
  if (ipv4) {
    write_ipv4(about.header<Ipv4Header>(ip), answer.header<Ipv4Header>(ip), answer.ip_bytes());
  } else {
    write_ipv6(about.header<Ipv6Header>(ip), answer.header<Ipv6Header>(ip), answer.ip_bytes());
  }

  auto& icmp = answer.header<IcmpHeader>(answer.payload_offset);
  icmp.type = ipv4 ? kIcmpUnreachable : kIcmpv6TooBig;
  icmp.code = ipv4 ? kIcmpFragmentationNeeded : uint8_t{0};
  icmp.checksum = Be16(0);
  icmp.rest = Be32(mtu);
  std::memcpy(answer.payload() + sizeof icmp, about.data + ip, quoted_bytes(about));
  icmp.checksum = Be16(icmp_checksum(answer, answer.payload_offset));
}

}  // namespace gmesp
