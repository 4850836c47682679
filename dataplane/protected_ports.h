// SPDX-License-Identifier: BSD-3-Clause
// Ports that no cleartext may come to or leave from (TS 33.203 7.1; INT-33, INT-35). Role pcscf:
// the configured ones. Role ue: the local ports of the SAs that live, and for a hold time after the
// end of one, whatever the address.
#pragma once

#include <array>
#include <atomic>
#include <bitset>
#include <cstdint>

#include "dataplane/policy.h"
#include "dataplane/selector.h"

namespace gmesp {

// Role ue. One for all workers: cleartext from a protected port to some other peer comes to another
// worker than the SA's. The one thing that workers share beside rings; read for cleartext only,
// written when an SA comes or goes.
class LearnedPorts {
 public:
  // hold_tsc: what every hold lasts. An end further away than two of them is from before a jump of
  // the clock, and past; further than one, from a worker whose round began after this one's.
  bool contains(uint16_t port, uint64_t now_tsc, uint64_t hold_tsc) const {
    const Entry& entry = entries_[port];
    if (entry.sas.load(std::memory_order_relaxed) != 0) return true;
    const uint64_t until = entry.held_until_tsc.load(std::memory_order_relaxed);
    return until != 0 && until - now_tsc - 1 < 2 * hold_tsc;
  }
  void add(uint16_t port) { entries_[port].sas.fetch_add(1, std::memory_order_relaxed); }
  // The hold begins before the SA's own protection ends: no moment is without either.
  void remove(uint16_t port, uint64_t hold_until_tsc) {
    entries_[port].held_until_tsc.store(hold_until_tsc);
    entries_[port].sas.fetch_sub(1);
  }

 private:
  struct Entry {
    std::atomic<uint32_t> sas{0};
    std::atomic<uint64_t> held_until_tsc{0};  // 0: it never was
  };
  std::array<Entry, 65536> entries_{};
};

class ProtectedPorts {
 public:
  ProtectedPorts(const Policy& policy, LearnedPorts& learned, uint64_t tsc_hz)
      : configured_(policy.role == Role::pcscf ? &policy.protected_ports : nullptr),
        hold_tsc_(policy.protected_port_hold_s * tsc_hz),
        learned_(learned) {}

  bool contains(uint16_t port, uint64_t now_tsc) const {
    return configured_ != nullptr ? (*configured_)[port]
                                  : learned_.contains(port, now_tsc, hold_tsc_);
  }

  // An SA with this local port was installed or removed. A selector without the port protects no
  // port by itself.
  void add(uint16_t port) {
    if (counts(port)) learned_.add(port);
  }
  void remove(uint16_t port, uint64_t now_tsc) {
    if (counts(port)) learned_.remove(port, now_tsc + hold_tsc_);
  }

 private:
  bool counts(uint16_t port) const { return configured_ == nullptr && port != Selector::kAnyPort; }

  const std::bitset<65536>* configured_;  // role pcscf
  uint64_t hold_tsc_;
  LearnedPorts& learned_;  // role ue
};

}  // namespace gmesp
