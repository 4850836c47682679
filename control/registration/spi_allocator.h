// SPDX-License-Identifier: BSD-3-Clause
// SPIs of this box (R19): random, unique, never one that somebody uses or has used a moment ago, so
// that a late packet does not meet a new SA.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <utility>

#include "control/random_numbers.h"
#include "control/registration/number_set.h"
#include "dataplane/policy.h"
#include "dataplane/security_association.h"

namespace gmesp {

struct SpiRange {
  uint32_t first = 0;
  uint32_t last = 0;
};

// Role pcscf: 65536..2^31-1 (INT-23 and SPEC 0.4); role ue: 2^31..2^32-1.
constexpr SpiRange spi_range(Role role) {
  return role == Role::pcscf ? SpiRange{0x10000, 0x7fffffff} : SpiRange{0x80000000, 0xffffffff};
}

class SpiAllocator {
 public:
  using Milliseconds = std::chrono::milliseconds;
  // in_use: whether an SA of the box has this SPI. quarantine: how long a released one rests.
  // Quarantined SPIs are bounded: beyond, the oldest is let go early and counted.
  static constexpr size_t kMaxQuarantined = size_t{1} << 22;
  // expected: how many may be reserved at once; with more it grows, which takes milliseconds.
  SpiAllocator(SpiRange range, Milliseconds quarantine, std::function<bool(Spi)> in_use,
               size_t expected, size_t most_quarantined);

  // Reserved from now on. avoid: the SPIs that the other end uses (PRS-08). Nothing: the
  // range is exhausted (a bounded number of tries has failed).
  std::optional<Spi> take(std::span<const Spi> avoid, Milliseconds now);
  // The SA is gone, or was never made. Nothing happens to an SPI that is not reserved.
  void release(Spi spi, Milliseconds now);

  size_t quarantined() const { return resting_.size(); }
  uint64_t let_go_early() const { return let_go_early_; }

 private:
  struct Resting {
    uint32_t spi = 0;
    Milliseconds until{};
  };
  void let_go(Milliseconds now);

  SpiRange range_;
  Milliseconds quarantine_;
  std::function<bool(Spi)> in_use_;
  size_t most_quarantined_;
  RandomNumbers random_;
  NumberSet<uint32_t> reserved_;
  NumberSet<uint32_t> resting_;
  std::deque<Resting> queue_;  // of resting_, in the order of their ends
  uint64_t let_go_early_ = 0;
};

}  // namespace gmesp
