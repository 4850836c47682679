// SPDX-License-Identifier: BSD-3-Clause
// The types of ICMP messages, and which of them are errors.
#pragma once

#include <cstdint>

#include "dataplane/classify.h"
#include "dataplane/packet.h"

namespace gmesp {

constexpr uint8_t kIcmpUnreachable = 3;          // RFC 792
constexpr uint8_t kIcmpFragmentationNeeded = 4;  // its code (RFC 1191 4)
constexpr uint8_t kIcmpRedirect = 5;
constexpr uint8_t kIcmpv6TooBig = 2;          // RFC 4443 3.2
constexpr uint8_t kMldQuery = 130;            // RFC 2710 3
constexpr uint8_t kRouterSolicitation = 133;  // RFC 4861 4
constexpr uint8_t kRouterAdvertisement = 134;
constexpr uint8_t kNeighbourSolicitation = 135;
constexpr uint8_t kNeighbourAdvertisement = 136;
constexpr uint8_t kIcmpv6Redirect = 137;

constexpr bool is_icmpv4_echo(uint8_t type) { return type == 0 || type == 8; }  // RFC 792
constexpr bool is_icmpv4_error(uint8_t type) {                                  // RFC 1122 3.2.2
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}
constexpr bool is_icmpv6_echo(uint8_t type) { return type == 128 || type == 129; }  // RFC 4443 4
// RFC 4443 2.1. A redirect quotes the packet that caused it, too (RFC 4861 4.5).
constexpr bool is_icmpv6_error(uint8_t type) { return type < 128 || type == kIcmpv6Redirect; }
constexpr bool is_neighbour_discovery(uint8_t type) {  // RFC 4861 4
  return type >= kRouterSolicitation && type <= kIcmpv6Redirect;
}
// RFC 2710 3, RFC 3810 5.
constexpr bool is_mld(uint8_t type) { return (type >= kMldQuery && type <= 132) || type == 143; }

// `upper` is the packet's own.
inline bool is_icmp(const Packet& packet, const UpperLayer& upper) {
  return upper.protocol == (packet.is_ipv4() ? Protocol::icmp : Protocol::icmpv6);
}

// Anything that quotes another packet. An ICMP message that is cut off before its type counts.
inline bool is_icmp_error(const Packet& packet, const UpperLayer& upper) {
  if (!is_icmp(packet, upper)) return false;
  if (upper.offset + sizeof(IcmpHeader) > packet.length) return true;
  const uint8_t type = packet.header<IcmpHeader>(upper.offset).type;
  return packet.is_ipv4() ? is_icmpv4_error(type) : is_icmpv6_error(type);
}

}  // namespace gmesp
