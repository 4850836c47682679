// SPDX-License-Identifier: BSD-3-Clause
// The verdict on a packet that no SA protects (RFC 4301 5.1, 5.2): Policy applied, in this order:
// what nobody may send (access_check.h), ICMP errors that quote protected packets (from the access
// side only where a rule can pass an error: else the rules drop them all), protected ports, the
// rules with their rates, default-deny.
#pragma once

#include <cstdint>

#include "dataplane/classify.h"
#include "dataplane/counters.h"
#include "dataplane/packet.h"
#include "dataplane/policy.h"
#include "dataplane/protected_ports.h"
#include "dataplane/rate_limit.h"
#include "dataplane/spd.h"
#include "dataplane/steering.h"

namespace gmesp {

class Cleartext {
 public:
  // All outlive this object, the policy until another is used; ports, spd, steerer, limits and
  // counters are the same worker's.
  Cleartext(const Policy& policy, const ProtectedPorts& ports, Spd& spd, Steerer& steerer,
            RateLimits& limits, Counters& counters)
      : ports_(ports), spd_(spd), steerer_(steerer), limits_(limits), counters_(counters) {
    use(policy);
  }

  // This policy decides from the next packet on. Its rules' counters and buckets begin anew.
  void use(const Policy& policy);

  // A stage of its own, before check(), for packets from the access side. Drops: spoofed_source.
  Verdict check_source(const Packet& packet) const;
  // Takes an ICMP error from the access side that another worker has to judge. Drops:
  // spoofed_source (ARP and ND), martian_source, unreachable_host, icmp_quotes_protected,
  // cleartext_on_protected_port, policy_rule, rate_of_rule, rate_of_source, policy_default,
  // steering_full, runt and malformed_ip for ARP, and what find_upper_layer and read_flow drop.
  Verdict check(const Packet& packet, Direction direction, uint64_t now_tsc) const;

 private:
  // What the rules see of a packet.
  struct Subject {
    Match kind{};
    Direction direction{};
    bool has_addresses = true;
    Flow flow;
  };
  Verdict check_ip(const Packet& packet, Direction direction, uint64_t now_tsc) const;
  Verdict check_frame(const Packet& packet, Direction direction, uint64_t now_tsc) const;
  Verdict apply_rules(const Subject& subject, uint64_t now_tsc) const;
  Verdict apply_rule(size_t rule, const Subject& subject, uint64_t now_tsc) const;
  static bool matches(const PolicyRule& rule, const Subject& subject);
  Verdict check_quote(const Packet& error, const UpperLayer& upper, Direction direction,
                      uint64_t now_tsc) const;

  const Policy* policy_ = nullptr;
  bool errors_may_come_in_ = false;  // some rule passes them, at least from somewhere
  const ProtectedPorts& ports_;
  Spd& spd_;
  Steerer& steerer_;
  RateLimits& limits_;
  Counters& counters_;
};

}  // namespace gmesp
