// SPDX-License-Identifier: BSD-3-Clause
// Random numbers that nobody can guess, from the kernel, 32 at a time.
#pragma once

#include <sys/random.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "crypto/sip_hash.h"

namespace gmesp {

class RandomNumbers {
 public:
  // Below `bound`, which is not 0. How far from even: bound / 2^64.
  uint32_t below(uint32_t bound) {
    return static_cast<uint32_t>(static_cast<unsigned __int128>(next()) * bound >> 64);
  }
  uint64_t next() {
    if (left_ == 0) refill();
    return numbers_[--left_];
  }

 private:
  void refill() {
    static_assert(sizeof numbers_ <= 256, "getrandom(2) of so many bytes is never interrupted");
    if (getrandom(numbers_.data(), sizeof numbers_, 0) != ssize_t{sizeof numbers_}) {
      throw std::runtime_error("no random numbers: getrandom() failed");
    }
    left_ = numbers_.size();
  }

  std::array<uint64_t, 32> numbers_{};
  size_t left_ = 0;
};

// For a table whose keys strangers choose.
inline SipHashKey random_hash_key() {
  RandomNumbers random;
  return {random.next(), random.next()};
}

}  // namespace gmesp
