// SPDX-License-Identifier: BSD-3-Clause
#include "control/registration/used_keys.h"

#include "control/random_numbers.h"

namespace gmesp {

UsedKeys::UsedKeys(size_t capacity, size_t live)
    : key_(random_hash_key()), prints_(capacity + live), gone_(capacity) {}

std::optional<KeyPrint> UsedKeys::take(ImsKey ck, ImsKey ik) {
  const uint64_t print = fingerprint(ck, ik);
  if (!prints_.insert(print)) return std::nullopt;
  return KeyPrint{print};
}

void UsedKeys::retire(KeyPrint print) {
  uint64_t& place = gone_[next_];
  if (place != 0) prints_.erase(place);
  place = static_cast<uint64_t>(print);
  next_ = (next_ + 1) % gone_.size();
}

// Two pairs have one fingerprint in 2^64: among a million, one add() in 10^13 is refused for it.
uint64_t UsedKeys::fingerprint(ImsKey ck, ImsKey ik) const {
  SipHash hash(key_);
  hash.add(ck);
  hash.add(ik);
  const uint64_t print = hash.finish();
  return print == 0 ? 1 : print;
}

}  // namespace gmesp
