// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/access_check.h"

#include "dataplane/icmp.h"
#include "dataplane/options.h"

namespace gmesp {

namespace {

// 0, which is none of those below, for a message that ends inside its header.
uint8_t icmpv6_type(const Packet& packet, const UpperLayer& upper) {
  if (upper.offset + sizeof(IcmpHeader) > end_of_ip(packet)) return 0;
  return packet.header<IcmpHeader>(upper.offset).type;
}

bool is_unspecified(const Address& address) { return address == Address{}; }

bool is_multicast_on_link(const Address& address) {  // RFC 4291 2.7: solicited-node addresses too
  return address.bytes[0] == 0xff && (address.bytes[1] & 0x0f) == 2;
}

// Who has no address yet asks for routers, asks whether an address is free, and joins the groups
// for that (RFC 4861 4.1, 4.3; RFC 3590 4).
bool may_be_unspecified(const Packet& packet, const UpperLayer& upper, Match kind) {
  if (kind != Match::nd && kind != Match::icmp_other) return false;
  const uint8_t type = icmpv6_type(packet, upper);
  return type == kNeighbourSolicitation || type == kRouterSolicitation ||
         (is_mld(type) && type != kMldQuery);
}

// What ND and MLD send to the link instead of a host.
bool goes_to_link(const Packet& packet, const UpperLayer& upper, Match kind,
                  const Address& destination) {
  if (kind == Match::nd || kind == Match::nd_router) {
    return is_multicast_on_link(destination) || destination.is_link_local();
  }
  return kind == Match::icmp_other && is_multicast_on_link(destination) && !packet.is_ipv4() &&
         is_mld(icmpv6_type(packet, upper));
}

// RFC 791 3.1: a loose or strict source route that is not used up names the next destination.
bool ipv4_goes_on(const uint8_t* options, size_t bytes) {
  constexpr uint8_t kLooseRoute = 131, kStrictRoute = 137;
  bool goes_on = false;
  for_each_option(options, bytes, [&](size_t at, size_t length) {
    const bool route = options[at] == kLooseRoute || options[at] == kStrictRoute;
    goes_on |= route && length > 2 && options[at + 2] <= length;  // the pointer
  });
  return goes_on;
}

// RFC 8200 4.4: so does a routing header of any type with segments left. `end`: of the headers that
// classify() has walked over.
bool ipv6_goes_on(const Packet& packet, size_t end) {
  auto protocol = packet.header<Ipv6Header>(packet.ip_offset).next_header;
  for (size_t at = packet.ip_offset + sizeof(Ipv6Header); at < end;) {
    const auto& extension = packet.header<Ipv6ExtensionHeader>(at);
    if (protocol == Protocol::routing && packet.data[at + 3] != 0) return true;
    protocol = extension.next_header;
    at += extension.bytes();
  }
  return false;
}

// RFC 4861 4.3, 4.4: an advertisement says "this address is here"; so does, of an address that it
// is about to take, a solicitation without a source (RFC 4862 5.4). Other solicitations ask for it.
Verdict check_target(const Policy& policy, const Packet& packet, const UpperLayer& upper,
                     const Address& source) {
  const uint8_t type = icmpv6_type(packet, upper);
  if (type != kNeighbourSolicitation && type != kNeighbourAdvertisement) return Verdict::pass();
  const size_t target_at = upper.offset + sizeof(IcmpHeader);
  if (target_at + sizeof(Address) > end_of_ip(packet)) return Verdict::drop(Drop::transport_runt);
  const Address target = Address::v6(packet.data + target_at);
  const bool claim = type == kNeighbourAdvertisement || is_unspecified(source);
  if (claim && any_contains(policy.own_prefixes, target)) {
    return Verdict::drop(Drop::spoofed_source);
  }
  if (!claim && !policy.reachable.empty() && !target.is_link_local() &&
      !any_contains(policy.reachable, target)) {
    return Verdict::drop(Drop::unreachable_host);
  }
  return Verdict::pass();
}

struct ArpFrame {  // RFC 826, with the lengths of IPv4 over Ethernet
  Be16 hardware_type;
  Be16 protocol_type;
  uint8_t hardware_bytes;
  uint8_t protocol_bytes;
  Be16 operation;
  uint8_t sender_hardware[6];
  uint8_t sender[4];
  uint8_t target_hardware[6];
  uint8_t target[4];
};
static_assert(sizeof(ArpFrame) == 28, "RFC 826");

}  // namespace

bool goes_on(const Packet& packet) {
  if (!packet.is_ipv4()) return ipv6_goes_on(packet, packet.payload_offset);
  const size_t options = size_t{packet.ip_offset} + sizeof(Ipv4Header);
  return ipv4_goes_on(packet.data + options, packet.payload_offset - options);
}

Verdict check_source_from_access(const Policy& policy, const Packet& packet) {
  const bool own = any_contains(policy.own_prefixes, source_address(packet));
  return own ? Verdict::drop(Drop::spoofed_source) : Verdict::pass();
}

Verdict check_ip_from_access(const Policy& policy, const Packet& packet, const UpperLayer& upper,
                             Match kind, const Flow& flow) {
  // A packet from its destination makes a host answer itself (RFC 1122 3.2.1.3: no such source).
  if (flow.source == flow.destination ||
      (flow.source.is_martian() &&
       !(is_unspecified(flow.source) && may_be_unspecified(packet, upper, kind)))) {
    return Verdict::drop(Drop::martian_source);
  }
  if (kind == Match::nd) {
    const Verdict verdict = check_target(policy, packet, upper, flow.source);
    if (!verdict.is_pass()) return verdict;
  }
  // RFC 1122 3.2.1.3, RFC 4291 2.5.3: no destination outside a host either.
  const bool to_nobody = flow.destination.is_loopback_or_unspecified();
  if (to_nobody || (!policy.reachable.empty() &&
                    (goes_on(packet) || (!any_contains(policy.reachable, flow.destination) &&
                                         !goes_to_link(packet, upper, kind, flow.destination))))) {
    return Verdict::drop(Drop::unreachable_host);
  }
  return Verdict::pass();
}

Verdict read_arp(const Packet& packet, Flow& flow) {
  if (packet.length < packet.ip_offset + sizeof(ArpFrame)) return Verdict::drop(Drop::runt);
  const auto& arp = packet.header<ArpFrame>(packet.ip_offset);
  if (arp.protocol_type.host() != static_cast<uint16_t>(EtherType::ipv4) ||
      arp.hardware_bytes != sizeof arp.sender_hardware || arp.protocol_bytes != sizeof arp.sender) {
    return Verdict::drop(Drop::malformed_ip);
  }
  flow.source = Address::v4(arp.sender);
  flow.destination = Address::v4(arp.target);
  return Verdict::pass();
}

// Requests, replies and announcements alike: every receiver may learn the sender's address from any
// of them. A probe (RFC 5227 1.1: sender 0.0.0.0) says of its target that somebody is about to take
// it.
Verdict check_arp_from_access(const Policy& policy, const Flow& flow) {
  static constexpr uint8_t kNone[4] = {};
  const bool probe = flow.source == Address::v4(kNone);
  const Address& claimed = probe ? flow.destination : flow.source;
  if (any_contains(policy.own_prefixes, claimed)) return Verdict::drop(Drop::spoofed_source);
  if (!probe && flow.source.is_martian()) return Verdict::drop(Drop::martian_source);
  const bool asks = !probe && !(flow.source == flow.destination);
  if (asks && !policy.reachable.empty() && !any_contains(policy.reachable, flow.destination)) {
    return Verdict::drop(Drop::unreachable_host);
  }
  return Verdict::pass();
}

}  // namespace gmesp
