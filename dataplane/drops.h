// SPDX-License-Identifier: BSD-3-Clause
// Where a worker tells of the packets it drops: every one is counted; of those whose reason is
// audited (RFC 4303 4, audit.h) a sample goes to the control thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "crypto/direction.h"
#include "dataplane/counters.h"

namespace gmesp {

struct Packet;
struct AuditRing;

struct AuditSetting {
  uint64_t reasons = 0;     // audit_bits() of those audited; none: auditing is off
  uint32_t per_second = 0;  // records of each reason
};

class Drops {
 public:
  // Counts only.
  explicit Drops(Counters& worker) : counters(worker) {}
  // Audits too, once it is told what.
  Drops(Counters& worker, AuditRing& ring, uint64_t tsc_hz);

  void set_audit(const AuditSetting& setting);
  // The direction and the time of what tell() records from now on; each path says so before its
  // stages.
  void enter(Direction direction, uint64_t now_tsc) {
    direction_ = direction;
    now_tsc_ = now_tsc;
    if (now_tsc - second_began_tsc_ >= second_tsc_) [[unlikely]]
      begin_second(now_tsc);
  }

  // The packet is still as the stage left it that dropped it.
  void tell(const Packet& packet, Drop reason) {
    counters.count(reason);
    if ((audited_ >> static_cast<unsigned>(reason) & 1) != 0) [[unlikely]]
      audit(packet, reason);
  }

  Counters& counters;

 private:
  static_assert(kDropCount <= 64, "audited_ has a bit for every reason");
  void begin_second(uint64_t now_tsc);
  [[gnu::cold, gnu::noinline]] void audit(const Packet& packet, Drop reason);

  uint64_t audited_ = 0;
  Direction direction_ = Direction::in;
  uint64_t now_tsc_ = 0;
  uint64_t second_began_tsc_ = 0;
  AuditRing* ring_ = nullptr;
  uint64_t second_tsc_ = UINT64_MAX;
  uint32_t per_second_ = 0;
  std::array<uint32_t, kDropCount> room_{};  // by reason: records that this second may still have
};

}  // namespace gmesp
