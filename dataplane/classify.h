// SPDX-License-Identifier: BSD-3-Clause
// What a frame is: a walk over Ethernet, VLAN tags, IP and IPv6 extension headers that trusts no
// length.
#pragma once

#include <cstdint>

#include "dataplane/packet.h"
#include "dataplane/selector.h"

namespace gmesp {

// Finds the IP header and what is behind it; fills ip_offset, next_header_offset, payload_offset
// and kind. For ESP the payload starts at the SPI and the frame is cut to the IP packet (Ethernet
// pads short frames). For other IP packets the payload starts where an ESP header would go (RFC
// 4303 3.1.1): behind IPv4 options, or behind hop-by-hop and routing headers; destination options
// that follow them stay inside ESP. Drops: runt, malformed_ip, malformed_extension_header, fragment
// (until they are reassembled).
Verdict classify(Packet& packet);

// The same for a packet that an ICMP error quotes: it begins with its IP header and may be cut off
// anywhere.
Verdict classify_quoted(Packet& packet);

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
Verdict find_upper_layer(const Packet& packet, UpperLayer& upper);

// Addresses, protocol and, for UDP and TCP, ports. Drops: transport_runt.
Verdict read_flow(const Packet& packet, const UpperLayer& upper, Flow& flow);

// Both of the above.
inline Verdict read_flow(const Packet& packet, Flow& flow) {
  UpperLayer upper;
  const Verdict verdict = find_upper_layer(packet, upper);
  return verdict.is_pass() ? read_flow(packet, upper, flow) : verdict;
}

// Takes the padding of a short Ethernet frame off. The packet has an IP header.
void trim_to_ip(Packet& packet);

}  // namespace gmesp
