// SPDX-License-Identifier: BSD-3-Clause
// Keys as they arrive, before expansion: held in memory that is wiped when it is given back. There
// is no way to format, compare or copy a key by accident: move only, no operator<<, bytes() for the
// code that expands it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "crypto/algorithm.h"

namespace gmesp {

// Overwrites memory in a way that the optimiser keeps.
void wipe(void* memory, size_t bytes);
// Overwrites the stack below the caller's frame: what calls that have returned left there of a key,
// in registers that were saved and copies that have no name.
void wipe_stack();

// At most 24 bytes: the longest key of the suites (DES-EDE3).
class Key {
 public:
  static constexpr size_t kMaxBytes = 24;

  Key() = default;
  explicit Key(
      std::span<const uint8_t> bytes);  // bytes.size() <= kMaxBytes, else std::length_error
  Key(Key&& other) noexcept;
  Key& operator=(Key&& other) noexcept;
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  ~Key() { wipe(bytes_.data(), bytes_.size()); }

  std::span<const uint8_t> bytes() const { return {bytes_.data(), size_}; }
  size_t size() const { return size_; }

 private:
  std::array<uint8_t, kMaxBytes> bytes_{};
  size_t size_ = 0;
};

// What one SA needs: authentication key, encryption key and salt, sizes as in its SuiteInfo.
struct EspKeys {
  Key authentication;
  Key encryption;
  Key salt;
};

enum class KeyError : uint8_t {
  none,
  wrong_authentication_key_size,
  wrong_encryption_key_size,
  wrong_salt_size,
  weak_des_key,  // RFC 2451 2.3: K1 == K2 or K2 == K3 (parity ignored); K1 == K3 is how IMS derives
                 // it
};

// Checks sizes against the suite, and RFC 2451 2.3 for DES-EDE3.
KeyError check_keys(Suite suite, const EspKeys& keys);

// Which 160-bit key HMAC-SHA-1-96 gets from the 128-bit IK (SPEC 0.3).
enum class Sha1KeyRule : uint8_t {
  zero_bits,         // IK || 32 zero bits: published TS 33.203 Annex I
  most_significant,  // IK || 32 MSB of IK: the change request of 2002 (INT-12)
};

using ImsKey = std::span<const uint8_t, 16>;  // CK or IK

// TS 33.203 Annex I: the ESP keys of a suite from CK and IK of IMS AKA.
EspKeys expand(Suite suite, ImsKey ck, ImsKey ik, Sha1KeyRule rule = Sha1KeyRule::zero_bits);

}  // namespace gmesp
