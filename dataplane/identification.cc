// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/identification.h"

#include <random>

namespace gmesp {

Identifications::Identifications(uint64_t seed) {
  std::mt19937_64 random(seed);
  key_ = {random(), random()};
  for (uint32_t& counter : counters_) counter = static_cast<uint32_t>(random());
}

uint32_t Identifications::next(const Address& source, const Address& destination) {
  SipHash hash(key_);
  hash.add(source.bytes);
  hash.add(destination.bytes);
  const uint64_t place = hash.finish();
  return static_cast<uint32_t>(place) + counters_[(place >> 32) % kCounters]++;
}

}  // namespace gmesp
