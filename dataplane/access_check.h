// SPDX-License-Identifier: BSD-3-Clause
// What nobody sends in clear from the access side, whatever the rules say (TS 33.203 Annex J;
// PRV-20, PRV-21, R20): packets that come from our own addresses or claim them by ARP or ND, that
// have a source no packet has, or that go to hosts nobody outside has business with.
#pragma once

#include <cstdint>

#include "dataplane/classify.h"
#include "dataplane/packet.h"
#include "dataplane/policy.h"
#include "dataplane/selector.h"

namespace gmesp {

// Whether a host that a classified packet comes to is asked to send it on: an IPv4 source route
// that is not used up (RFC 791 3.1), a routing header with segments left (RFC 8200 4.4).
bool goes_on(const Packet& packet);

// Of IP packets, and before an ICMP error is believed: one of our own addresses is no source out
// there. Drops: spoofed_source.
Verdict check_source_from_access(const Policy& policy, const Packet& packet);

// After that. kind, upper, flow: of the packet. Drops: spoofed_source (a claim by ND),
// martian_source, unreachable_host, and transport_runt for an ND message without its target.
Verdict check_ip_from_access(const Policy& policy, const Packet& packet, const UpperLayer& upper,
                             Match kind, const Flow& flow);

// The protocol addresses of an ARP frame as source (sender) and destination (target). Drops: runt,
// and malformed_ip for what is not ARP of IPv4 over Ethernet.
Verdict read_arp(const Packet& packet, Flow& flow);
// Drops: spoofed_source, martian_source, unreachable_host.
Verdict check_arp_from_access(const Policy& policy, const Flow& flow);

}  // namespace gmesp
