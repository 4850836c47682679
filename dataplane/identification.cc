// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/identification.h"

#include <bit>
#include <cstring>
#include <random>

namespace gmesp {

namespace {

// SipHash-2-4 (Aumasson, Bernstein 2012) of whole words: what an observer sees of it does not tell
// the key.
class SipHash {
 public:
  explicit SipHash(const std::array<uint64_t, 2>& key)
      : v0_(key[0] ^ 0x736f6d6570736575),
        v1_(key[1] ^ 0x646f72616e646f6d),
        v2_(key[0] ^ 0x6c7967656e657261),
        v3_(key[1] ^ 0x7465646279746573) {}
  void add(uint64_t word) {
    v3_ ^= word;
    mix(2);
    v0_ ^= word;
    ++words_;
  }
  uint64_t finish() {
    add(words_ * sizeof(uint64_t) << 56);
    v2_ ^= 0xff;
    mix(4);
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  void mix(int rounds) {
    for (int i = 0; i < rounds; ++i) {
      v0_ += v1_, v1_ = std::rotl(v1_, 13) ^ v0_, v0_ = std::rotl(v0_, 32);
      v2_ += v3_, v3_ = std::rotl(v3_, 16) ^ v2_;
      v0_ += v3_, v3_ = std::rotl(v3_, 21) ^ v0_;
      v2_ += v1_, v1_ = std::rotl(v1_, 17) ^ v2_, v2_ = std::rotl(v2_, 32);
    }
  }

  uint64_t v0_, v1_, v2_, v3_;
  uint64_t words_ = 0;
};

}  // namespace

Identifications::Identifications(uint64_t seed) {
  std::mt19937_64 random(seed);
  key_ = {random(), random()};
  for (uint32_t& counter : counters_) counter = static_cast<uint32_t>(random());
}

uint32_t Identifications::next(const Address& source, const Address& destination) {
  SipHash hash(key_);
  for (const Address* address : {&source, &destination}) {
    uint64_t words[2];
    std::memcpy(words, address, sizeof words);
    for (const uint64_t word : words) hash.add(word);
  }
  const uint64_t place = hash.finish();
  return static_cast<uint32_t>(place) + counters_[(place >> 32) % kCounters]++;
}

}  // namespace gmesp
