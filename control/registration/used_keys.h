// SPDX-License-Identifier: BSD-3-Clause
// Remembers which (CK, IK) have protected a set, so that none does twice: with GCM and GMAC a
// second use could repeat an IV (SPEC 7.4, promise 2). Keeps 64-bit fingerprints under a random key
// of this process (one-way, nothing to learn from a dump), at most `capacity`: then the oldest are
// forgotten.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "control/registration/number_set.h"
#include "crypto/key_material.h"
#include "crypto/sip_hash.h"

namespace gmesp {

class UsedKeys {
 public:
  // 24 to 40 bytes for each of `capacity`, which is not 0.
  explicit UsedKeys(size_t capacity);
  ~UsedKeys() { wipe(&key_, sizeof key_); }
  UsedKeys(const UsedKeys&) = delete;
  UsedKeys& operator=(const UsedKeys&) = delete;

  // False: they were used before. Otherwise they count as used from now on.
  bool add(ImsKey ck, ImsKey ik);
  // The set they were added for was not installed after all. Takes back one add() that answered
  // true, the last one.
  void forget_last();

 private:
  uint64_t fingerprint(ImsKey ck, ImsKey ik) const;

  SipHashKey key_;
  NumberSet<uint64_t> prints_;
  std::vector<uint64_t> ring_;  // the same in the order of their coming
  size_t oldest_ = 0;
  bool can_forget_ = false;
};

}  // namespace gmesp
