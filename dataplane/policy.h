// SPDX-License-Identifier: BSD-3-Clause
// Cleartext policy (RFC 4301 4.4.1, 5.2; TS 33.203 7.1 and Annex J): what may pass without ESP.
// Default-deny: an ordered list of rules, the first that matches decides; protected ports and own
// addresses come before any rule. Plain data, made by the control thread at start, read by the
// workers.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <vector>

#include "crypto/key_store.h"
#include "dataplane/address.h"
#include "dataplane/packet.h"
#include "dataplane/selector.h"

namespace gmesp {

enum class Role : uint8_t { pcscf, ue };

// What a rule can name. A packet has exactly one of the first eight kinds.
enum class Match : uint8_t {
  arp,
  other_frame,  // not ARP, not IP: matched by `any` only
  nd,           // ICMPv6 133..136 (RFC 4861)
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

struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;
};

struct PolicyRule {
  std::string name;
  bool in = true;   // from the access port
  bool out = true;  // to the access port
  Match match = Match::any;
  std::vector<PortRange> local_ports;  // empty: all. Local is the host port's side in both roles
  std::vector<PortRange> remote_ports;
  bool pass = true;
};

struct Policy {
  Role role = Role::pcscf;
  std::bitset<65536> protected_ports;    // role pcscf
  uint32_t protected_port_hold_s = 128;  // role ue: after the last SA with that port
  std::vector<Prefix> own_prefixes;      // never a source on the access side (PRV-21)
  std::vector<PolicyRule> rules;
};

}  // namespace gmesp
