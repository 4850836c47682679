// SPDX-License-Identifier: BSD-3-Clause
// Ports that no cleartext may come to or leave from (TS 33.203 7.1; INT-33, INT-35). Role pcscf:
// the configured ones. Role ue: the local ports of the SAs that live, and for a hold time after the
// last of them is gone, whatever the address. One worker's; it knows the SAs of the UEs it owns,
// and their cleartext comes to it too.
#pragma once

#include <bitset>
#include <cstdint>
#include <vector>

#include "dataplane/policy.h"

namespace gmesp {

class ProtectedPorts {
 public:
  explicit ProtectedPorts(const Policy& policy)
      : configured_(policy.role == Role::pcscf ? &policy.protected_ports : nullptr),
        learned_(policy.role == Role::ue ? 65536 : 0) {}

  bool contains(uint16_t port, uint64_t now_tsc) const {
    if (configured_ != nullptr) return (*configured_)[port];
    return learned_[port].sas != 0 || now_tsc < learned_[port].held_until_tsc;
  }

  // An SA with this local port was installed or removed. A selector without the port protects no
  // port by itself.
  void add(uint16_t port) {
    if (counts(port)) ++learned_[port].sas;
  }
  void remove(uint16_t port, uint64_t hold_until_tsc) {
    if (counts(port) && --learned_[port].sas == 0) learned_[port].held_until_tsc = hold_until_tsc;
  }

 private:
  struct Learned {
    uint32_t sas = 0;
    uint64_t held_until_tsc = 0;
  };
  bool counts(uint16_t port) const { return configured_ == nullptr && port != Selector::kAnyPort; }

  const std::bitset<65536>* configured_;  // role pcscf
  std::vector<Learned> learned_;          // role ue
};

}  // namespace gmesp
