// SPDX-License-Identifier: BSD-3-Clause
#include "control/registration/used_keys.h"

#include "control/registration/random_numbers.h"

namespace gmesp {

UsedKeys::UsedKeys(size_t capacity) : prints_(capacity), ring_(capacity) {
  RandomNumbers random;
  key_ = {random.next(), random.next()};
}

bool UsedKeys::add(ImsKey ck, ImsKey ik) {
  const uint64_t print = fingerprint(ck, ik);
  if (prints_.contains(print)) return false;
  if (prints_.size() == ring_.size()) {
    prints_.erase(ring_[oldest_]);
    oldest_ = (oldest_ + 1) % ring_.size();
  }
  ring_[(oldest_ + prints_.size()) % ring_.size()] = print;
  prints_.insert(print);
  can_forget_ = true;
  return true;
}

void UsedKeys::forget_last() {
  if (!can_forget_) return;
  can_forget_ = false;
  prints_.erase(ring_[(oldest_ + prints_.size() - 1) % ring_.size()]);
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
