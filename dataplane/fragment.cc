// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/fragment.h"

#include <algorithm>
#include <cstring>

#include "dataplane/checksum.h"
#include "dataplane/classify.h"
#include "dataplane/icmp.h"

namespace gmesp {

namespace {

constexpr uint16_t kIpv4FragmentBits = kIpv4FragmentOffset | kIpv4MoreFragments;

const Ipv6FragmentHeader& fragment_header(const Packet& packet) {
  return packet.header<Ipv6FragmentHeader>(packet.payload_offset);
}

void read_ipv4(const Packet& packet, Fragment& fragment) {
  const auto& ip = packet.header<Ipv4Header>(packet.ip_offset);
  const uint16_t bits = ip.flags_and_fragment_offset.host();
  fragment.identification = ip.identification.host();
  fragment.start = static_cast<uint32_t>((bits & kIpv4FragmentOffset) * kFragmentUnitBytes);
  fragment.more = (bits & kIpv4MoreFragments) != 0;
  fragment.protocol = ip.protocol;
  fragment.offset = packet.payload_offset;
}

void read_ipv6(const Packet& packet, Fragment& fragment) {
  const Ipv6FragmentHeader& header = fragment_header(packet);
  const uint16_t bits = header.offset_and_more.host();
  fragment.identification = header.identification.host();
  fragment.start = bits & kIpv6FragmentOffset;
  fragment.more = (bits & kIpv6MoreFragments) != 0;
  fragment.protocol = header.next_header;
  fragment.offset = static_cast<uint16_t>(packet.payload_offset + sizeof(Ipv6FragmentHeader));
}

// Of the header at `at`, all that policy, ESP and the MSS clamp read.
size_t transport_header_bytes(const Packet& packet, Protocol protocol, size_t at, size_t end) {
  switch (protocol) {
    case Protocol::udp:
      return sizeof(UdpHeader);
    case Protocol::esp:
      return sizeof(EspHeader);
    case Protocol::icmp:
    case Protocol::icmpv6:
      return sizeof(IcmpHeader);
    case Protocol::tcp:
      if (at + sizeof(TcpHeader) > end) return sizeof(TcpHeader);
      return std::max<size_t>(sizeof(TcpHeader),
                              (packet.header<TcpHeader>(at).data_offset >> 4) * 4u);
    default:
      return 0;
  }
}

// RFC 7112 5: the whole header chain. `end`: of the IP packet.
Verdict check_first(const Packet& packet, const Fragment& fragment, size_t end) {
  Protocol protocol = fragment.protocol;
  size_t at = fragment.offset;
  for (int headers = 0; !packet.is_ipv4() && (protocol == Protocol::routing ||
                                              protocol == Protocol::destination_options);
       ++headers) {
    if (headers == kMaxExtensionHeaders) return Verdict::drop(Drop::malformed_extension_header);
    if (at + sizeof(Ipv6ExtensionHeader) > end) return Verdict::drop(Drop::bad_fragment);
    const auto& extension = packet.header<Ipv6ExtensionHeader>(at);
    protocol = extension.next_header;
    at += extension.bytes();
  }
  // RFC 8200 4.1: with the Fragment header gone it might stand first, where it may.
  if (protocol == Protocol::hop_by_hop && !packet.is_ipv4()) {
    return Verdict::drop(Drop::malformed_extension_header);
  }
  if (at > end || at + transport_header_bytes(packet, protocol, at, end) > end) {
    return Verdict::drop(Drop::bad_fragment);
  }
  if (protocol == Protocol::icmpv6 && !packet.is_ipv4() &&
      is_neighbour_discovery(packet.header<IcmpHeader>(at).type)) {
    return Verdict::drop(Drop::bad_fragment);
  }
  return Verdict::pass();
}

}  // namespace

Verdict read_fragment(const Packet& packet, Fragment& fragment) {
  const size_t end = end_of_ip(packet);
  if (packet.is_ipv4()) {
    // The whole datagram gets a checksum of our own: it must not make a broken header good.
    if (!ipv4_checksum_good(packet)) return Verdict::drop(Drop::bad_ip_checksum);
    read_ipv4(packet, fragment);
  } else {
    if (packet.payload_offset + sizeof(Ipv6FragmentHeader) > end) {
      return Verdict::drop(Drop::malformed_extension_header);
    }
    read_ipv6(packet, fragment);
  }
  const size_t bytes = end - fragment.offset;
  if (bytes == 0 || (fragment.more && bytes % kFragmentUnitBytes != 0))
    return Verdict::drop(Drop::bad_fragment);
  fragment.end = static_cast<uint32_t>(fragment.start + bytes);
  if (fragment.start == 0) return check_first(packet, fragment, end);
  // RFC 3128: what comes before it ends inside the TCP header.
  if (fragment.start == 8 && fragment.protocol == Protocol::tcp) {
    return Verdict::drop(Drop::bad_fragment);
  }
  return Verdict::pass();
}

void take_out_fragment_header(Packet& packet, const Fragment& fragment) {
  constexpr size_t kBytes = sizeof(Ipv6FragmentHeader);
  packet.length = static_cast<uint16_t>(end_of_ip(packet) - kBytes);
  packet.next_header() = fragment.protocol;
  std::memmove(packet.data + kBytes, packet.data, packet.payload_offset);
  packet.data += kBytes;
  auto& ip = packet.header<Ipv6Header>(packet.ip_offset);
  ip.payload_length = Be16(static_cast<uint16_t>(ip.payload_length.host() - kBytes));
}

void write_headers(const Packet& first, Packet& whole, bool congested) {
  std::memcpy(whole.data, first.data, first.payload_offset);
  whole.ip_offset = first.ip_offset;
  if (whole.is_ipv4()) {
    auto& ip = whole.header<Ipv4Header>(whole.ip_offset);
    const uint16_t bits = ip.flags_and_fragment_offset.host();
    ip.flags_and_fragment_offset = Be16(static_cast<uint16_t>(bits & ~kIpv4FragmentBits));
    ip.total_length = Be16(whole.ip_bytes());
    if (congested) ip.type_of_service |= kCongestionExperienced;
    write_ipv4_checksum(whole);
  } else {
    auto& ip = whole.header<Ipv6Header>(whole.ip_offset);
    whole.header<Protocol>(first.next_header_offset) = fragment_header(first).next_header;
    ip.payload_length = Be16(static_cast<uint16_t>(whole.ip_bytes() - sizeof(Ipv6Header)));
    const uint32_t ecn = congested ? kCongestionExperienced : 0;
    ip.version_class_flow = Be32(ip.version_class_flow.host() | ecn << 20);
  }
}

uint8_t ecn_of(const Packet& packet) {
  if (packet.is_ipv4()) return packet.header<Ipv4Header>(packet.ip_offset).type_of_service & 3;
  return packet.header<Ipv6Header>(packet.ip_offset).version_class_flow.host() >> 20 & 3;
}

}  // namespace gmesp
