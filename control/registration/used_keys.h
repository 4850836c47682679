// SPDX-License-Identifier: BSD-3-Clause
// Remembers which (CK, IK) have protected a set, so that none does twice: with GCM and GMAC a
// second use could repeat an IV (SPEC 7.4, promise 2). Keeps 64-bit fingerprints under a random key
// of this process (one-way, nothing to learn from a dump), at most `capacity`: then the oldest are
// forgotten.
#pragma once

#include <cstddef>

#include "crypto/key_material.h"

namespace gmesp {

class UsedKeys {
 public:
  explicit UsedKeys(size_t capacity);
  // False: they were used before. Otherwise they count as used from now on.
  bool add(ImsKey ck, ImsKey ik);
  // The set they were added for was not installed after all.
  void forget_last();
};

}  // namespace gmesp
