// SPDX-License-Identifier: BSD-3-Clause
// Remembers which (CK, IK) protect a set or have protected one, so that none does twice: with GCM
// and GMAC a second use could repeat an IV (SPEC 7.4, promise 2). Keeps 64-bit fingerprints under a
// random key of this process (one-way, nothing to learn from a dump): those of live sets, and of
// the last `capacity` that have gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "control/registration/number_set.h"
#include "crypto/key_material.h"
#include "crypto/sip_hash.h"

namespace gmesp {

enum class KeyPrint : uint64_t {};  // of a pair

class UsedKeys {
 public:
  // capacity is not 0; live: how many there are at once (more make it grow). 16 to 32 bytes for
  // each of both, and 8 more for those that have gone.
  UsedKeys(size_t capacity, size_t live);
  ~UsedKeys() { wipe(&key_, sizeof key_); }
  UsedKeys(const UsedKeys&) = delete;
  UsedKeys& operator=(const UsedKeys&) = delete;

  // Nothing: they were used before. Otherwise they count as used from now on.
  std::optional<KeyPrint> take(ImsKey ck, ImsKey ik);
  // Their set has gone. The oldest that have gone are forgotten beyond the capacity.
  void retire(KeyPrint print);
  // Their set was never installed.
  void forget(KeyPrint print) { prints_.erase(static_cast<uint64_t>(print)); }

 private:
  uint64_t fingerprint(ImsKey ck, ImsKey ik) const;

  SipHashKey key_;
  NumberSet<uint64_t> prints_;
  std::vector<uint64_t> gone_;  // a ring, in the order of their going
  size_t next_ = 0;
};

}  // namespace gmesp
