// SPDX-License-Identifier: BSD-3-Clause
// At most so many a second, and so many at once after a rest. What strangers can make us do is
// done through one of these.
#pragma once

#include <algorithm>
#include <cstdint>

namespace gmesp {

class TokenBucket {
 public:
  TokenBucket(uint32_t per_second, uint32_t at_once, uint64_t tsc_hz)
      : interval_(tsc_hz / per_second), ahead_((at_once - 1) * interval_) {}

  // False: not now.
  bool take(uint64_t now_tsc) {
    // The next token is never later than this; a clock that jumps back costs one interval.
    next_ = std::clamp(next_, now_tsc, now_tsc + ahead_ + interval_);
    if (next_ > now_tsc + ahead_) return false;
    next_ += interval_;
    return true;
  }

 private:
  uint64_t interval_;
  uint64_t ahead_;
  uint64_t next_ = 0;  // when the token behind those taken is due
};

}  // namespace gmesp
