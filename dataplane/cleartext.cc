// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/cleartext.h"

#include <algorithm>

namespace gmesp {

namespace {

Match icmp_kind(uint8_t type) {  // RFC 792
  switch (type) {
    case 0:
    case 8:
      return Match::icmp_echo;
    case 3:
    case 4:
    case 5:
    case 11:
    case 12:
      return Match::icmp_error;
    default:
      return Match::icmp_other;
  }
}

constexpr uint8_t kIcmpv6Redirect = 137;

Match icmpv6_kind(uint8_t type) {  // RFC 4443 2.1, RFC 4861 4
  if (type < 128) return Match::icmp_error;
  if (type == 128 || type == 129) return Match::icmp_echo;
  if (type >= 133 && type <= 136) return Match::nd;
  // A redirect quotes the packet that caused it (RFC 4861 4.5).
  if (type == kIcmpv6Redirect) return Match::icmp_error;
  return Match::icmp_other;
}

Match kind_of(const Packet& packet, const UpperLayer& upper) {
  if (upper.protocol == Protocol::udp) return Match::udp;
  if (upper.protocol == Protocol::tcp) return Match::tcp;
  const bool ipv4 = packet.is_ipv4();
  if (upper.protocol != (ipv4 ? Protocol::icmp : Protocol::icmpv6)) return Match::ip_other;
  if (upper.offset + sizeof(IcmpHeader) > packet.length) return Match::icmp_other;
  const uint8_t type = packet.header<IcmpHeader>(upper.offset).type;
  return ipv4 ? icmp_kind(type) : icmpv6_kind(type);
}

bool is_icmp(Match kind) {
  return kind == Match::nd || kind == Match::icmp_echo || kind == Match::icmp_error ||
         kind == Match::icmp_other;
}

bool names(Match rule, Match kind) {
  switch (rule) {
    case Match::any:
      return true;
    case Match::ip:
      return kind != Match::arp && kind != Match::other_frame;
    case Match::icmp:
      return is_icmp(kind);
    default:
      return rule == kind;
  }
}

bool within(const std::vector<PortRange>& ranges, uint16_t port) {
  return ranges.empty() || std::any_of(ranges.begin(), ranges.end(), [port](PortRange range) {
           return range.first <= port && port <= range.last;
         });
}

// Addresses and ports of the packet that an ICMP error quotes, which may be cut off behind the
// first 8 bytes of its payload (RFC 792). A redirect's quote stands behind two addresses and in an
// option (RFC 4861 4.5): it counts as unreadable, whatever those addresses look like.
bool read_quoted_flow(const Packet& error, const UpperLayer& icmp, Flow& flow) {
  const uint8_t type = error.header<IcmpHeader>(icmp.offset).type;
  if (!error.is_ipv4() && type == kIcmpv6Redirect) return false;
  Packet quoted = error;  // a view of the same buffer
  const auto start = std::min<size_t>(icmp.offset + sizeof(IcmpHeader), error.length);
  quoted.data += start;
  quoted.length = static_cast<uint16_t>(error.length - start);
  UpperLayer upper;
  if (!classify_quoted(quoted).is_pass() || !find_upper_layer(quoted, upper).is_pass())
    return false;
  flow.source = source_address(quoted);
  flow.destination = destination_address(quoted);
  flow.protocol = upper.protocol;
  if (upper.offset + 4u > quoted.length) return false;
  const auto& ports = quoted.header<UdpHeader>(upper.offset);
  flow.source_port = ports.source_port.host();
  flow.destination_port = ports.destination_port.host();
  return true;
}

}  // namespace

bool Cleartext::quotes_protected(const Packet& packet, const UpperLayer& upper,
                                 uint64_t now_tsc) const {
  Flow flow;
  if (!read_quoted_flow(packet, upper, flow)) return true;  // what cannot be read cannot be cleared
  if (flow.protocol != Protocol::udp && flow.protocol != Protocol::tcp) return false;
  if (ports_.contains(flow.source_port, now_tsc) ||
      ports_.contains(flow.destination_port, now_tsc)) {
    return true;
  }
  // Whether an SA protects the quoted packet is for its owner to know. An error about it from a
  // host in between is rare.
  if (!steerer_.owns(flow.source, flow.destination)) return true;
  const Flow answer{flow.destination, flow.source, flow.destination_port, flow.source_port,
                    flow.protocol};
  return spd_.find(answer) != nullptr || spd_.find(flow) != nullptr;
}

Verdict Cleartext::apply_rules(Match kind, Direction direction, const Flow& flow) const {
  const bool in = direction == Direction::in;
  const uint16_t local = in ? flow.destination_port : flow.source_port;
  const uint16_t remote = in ? flow.source_port : flow.destination_port;
  for (const PolicyRule& rule : policy_.rules) {
    if ((in ? rule.in : rule.out) && names(rule.match, kind) && within(rule.local_ports, local) &&
        within(rule.remote_ports, remote)) {
      return rule.pass ? Verdict::pass() : Verdict::drop(Drop::policy_rule);
    }
  }
  return Verdict::drop(Drop::policy_default);
}

Verdict Cleartext::check_ip(const Packet& packet, Direction direction, uint64_t now_tsc) const {
  UpperLayer upper;
  if (const Verdict verdict = find_upper_layer(packet, upper); !verdict.is_pass()) return verdict;
  Flow flow;
  if (const Verdict verdict = read_flow(packet, upper, flow); !verdict.is_pass()) return verdict;

  const bool in = direction == Direction::in;
  if (in && std::any_of(policy_.own_prefixes.begin(), policy_.own_prefixes.end(),
                        [&](const Prefix& prefix) { return prefix.contains(flow.source); })) {
    return Verdict::drop(Drop::spoofed_source);  // PRV-21
  }
  const Match kind = kind_of(packet, upper);
  if (!in && kind == Match::icmp_error && quotes_protected(packet, upper, now_tsc)) {
    return Verdict::drop(Drop::icmp_quotes_protected);
  }
  const uint16_t local_port = in ? flow.destination_port : flow.source_port;
  if ((kind == Match::udp || kind == Match::tcp) && ports_.contains(local_port, now_tsc)) {
    return Verdict::drop(Drop::cleartext_on_protected_port);  // INT-33
  }
  return apply_rules(kind, direction, flow);
}

Verdict Cleartext::check(const Packet& packet, Direction direction, uint64_t now_tsc) const {
  if (packet.kind != PacketKind::not_ip) return check_ip(packet, direction, now_tsc);
  const auto type_offset = static_cast<size_t>(packet.ip_offset - 2);  // the last EtherType
  const bool arp = packet.header<Be16>(type_offset).host() == static_cast<uint16_t>(EtherType::arp);
  return apply_rules(arp ? Match::arp : Match::other_frame, direction, Flow{});
}

}  // namespace gmesp
