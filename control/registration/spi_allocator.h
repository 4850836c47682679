// SPDX-License-Identifier: BSD-3-Clause
// SPIs of this box (R19): random, unique, never one that somebody uses or has used a moment ago, so
// that a late packet does not meet a new SA.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>

#include "dataplane/policy.h"
#include "dataplane/security_association.h"

namespace gmesp {

class SpiAllocator {
 public:
  using Milliseconds = std::chrono::milliseconds;
  // Role pcscf: 65536..2^31-1 (INT-23 and SPEC 0.4); role ue: 2^31..2^32-1.
  // in_use: whether an SA of the box has this SPI. quarantine: how long a released one rests.
  // Quarantined SPIs are bounded (kMaxQuarantined): beyond, the oldest is let go early and counted.
  static constexpr size_t kMaxQuarantined = size_t{1} << 22;
  SpiAllocator(Role role, Milliseconds quarantine, std::function<bool(Spi)> in_use);

  // Reserved from now on. avoid: SPIs that the other end of this set uses (PRS-08). Nothing: the
  // range is exhausted (a bounded number of tries has failed).
  std::optional<Spi> take(std::initializer_list<uint32_t> avoid, Milliseconds now);
  // The SA is gone, or was never made.
  void release(Spi spi, Milliseconds now);

  size_t quarantined() const;
  uint64_t let_go_early() const;
};

}  // namespace gmesp
