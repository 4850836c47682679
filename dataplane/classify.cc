// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/classify.h"

namespace gmesp {

namespace {

constexpr int kMaxVlanTags = 2;

// Where an IPv6 chain stands: the byte that names the next header, and where that header starts.
struct ChainPosition {
  uint16_t next_header_offset;
  uint16_t offset;
};

// One step over an extension header that lies wholly before `end`.
bool skip_extension_header(const Packet& packet, size_t end, ChainPosition& position) {
  if (position.offset + sizeof(Ipv6ExtensionHeader) > end) return false;
  const auto& extension = packet.header<Ipv6ExtensionHeader>(position.offset);
  const size_t next = position.offset + extension.bytes();
  if (next > end) return false;
  position = {position.offset, static_cast<uint16_t>(next)};  // next_header is its first byte
  return true;
}

void set_payload(Packet& packet, const ChainPosition& position, PacketKind kind) {
  packet.next_header_offset = position.next_header_offset;
  packet.payload_offset = position.offset;
  packet.kind = kind;
}

enum class Extent : uint8_t { whole, cut_off };

// What an ICMP error quotes of a fragment may be anything.
Verdict fragment(Packet& packet, const ChainPosition& position, Extent extent) {
  if (extent == Extent::cut_off) return Verdict::drop(Drop::fragment);
  set_payload(packet, position, PacketKind::fragment);
  return Verdict::pass();
}

template <Extent kExtent>
Verdict classify_ipv4(Packet& packet) {
  const size_t available = packet.ip_bytes();
  if (available < sizeof(Ipv4Header)) return Verdict::drop(Drop::runt);
  const auto& ip = packet.header<Ipv4Header>(packet.ip_offset);
  const size_t header_bytes = ip.header_bytes();
  const size_t total = ip.total_length.host();
  if ((ip.version_and_ihl >> 4) != 4 || header_bytes < sizeof(Ipv4Header) || total < header_bytes) {
    return Verdict::drop(Drop::malformed_ip);
  }
  if (header_bytes > available || (total > available && kExtent == Extent::whole)) {
    return Verdict::drop(Drop::runt);
  }
  const ChainPosition position{
      static_cast<uint16_t>(packet.ip_offset + offsetof(Ipv4Header, protocol)),
      static_cast<uint16_t>(packet.ip_offset + header_bytes)};
  if ((ip.flags_and_fragment_offset.host() & (kIpv4MoreFragments | kIpv4FragmentOffset)) != 0) {
    return fragment(packet, position, kExtent);
  }
  const bool esp = ip.protocol == Protocol::esp;
  set_payload(packet, position, esp ? PacketKind::esp : PacketKind::cleartext);
  if (esp && kExtent == Extent::whole)
    packet.length = static_cast<uint16_t>(packet.ip_offset + total);
  return Verdict::pass();
}

// RFC 8200 4.1: hop-by-hop only first; routing; destination options before a routing header or
// last.
template <Extent kExtent>
Verdict walk_extension_headers(Packet& packet, size_t end) {
  ChainPosition here{static_cast<uint16_t>(packet.ip_offset + offsetof(Ipv6Header, next_header)),
                     static_cast<uint16_t>(packet.ip_offset + sizeof(Ipv6Header))};
  ChainPosition insertion = here;
  for (int headers = 0;; ++headers) {
    switch (packet.header<Protocol>(here.next_header_offset)) {
      case Protocol::fragment:
        return fragment(packet, here, kExtent);
      case Protocol::esp:
        set_payload(packet, here, PacketKind::esp);
        return Verdict::pass();
      case Protocol::hop_by_hop:
        if (headers != 0) return Verdict::drop(Drop::malformed_extension_header);
        [[fallthrough]];
      case Protocol::routing:
        if (headers == kMaxExtensionHeaders || !skip_extension_header(packet, end, here)) {
          return Verdict::drop(Drop::malformed_extension_header);
        }
        insertion = here;
        break;
      case Protocol::destination_options:
        if (headers == kMaxExtensionHeaders || !skip_extension_header(packet, end, here)) {
          return Verdict::drop(Drop::malformed_extension_header);
        }
        break;
      default:
        set_payload(packet, insertion, PacketKind::cleartext);
        return Verdict::pass();
    }
  }
}

template <Extent kExtent>
Verdict classify_ipv6(Packet& packet) {
  const size_t available = packet.ip_bytes();
  if (available < sizeof(Ipv6Header)) return Verdict::drop(Drop::runt);
  const auto& ip = packet.header<Ipv6Header>(packet.ip_offset);
  if ((ip.version_class_flow.host() >> 28) != 6) return Verdict::drop(Drop::malformed_ip);
  // On the wire these would pass for the IPv4 addresses they hold (RFC 4291 2.5.5.2).
  if (Address::v6(ip.source).is_v4() || Address::v6(ip.destination).is_v4()) {
    return Verdict::drop(Drop::malformed_ip);
  }
  const size_t total = sizeof(Ipv6Header) + ip.payload_length.host();
  if (kExtent == Extent::cut_off) return walk_extension_headers<kExtent>(packet, packet.length);
  if (total > available) return Verdict::drop(Drop::runt);
  const size_t end = packet.ip_offset + total;
  const Verdict verdict = walk_extension_headers<kExtent>(packet, end);
  if (packet.kind == PacketKind::esp) packet.length = static_cast<uint16_t>(end);
  return verdict;
}

}  // namespace

Verdict classify(Packet& packet) {
  if (packet.length < sizeof(EthernetHeader)) return Verdict::drop(Drop::runt);
  size_t offset = sizeof(EthernetHeader);
  uint16_t type = packet.header<EthernetHeader>(0).type.host();
  for (int tags = 0; tags < kMaxVlanTags && (type == static_cast<uint16_t>(EtherType::vlan) ||
                                             type == static_cast<uint16_t>(EtherType::qinq));
       ++tags) {
    if (packet.length < offset + sizeof(VlanTag)) return Verdict::drop(Drop::runt);
    type = packet.header<VlanTag>(offset).type.host();
    offset += sizeof(VlanTag);
  }
  packet.ip_offset = static_cast<uint8_t>(offset);
  packet.kind = PacketKind::not_ip;
  switch (EtherType{type}) {
    case EtherType::ipv4:
      return classify_ipv4<Extent::whole>(packet);
    case EtherType::ipv6:
      return classify_ipv6<Extent::whole>(packet);
    case EtherType::vlan:  // a third tag would hide what the frame carries
    case EtherType::qinq:
      return Verdict::drop(Drop::malformed_ip);
    case EtherType::arp:
    default:
      return Verdict::pass();
  }
}

Verdict classify_quoted(Packet& packet) {
  packet.ip_offset = 0;
  if (packet.length == 0) return Verdict::drop(Drop::runt);
  return packet.is_ipv4() ? classify_ipv4<Extent::cut_off>(packet)
                          : classify_ipv6<Extent::cut_off>(packet);
}

Address source_address(const Packet& packet) {
  if (packet.is_ipv4()) return Address::v4(packet.header<Ipv4Header>(packet.ip_offset).source);
  return Address::v6(packet.header<Ipv6Header>(packet.ip_offset).source);
}

Address destination_address(const Packet& packet) {
  if (packet.is_ipv4()) return Address::v4(packet.header<Ipv4Header>(packet.ip_offset).destination);
  return Address::v6(packet.header<Ipv6Header>(packet.ip_offset).destination);
}

Verdict walk_to_upper_layer(const Packet& packet, UpperLayer& upper) {
  ChainPosition here{packet.next_header_offset, packet.payload_offset};
  if (!packet.is_ipv4()) {
    for (int headers = 0;
         packet.header<Protocol>(here.next_header_offset) == Protocol::destination_options;
         ++headers) {
      if (headers == kMaxExtensionHeaders || !skip_extension_header(packet, packet.length, here)) {
        return Verdict::drop(Drop::malformed_extension_header);
      }
    }
    if (packet.header<Protocol>(here.next_header_offset) == Protocol::fragment) {
      return Verdict::drop(Drop::fragment);
    }
  }
  upper = {packet.header<Protocol>(here.next_header_offset), here.offset};
  return Verdict::pass();
}

}  // namespace gmesp
