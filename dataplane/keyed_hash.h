// SPDX-License-Identifier: BSD-3-Clause
// What the tables that strangers fill are hashed with: who does not know the seed cannot choose
// values that share a place.
#pragma once

#include <cstdint>

namespace gmesp {

// Both halves of the product: one multiplication mixes every bit of either into all of the result.
inline uint64_t fold(uint64_t a, uint64_t b) {
  __extension__ using Product = unsigned __int128;
  const Product product = static_cast<Product>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace gmesp
