// SPDX-License-Identifier: BSD-3-Clause
// SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"): 64 bits of anything under a
// secret key. Who does not know the key learns nothing from them and cannot make two texts meet.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace gmesp {

using SipHashKey = std::array<uint64_t, 2>;

class SipHash {
 public:
  explicit SipHash(const SipHashKey& key)
      : v_{key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
           key[1] ^ 0x7465646279746573} {}

  // Pieces of whole words only; the length is closed in finish().
  void add(std::span<const uint8_t> words) {
    static_assert(std::endian::native == std::endian::little);
    for (size_t at = 0; at + 8 <= words.size(); at += 8) {
      uint64_t word = 0;
      std::memcpy(&word, words.data() + at, 8);
      take(word);
    }
    bytes_ += words.size() / 8 * 8;
  }
  // The last 0..7 bytes.
  uint64_t finish(std::span<const uint8_t> rest = {}) {
    uint64_t word = uint64_t{bytes_ + rest.size()} << 56;
    for (size_t i = 0; i < rest.size(); ++i) word |= uint64_t{rest[i]} << 8 * i;
    take(word);
    v_[2] ^= 0xff;
    for (int i = 0; i < 4; ++i) round();
    return v_[0] ^ v_[1] ^ v_[2] ^ v_[3];
  }

 private:
  void take(uint64_t word) {
    v_[3] ^= word;
    round();
    round();
    v_[0] ^= word;
  }
  void round() {
    v_[0] += v_[1];
    v_[2] += v_[3];
    v_[1] = std::rotl(v_[1], 13) ^ v_[0];
    v_[3] = std::rotl(v_[3], 16) ^ v_[2];
    v_[0] = std::rotl(v_[0], 32);
    v_[2] += v_[1];
    v_[0] += v_[3];
    v_[1] = std::rotl(v_[1], 17) ^ v_[2];
    v_[3] = std::rotl(v_[3], 21) ^ v_[0];
    v_[2] = std::rotl(v_[2], 32);
  }

  std::array<uint64_t, 4> v_;
  size_t bytes_ = 0;
};

inline uint64_t sip_hash(const SipHashKey& key, std::span<const uint8_t> bytes) {
  SipHash hash(key);
  hash.add(bytes);
  return hash.finish(bytes.subspan(bytes.size() / 8 * 8));
}

}  // namespace gmesp
