// SPDX-License-Identifier: BSD-3-Clause
// What a frame is: a walk over Ethernet, VLAN tags, IP and IPv6 extension headers that trusts no
// length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/packet.h"
#include "dataplane/selector.h"

namespace gmesp {

// A longer chain of IPv6 is malformed_extension_header.
constexpr int kMaxExtensionHeaders = 8;

// Finds the IP header and what is behind it; fills ip_offset, next_header_offset, payload_offset
// and kind. For ESP the payload starts at the SPI and the frame is cut to the IP packet (Ethernet
// pads short frames). For other IP packets the payload starts where an ESP header would go (RFC
// 4303 3.1.1): behind IPv4 options, or behind hop-by-hop and routing headers; destination options
// that follow them stay inside ESP. Of a fragment the payload starts behind the IPv4 header, or
// at the Fragment header. Drops: runt, malformed_ip, malformed_extension_header.
Verdict classify(Packet& packet);

// The same, straight from a port: counts the bytes of IP packets.
inline Verdict classify_received(Packet& packet, PortCounters& port) {
  const Verdict verdict = classify(packet);
  if (verdict.is_pass() && packet.kind != PacketKind::not_ip) port.rx_bytes += packet.ip_bytes();
  return verdict;
}

// The same for a packet that an ICMP error quotes: it begins with its IP header and may be cut off
// anywhere.
Verdict classify_quoted(Packet& packet);

// Where the IP packet says that it ends, from the start of the frame.
inline size_t end_of_ip(const Packet& packet) {
  const size_t ip_bytes =
      packet.is_ipv4()
          ? packet.header<Ipv4Header>(packet.ip_offset).total_length.host()
          : sizeof(Ipv6Header) + packet.header<Ipv6Header>(packet.ip_offset).payload_length.host();
  return packet.ip_offset + ip_bytes;
}

// The IP addresses of a packet that classify() has passed and that is not `not_ip`.
Address source_address(const Packet& packet);
Address destination_address(const Packet& packet);

// The transport header of a packet that is not ESP (any more): behind the destination options that
// may stand at the payload's start. Drops: malformed_extension_header, and fragment for a Fragment
// header behind them.
struct UpperLayer {
  Protocol protocol = Protocol::none;
  uint16_t offset = 0;  // from the start of the frame
};
Verdict walk_to_upper_layer(const Packet& packet, UpperLayer& upper);
inline Verdict find_upper_layer(const Packet& packet, UpperLayer& upper) {
  upper = {packet.next_header(), packet.payload_offset};
  const bool found = upper.protocol == Protocol::udp || upper.protocol == Protocol::tcp;
  return found ? Verdict::pass() : walk_to_upper_layer(packet, upper);
}

// Addresses, protocol and, for UDP and TCP, ports. Drops: transport_runt.
inline Verdict read_flow(const Packet& packet, const UpperLayer& upper, Flow& flow) {
  if (packet.is_ipv4()) {
    flow.source = source_address(packet);
    flow.destination = destination_address(packet);
  } else {
    const auto& ip = packet.header<Ipv6Header>(packet.ip_offset);
    std::memcpy(static_cast<void*>(&flow), ip.source, kAddressPairBytes);
  }
  flow.protocol = upper.protocol;
  const bool tcp = upper.protocol == Protocol::tcp;
  if (!tcp && upper.protocol != Protocol::udp) return Verdict::pass();
  const size_t header_bytes = tcp ? sizeof(TcpHeader) : sizeof(UdpHeader);
  // Not packet.length: ports must not come from the padding of a short frame.
  if (upper.offset + header_bytes > end_of_ip(packet)) return Verdict::drop(Drop::transport_runt);
  const auto& ports =
      packet.header<UdpHeader>(upper.offset);  // TCP has its ports at the same place
  flow.source_port = ports.source_port.host();
  flow.destination_port = ports.destination_port.host();
  return Verdict::pass();
}

// Both of the above.
inline Verdict read_flow(const Packet& packet, Flow& flow) {
  UpperLayer upper;
  const Verdict verdict = find_upper_layer(packet, upper);
  return verdict.is_pass() ? read_flow(packet, upper, flow) : verdict;
}

// Takes the padding of a short Ethernet frame off. The packet has an IP header.
inline void trim_to_ip(Packet& packet) { packet.length = static_cast<uint16_t>(end_of_ip(packet)); }

}  // namespace gmesp
