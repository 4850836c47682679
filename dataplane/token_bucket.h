// SPDX-License-Identifier: BSD-3-Clause
// At most so many a second, and so many at once after a rest: what strangers can make us do is done
// through one of these. A bucket of tokens is one number, when it will be full again (the generic
// cell rate algorithm, ITU-T I.371).
#pragma once

#include <algorithm>
#include <cstdint>

namespace gmesp {

struct TokenRate {
  uint64_t interval_tsc = 0;  // between two tokens; 0: no limit
  uint64_t burst_tsc = 0;     // what a bucket holds: interval_tsc for each token
};

struct TokenBucket {
  // A bucket that would be full later than an empty one is from before a jump of the clock: it
  // counts as full.
  bool has_token(const TokenRate& rate, uint64_t now_tsc) const {
    const uint64_t from = std::max(full_at_tsc, now_tsc);
    return from + rate.interval_tsc <= now_tsc + rate.burst_tsc || from > now_tsc + rate.burst_tsc;
  }
  // has_token() has said so.
  void take(const TokenRate& rate, uint64_t now_tsc) {
    if (full_at_tsc > now_tsc + rate.burst_tsc) full_at_tsc = now_tsc;
    full_at_tsc = std::max(full_at_tsc, now_tsc) + rate.interval_tsc;
  }

  uint64_t full_at_tsc = 0;
};

// A bucket with a rate of its own.
class Throttle {
 public:
  Throttle(uint32_t per_second, uint32_t at_once, uint64_t tsc_hz)
      : rate_{tsc_hz / per_second, at_once * (tsc_hz / per_second)} {}

  // False: not now.
  bool take(uint64_t now_tsc) {
    if (!bucket_.has_token(rate_, now_tsc)) return false;
    bucket_.take(rate_, now_tsc);
    return true;
  }

 private:
  TokenRate rate_;
  TokenBucket bucket_;
};

}  // namespace gmesp
