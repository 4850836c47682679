// SPDX-License-Identifier: BSD-3-Clause
// What the tables that strangers fill are hashed with: who does not know the seed cannot choose
// values that share a place.
#pragma once

#include <array>
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

// Secret words from a random seed. Every word that is hashed meets one of its own: of one that met
// a number known to all, or the same as its neighbour, strangers could make a product 0 or two
// products equal.
class HashKey {
 public:
  explicit HashKey(uint64_t seed) {
    for (uint64_t& word : words_) {  // splitmix64
      seed += 0x9e3779b97f4a7c15;
      word = (seed ^ seed >> 30) * 0xbf58476d1ce4e5b9;
      word = (word ^ word >> 27) * 0x94d049bb133111eb;
      word ^= word >> 31;
    }
  }
  uint64_t hash(const AddressWords& a) const {
    return mix(a.prefix ^ words_[0], a.rest ^ words_[1]);
  }
  // Of a pair: its order counts.
  uint64_t hash(const AddressWords& a, const AddressWords& b) const {
    return mix(hash(a) ^ words_[2], mix(b.prefix ^ words_[3], b.rest ^ words_[4]) ^ words_[5]);
  }
  // Of what has been hashed and a word more.
  uint64_t hash(uint64_t hashed, uint64_t word) const {
    return mix(hashed ^ words_[6], word ^ words_[7]);
  }

 private:
  std::array<uint64_t, 8> words_;
};

}  // namespace gmesp
