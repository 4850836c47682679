// SPDX-License-Identifier: BSD-3-Clause
// What the tables that strangers fill are hashed with: who does not know the seed cannot choose
// values that share a place.
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/address.h"

namespace gmesp {

// Both halves of the product: one multiplication mixes every bit of either into all of the result.
inline uint64_t mix(uint64_t a, uint64_t b) {
  __extension__ using Product = unsigned __int128;
  const Product product = static_cast<Product>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// An address as two words.
struct AddressWords {
  uint64_t prefix;
  uint64_t rest;

  static AddressWords of(const Address& address) {
    AddressWords words;
    std::memcpy(&words, &address, sizeof words);
    return words;
  }
  // What one sender can send from. Of an IPv6 address its /64, which is all one UE's (RFC 6459
  // 5.2), but the one /64 that everybody on the link has (RFC 4291 2.5.6).
  static AddressWords of_source(const Address& address) {
    AddressWords words = of(address);
    if (!address.is_v4() && !address.is_link_local()) words.rest = 0;
    return words;
  }
};

}  // namespace gmesp
