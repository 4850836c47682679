// SPDX-License-Identifier: BSD-3-Clause
// Which ICMP messages are errors, and which error tells of an MTU.
#pragma once

#include <cstdint>

#include "dataplane/classify.h"
#include "dataplane/packet.h"

namespace gmesp {

constexpr uint8_t kIcmpUnreachable = 3;          // RFC 792
constexpr uint8_t kIcmpFragmentationNeeded = 4;  // its code (RFC 1191 4)
constexpr uint8_t kIcmpv6TooBig = 2;             // RFC 4443 3.2
constexpr uint8_t kIcmpv6Redirect = 137;         // quotes a packet too (RFC 4861 4.5)

// `upper` is the packet's own.
inline bool is_icmp(const Packet& packet, const UpperLayer& upper) {
  return upper.protocol == (packet.is_ipv4() ? Protocol::icmp : Protocol::icmpv6);
}

// Anything that quotes another packet. An ICMP message that is cut off before its type counts.
inline bool is_icmp_error(const Packet& packet, const UpperLayer& upper) {
  if (!is_icmp(packet, upper)) return false;
  if (upper.offset + sizeof(IcmpHeader) > packet.length) return true;
  const uint8_t type = packet.header<IcmpHeader>(upper.offset).type;
  if (!packet.is_ipv4()) return type < 128 || type == kIcmpv6Redirect;     // RFC 4443 2.1
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;  // RFC 1122 3.2.2
}

}  // namespace gmesp
