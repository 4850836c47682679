// SPDX-License-Identifier: BSD-3-Clause
// Identifications for datagrams that are fragmented here: counters that many address pairs share,
// each pair at an offset that only we know (RFC 7739 5.3). A pair's next number is one more than
// its last or a little above, so none comes again while fragments of it can be on their way (RFC
// 6864 4.3), and whoever sees the numbers of one pair learns nothing of another's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "crypto/sip_hash.h"
#include "dataplane/address.h"

namespace gmesp {

class Identifications {
 public:
  explicit Identifications(uint64_t seed);  // random
  // IPv4 takes the low 16 bits.
  uint32_t next(const Address& source, const Address& destination);

 private:
  static constexpr size_t kCounters = 1024;
  SipHashKey key_;
  std::array<uint32_t, kCounters> counters_;
};

}  // namespace gmesp
