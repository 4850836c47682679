// SPDX-License-Identifier: BSD-3-Clause
// The verdict on a packet that no SA protects (RFC 4301 5.1, 5.2): Policy applied, in this order:
// own addresses as a source, ICMP errors that quote protected packets, protected ports, the rules,
// default-deny.
#pragma once

#include <cstdint>

#include "dataplane/classify.h"
#include "dataplane/packet.h"
#include "dataplane/policy.h"
#include "dataplane/protected_ports.h"
#include "dataplane/spd.h"
#include "dataplane/steering.h"

namespace gmesp {

class Cleartext {
 public:
  // All outlive this object; ports, spd and steerer are the same worker's.
  Cleartext(const Policy& policy, const ProtectedPorts& ports, Spd& spd, const Steerer& steerer)
      : policy_(policy), ports_(ports), spd_(spd), steerer_(steerer) {}

  // Drops: spoofed_source, icmp_quotes_protected, cleartext_on_protected_port, policy_rule,
  // policy_default, and what find_upper_layer and read_flow drop.
  Verdict check(const Packet& packet, Direction direction, uint64_t now_tsc) const;

 private:
  Verdict check_ip(const Packet& packet, Direction direction, uint64_t now_tsc) const;
  Verdict apply_rules(Match kind, Direction direction, const Flow& flow) const;
  // An ICMP error may carry back to the wire, in clear, what came in under an SA.
  bool quotes_protected(const Packet& packet, const UpperLayer& upper, uint64_t now_tsc) const;

  const Policy& policy_;
  const ProtectedPorts& ports_;
  Spd& spd_;
  const Steerer& steerer_;
};

}  // namespace gmesp
