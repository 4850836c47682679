// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/cleartext.h"

#include <algorithm>

#include "dataplane/access_check.h"
#include "dataplane/icmp.h"

namespace gmesp {

namespace {

// From the access side a redirect is the word of a router; from the host it is an error, which
// quotes.
Match icmpv4_kind(uint8_t type, Direction direction) {
  if (is_icmpv4_echo(type)) return Match::icmp_echo;
  if (type == kIcmpRedirect && direction == Direction::in) return Match::nd_router;
  return is_icmpv4_error(type) ? Match::icmp_error : Match::icmp_other;
}

Match icmpv6_kind(uint8_t type, Direction direction) {
  if (type == kRouterAdvertisement) return Match::nd_router;
  if (type == kIcmpv6Redirect && direction == Direction::in) return Match::nd_router;
  if (is_icmpv6_error(type)) return Match::icmp_error;
  if (is_icmpv6_echo(type)) return Match::icmp_echo;
  return is_neighbour_discovery(type) ? Match::nd : Match::icmp_other;
}

Match kind_of(const Packet& packet, const UpperLayer& upper, Direction direction) {
  if (upper.protocol == Protocol::udp) return Match::udp;
  if (upper.protocol == Protocol::tcp) return Match::tcp;
  if (!is_icmp(packet, upper)) return Match::ip_other;
  if (upper.offset + sizeof(IcmpHeader) > packet.length) return Match::icmp_other;
  const uint8_t type = packet.header<IcmpHeader>(upper.offset).type;
  return packet.is_ipv4() ? icmpv4_kind(type, direction) : icmpv6_kind(type, direction);
}

bool within(const std::vector<PortRange>& ranges, uint16_t port) {
  return ranges.empty() || std::any_of(ranges.begin(), ranges.end(), [port](PortRange range) {
           return range.first <= port && port <= range.last;
         });
}

// A frame without an address is in no prefix.
bool within(const std::vector<Prefix>& prefixes, bool has_address, const Address& address) {
  return prefixes.empty() || (has_address && any_contains(prefixes, address));
}

// Addresses and ports of the packet that an ICMP error quotes, which may be cut off behind the
// first 8 bytes of its payload (RFC 792). A redirect's quote stands behind two addresses and in an
// option (RFC 4861 4.5): it counts as unreadable, whatever those addresses look like; so does what
// an Authentication Header hides (RFC 4302), which hosts look behind. Hosts take a quote for a
// packet of the error's own family, whatever its first bits say: one that says the other would be
// one packet to us and another to them, and is unreadable too.
bool read_quoted_flow(const Packet& error, const UpperLayer& icmp, Flow& flow) {
  const uint8_t type = error.header<IcmpHeader>(icmp.offset).type;
  if (!error.is_ipv4() && type == kIcmpv6Redirect) return false;
  Packet quoted = error;  // a view of the same buffer
  const auto start = std::min<size_t>(icmp.offset + sizeof(IcmpHeader), error.length);
  quoted.data += start;
  quoted.length = static_cast<uint16_t>(error.length - start);
  UpperLayer upper;
  if (!classify_quoted(quoted).is_pass() || quoted.is_ipv4() != error.is_ipv4() ||
      !find_upper_layer(quoted, upper).is_pass() || upper.protocol == Protocol::ah) {
    return false;
  }
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

// From the host, an error would carry back to the wire, in clear, what came in under an SA. On the
// access side nobody has seen in clear what went out under an SA: who quotes that has made it up,
// so that the host sends less (RFC 1191 8) or gives up (RFC 5927). What cannot be read cannot be
// cleared: hosts read more than we do.
Verdict Cleartext::check_quote(const Packet& error, const UpperLayer& upper, Direction direction,
                               uint64_t now_tsc) const {
  constexpr Verdict kDropped = Verdict::drop(Drop::icmp_quotes_protected);
  Flow flow;
  if (!read_quoted_flow(error, upper, flow)) return kDropped;
  if (flow.protocol != Protocol::udp && flow.protocol != Protocol::tcp) return Verdict::pass();
  if (ports_.contains(flow.source_port, now_tsc) ||
      ports_.contains(flow.destination_port, now_tsc)) {
    return kDropped;
  }
  // Whether an SA protects the quoted packet is for its owner to know. An error about it from a
  // host in between is rare.
  if (!steerer_.owns(flow.source, flow.destination)) {
    if (direction == Direction::out) return kDropped;
    return steerer_.error_to_owner(flow.source, flow.destination, error, now_tsc,
                                   Drop::icmp_quotes_protected);
  }
  const bool has_sa = spd_.find(reversed(flow)) != nullptr || spd_.find(flow) != nullptr;
  return has_sa ? kDropped : Verdict::pass();
}

void Cleartext::use(const Policy& policy) {
  policy_ = &policy;
  errors_may_come_in_ =
      std::any_of(policy.rules.begin(), policy.rules.end(), [](const PolicyRule& rule) {
        return rule.in && rule.pass && covers(rule.match, Match::icmp_error);
      });
  limits_.use(policy);
  counters_.rules = {};
}

bool Cleartext::matches(const PolicyRule& rule, const Subject& subject) {
  const bool in = subject.direction == Direction::in;
  const Flow& flow = subject.flow;
  if (!(in ? rule.in : rule.out) || !covers(rule.match, subject.kind)) return false;
  if (!within(rule.local_ports, in ? flow.destination_port : flow.source_port) ||
      !within(rule.remote_ports, in ? flow.source_port : flow.destination_port)) {
    return false;
  }
  return within(rule.local, subject.has_addresses, in ? flow.destination : flow.source) &&
         within(rule.remote, subject.has_addresses, in ? flow.source : flow.destination);
}

Verdict Cleartext::apply_rules(const Subject& subject, uint64_t now_tsc) const {
  const std::vector<PolicyRule>& rules = policy_->rules;
  for (size_t i = 0; i < rules.size(); ++i) {
    if (matches(rules[i], subject)) return apply_rule(i, subject, now_tsc);
  }
  return Verdict::drop(Drop::policy_default);
}

// Rates are for what comes from the access side: the host's answers need none of their own.
Verdict Cleartext::apply_rule(size_t rule, const Subject& subject, uint64_t now_tsc) const {
  RuleCounters& counters = counters_.rules[rule];
  ++counters.hits;
  if (!policy_->rules[rule].pass) return Verdict::drop(Drop::policy_rule);
  if (subject.direction == Direction::out) return Verdict::pass();
  const Verdict verdict = limits_.take(rule, subject.flow.source, now_tsc);
  if (!verdict.is_pass()) ++counters.limited;
  return verdict;
}

Verdict Cleartext::check_ip(const Packet& packet, Direction direction, uint64_t now_tsc) const {
  UpperLayer upper;
  if (const Verdict verdict = find_upper_layer(packet, upper); !verdict.is_pass()) return verdict;
  Subject subject;
  if (const Verdict v = read_flow(packet, upper, subject.flow); !v.is_pass()) return v;
  subject.kind = kind_of(packet, upper, direction);
  subject.direction = direction;

  const bool in = direction == Direction::in;
  const Flow& flow = subject.flow;
  if (in) {
    const Verdict v = check_ip_from_access(*policy_, packet, upper, subject.kind, flow);
    if (!v.is_pass()) return v;
  }
  // From the access side anybody sends errors about packets of all UEs, two look-ups of the SPD in
  // no cache each: not for one that no rule can pass. From the host, where they would tell of a
  // leak, the reason is always known.
  if (subject.kind == Match::icmp_error && (!in || errors_may_come_in_)) {
    const Verdict v = check_quote(packet, upper, direction, now_tsc);
    if (!v.is_pass()) return v;
  }
  const bool has_ports = subject.kind == Match::udp || subject.kind == Match::tcp;
  if (has_ports && ports_.contains(in ? flow.destination_port : flow.source_port, now_tsc)) {
    return Verdict::drop(Drop::cleartext_on_protected_port);  // INT-33
  }
  const Verdict verdict = apply_rules(subject, now_tsc);
  // RFC 4301 5.2 step 3: what has an SA to protect its answers comes under one itself. (Ports that
  // an SA names are protected ports; this is for those that leave them open.)
  if (in && has_ports && verdict.is_pass() && spd_.find(reversed(flow)) != nullptr) {
    return Verdict::drop(Drop::cleartext_on_protected_port);
  }
  return verdict;
}

Verdict Cleartext::check_frame(const Packet& packet, Direction direction, uint64_t now_tsc) const {
  const auto type_offset = static_cast<size_t>(packet.ip_offset - 2);  // the last EtherType
  const bool arp = packet.header<Be16>(type_offset).host() == static_cast<uint16_t>(EtherType::arp);
  Subject subject{arp ? Match::arp : Match::other_frame, direction, arp, {}};
  if (!arp) return apply_rules(subject, now_tsc);
  if (const Verdict v = read_arp(packet, subject.flow); !v.is_pass()) return v;
  if (direction == Direction::in) {
    if (const Verdict v = check_arp_from_access(*policy_, subject.flow); !v.is_pass()) return v;
  }
  return apply_rules(subject, now_tsc);
}

Verdict Cleartext::check_source(const Packet& packet) const {
  if (packet.kind == PacketKind::not_ip) return Verdict::pass();
  return check_source_from_access(*policy_, packet);
}

Verdict Cleartext::check(const Packet& packet, Direction direction, uint64_t now_tsc) const {
  return packet.kind == PacketKind::not_ip ? check_frame(packet, direction, now_tsc)
                                           : check_ip(packet, direction, now_tsc);
}

}  // namespace gmesp
