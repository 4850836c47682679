// SPDX-License-Identifier: BSD-3-Clause
// Cleartext policy (RFC 4301 4.4.1, 5.2; TS 33.203 7.1 and Annex J): what may pass without ESP.
// Default-deny: an ordered list of rules, the first that matches decides; protected ports, own
// addresses and what cannot be an address (access_check.h) come before any rule. Plain data, made
// by the control thread, read by the workers, never changed: another policy takes its place
// (UsePolicy).
#pragma once

#include <algorithm>
#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/address.h"
#include "dataplane/counters.h"
#include "dataplane/packet.h"
#include "dataplane/selector.h"

namespace gmesp {

enum class Role : uint8_t { pcscf, ue };
inline constexpr std::array<std::string_view, 2> kRoleNames = {"pcscf", "ue"};  // in its order
constexpr std::string_view name(Role role) { return kRoleNames[static_cast<size_t>(role)]; }

// What a rule can name. A packet has exactly one of the kinds up to ip_other.
enum class Match : uint8_t {
  arp,
  other_frame,  // not ARP, not IP: matched by `any` only
  nd,           // ICMPv6 133, 135, 136 (RFC 4861)
  nd_router,    // a router's word: ICMPv6 134 (RFC 4861 6.3.4, RFC 6104), redirects that come in
  icmp_echo,    // request and reply, both families
  icmp_error,   // what may quote a packet: RFC 792 3, 4, 5, 11, 12; RFC 4443 0..127; RFC 4861 137
  icmp_other,   // matched by `icmp`, `ip` and `any`
  udp,
  tcp,
  ip_other,  // matched by `ip` and `any`
  icmp,      // every ICMP kind
  ip,        // every IP packet
  any,
};

// Whether a rule that says `rule` matches all of `kind`, which may be what another rule says.
constexpr bool covers(Match rule, Match kind) {
  const bool icmp = kind == Match::nd || kind == Match::nd_router || kind == Match::icmp_echo ||
                    kind == Match::icmp_error || kind == Match::icmp_other || kind == Match::icmp;
  switch (rule) {
    case Match::any:
      return true;
    case Match::ip:
      return kind != Match::arp && kind != Match::other_frame && kind != Match::any;
    case Match::icmp:
      return icmp;
    default:
      return rule == kind;
  }
}

struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;

  friend bool operator==(const PortRange&, const PortRange&) = default;
};

struct PolicyRule {
  std::string name;
  bool in = true;   // from the access port
  bool out = true;  // to the access port
  Match match = Match::any;
  // Each empty: all. Local is the host port's side in both roles.
  std::vector<PortRange> local_ports = {};
  std::vector<PortRange> remote_ports = {};
  bool pass = true;
  std::vector<Prefix> local = {};
  std::vector<Prefix> remote = {};
  // Packets a second from the access port that may pass, 0: any number (rate_limit.h).
  uint32_t rate = 0;  // by all workers together
  uint32_t rate_per_source = 0;

  friend bool operator==(const PolicyRule&, const PolicyRule&) = default;
};

// what: an address or a prefix.
template <typename What>
bool any_contains(const std::vector<Prefix>& prefixes, const What& what) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const Prefix& prefix) { return prefix.contains(what); });
}

struct Policy {
  Role role = Role::pcscf;
  std::bitset<65536> protected_ports;    // role pcscf
  uint32_t protected_port_hold_s = 128;  // role ue: after the last SA with that port
  std::vector<Prefix> own_prefixes;      // never a source on the access side (PRV-21)
  // Behind the host port: all that cleartext from the access side may reach (PRV-20). Empty: all.
  std::vector<Prefix> reachable;
  std::vector<PolicyRule> rules;  // kMaxPolicyRules at most

  friend bool operator==(const Policy&, const Policy&) = default;
};

}  // namespace gmesp
