// SPDX-License-Identifier: BSD-3-Clause
// Checks (RFC 2451 2.3) and key expansion (TS 33.203 Annex I) before an SA exists. Every copy of a
// key made on the way is wiped.
#include "crypto/key_material.h"

#include <intel-ipsec-mb.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "crypto/manager.h"

namespace gmesp {
namespace {

constexpr size_t kSha256Bytes = 32;
constexpr size_t kSha256BlockBytes = 64;
constexpr size_t kDesKeyBytes = 8;

// Working memory that is wiped when it goes out of scope.
template <size_t kBytes>
struct Wiped {
  std::array<uint8_t, kBytes> bytes{};
  ~Wiped() { wipe(bytes.data(), kBytes); }
};

// SHA-256(key XOR pad || message), one half of HMAC (RFC 2104 section 2). The key is CK || IK.
template <size_t kMessageBytes>
void padded_sha256(IMB_MGR* manager, std::span<const uint8_t, 32> key, uint8_t pad,
                   std::span<const uint8_t, kMessageBytes> message, uint8_t* digest) {
  Wiped<kSha256BlockBytes + kMessageBytes> input;
  std::fill_n(input.bytes.begin(), kSha256BlockBytes, pad);
  for (size_t i = 0; i < key.size(); ++i) input.bytes[i] = static_cast<uint8_t>(key[i] ^ pad);
  std::copy(message.begin(), message.end(), input.bytes.begin() + kSha256BlockBytes);
  IMB_SHA256(manager, input.bytes.data(), input.bytes.size(), digest);
}

// TS 33.220 B.2: HMAC-SHA-256(CK || IK, FC || P0 || L0), of which the salt is the last 32 bits.
template <size_t kLiteralBytes>
Key derive_salt(ImsKey ck, ImsKey ik, uint8_t function_code,
                const char (&parameter)[kLiteralBytes]) {
  constexpr size_t kParameterBytes = kLiteralBytes - 1;
  std::array<uint8_t, 1 + kParameterBytes + 2> input{function_code};
  std::copy_n(parameter, kParameterBytes, input.begin() + 1);
  input.back() = static_cast<uint8_t>(kParameterBytes);

  Wiped<32> key;
  std::copy(ck.begin(), ck.end(), key.bytes.begin());
  std::copy(ik.begin(), ik.end(), key.bytes.begin() + 16);

  // Plain hashing keeps no state in a manager; one for each thread that ever expands keys.
  thread_local const Manager manager = make_manager(InstructionSet::best);
  Wiped<kSha256Bytes> inner, outer;
  padded_sha256(manager.get(), key.bytes, 0x36, std::span<const uint8_t, input.size()>(input),
                inner.bytes.data());
  padded_sha256(manager.get(), key.bytes, 0x5c, std::span<const uint8_t, kSha256Bytes>(inner.bytes),
                outer.bytes.data());
  return Key(std::span<const uint8_t>(outer.bytes).last(4));
}

Key sha1_key(ImsKey ik, Sha1KeyRule rule) {
  Wiped<20> key;
  std::copy(ik.begin(), ik.end(), key.bytes.begin());
  if (rule == Sha1KeyRule::most_significant) {
    std::copy_n(ik.begin(), 4, key.bytes.begin() + 16);
  }
  return Key(key.bytes);
}

// CK1 || CK2 || CK1. Parity stays as it falls: DES ignores it.
Key des3_key(ImsKey ck) {
  Wiped<24> key;
  std::copy(ck.begin(), ck.end(), key.bytes.begin());
  std::copy_n(ck.begin(), kDesKeyBytes, key.bytes.begin() + 16);
  return Key(key.bytes);
}

bool same_des_key(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  uint8_t difference = 0;
  for (size_t i = 0; i < kDesKeyBytes; ++i) {
    difference = static_cast<uint8_t>(difference | ((a[i] ^ b[i]) & 0xfe));  // bit 0 is parity
  }
  return difference == 0;
}

}  // namespace

void wipe(void* memory, size_t bytes) { explicit_bzero(memory, bytes); }

// More than any command goes down.
[[gnu::noinline]] void wipe_stack() {
  uint8_t below[16 * 1024];
  explicit_bzero(below, sizeof below);
}

Key::Key(std::span<const uint8_t> bytes) : size_(bytes.size()) {
  if (bytes.size() > kMaxBytes) throw std::length_error("a key has at most 24 bytes");
  std::copy(bytes.begin(), bytes.end(), bytes_.begin());
}

Key::Key(Key&& other) noexcept { *this = std::move(other); }

Key& Key::operator=(Key&& other) noexcept {
  if (this == &other) return *this;
  bytes_ = other.bytes_;
  size_ = other.size_;
  wipe(other.bytes_.data(), other.bytes_.size());
  other.size_ = 0;
  return *this;
}

KeyError check_keys(Suite suite, const EspKeys& keys) {
  const SuiteInfo& info = suite_info(suite);
  if (keys.authentication.size() != info.auth_key_bytes) {
    return KeyError::wrong_authentication_key_size;
  }
  if (keys.encryption.size() != info.enc_key_bytes) return KeyError::wrong_encryption_key_size;
  if (keys.salt.size() != info.salt_bytes) return KeyError::wrong_salt_size;
  if (info.encryption == EncryptionAlgorithm::des_ede3_cbc) {
    const std::span<const uint8_t> key = keys.encryption.bytes();
    const auto k1 = key.subspan(0, 8), k2 = key.subspan(8, 8), k3 = key.subspan(16, 8);
    if (same_des_key(k1, k2) || same_des_key(k2, k3)) return KeyError::weak_des_key;
  }
  return KeyError::none;
}

EspKeys expand(Suite suite, ImsKey ck, ImsKey ik, Sha1KeyRule rule) {
  EspKeys keys;
  switch (suite_info(suite).integrity) {
    case IntegrityAlgorithm::hmac_md5_96:
      keys.authentication = Key(ik);
      break;
    case IntegrityAlgorithm::hmac_sha_1_96:
      keys.authentication = sha1_key(ik, rule);
      break;
    case IntegrityAlgorithm::aes_gmac:
      keys.authentication = Key(ik);
      keys.salt = derive_salt(ck, ik, 0x58, "AES_GMAC_SALT");
      break;
    case IntegrityAlgorithm::null:
      break;
  }
  switch (suite_info(suite).encryption) {
    case EncryptionAlgorithm::des_ede3_cbc:
      keys.encryption = des3_key(ck);
      break;
    case EncryptionAlgorithm::aes_cbc:
      keys.encryption = Key(ck);
      break;
    case EncryptionAlgorithm::aes_gcm:
      keys.encryption = Key(ck);
      keys.salt = derive_salt(ck, ik, 0x59, "AES_GCM_SALT");
      break;
    case EncryptionAlgorithm::null:
      break;
  }
  return keys;
}

}  // namespace gmesp
