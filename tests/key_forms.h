// SPDX-License-Identifier: BSD-3-Clause
// A key in every form in which it could be left behind.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "crypto/expanded_key.h"
#include "tests/process_memory.h"
#include "tests/sanitizers.h"

namespace gmesp {

// A sanitizer keeps what is freed, and lays out stacks in its own way.
#define SKIP_IF_MEMORY_IS_NOT_OURS() \
  if (kSanitizer) GTEST_SKIP() << "a sanitizer has its own ways with memory"

using Bytes = std::vector<uint8_t>;

inline std::string hex(std::span<const uint8_t> bytes, bool upper = false) {
  std::string text;
  for (const uint8_t byte : bytes) {
    for (const int digit : {byte >> 4, byte & 15}) {
      text += (upper ? "0123456789ABCDEF" : "0123456789abcdef")[digit];
    }
  }
  return text;
}

inline Bytes from_hex(const std::string& text) {
  Bytes bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

inline Bytes random_bytes(size_t count) {
  static std::mt19937_64 random{std::random_device{}()};
  Bytes bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

// A key as it is, as text, and in front of a hash (RFC 2104).
inline void add_key(Secrets& secrets, const std::string& name, std::span<const uint8_t> key) {
  secrets.add(name, key);
  secrets.add_text(name + " as text", hex(key));
  secrets.add_text(name + " as TEXT", hex(key, true));
  for (const uint8_t pad : {uint8_t{0x36}, uint8_t{0x5c}}) {
    Bytes padded(key.begin(), key.end());
    for (uint8_t& byte : padded) byte = static_cast<uint8_t>(byte ^ pad);
    secrets.add(name + " and HMAC's pad", padded);
  }
}

// GCM's hash key, as the cipher makes it and turned round for the multiplication.
inline void add_hash_key(Secrets& secrets, const std::string& name, std::span<const uint8_t> key) {
  const Bytes zeros(16);
  Bytes h(32);
  int bytes = 0;
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  EVP_EncryptInit_ex(context, EVP_aes_128_ecb(), nullptr, key.data(), nullptr);
  EVP_EncryptUpdate(context, h.data(), &bytes, zeros.data(), 16);
  EVP_CIPHER_CTX_free(context);
  h.resize(16);
  secrets.add(name + "'s hash key", h);
  secrets.add(name + "'s hash key", Bytes(h.rbegin(), h.rend()));
}

// The ESP keys of an SA, and everything that both directions expand them to.
inline void add_esp_keys(Secrets& secrets, const std::string& name, Suite suite,
                         const EspKeys& keys,
                         InstructionSet instruction_set = InstructionSet::best) {
  for (const Key* key : {&keys.authentication, &keys.encryption}) {
    if (key->size() == 0) continue;
    add_key(secrets, name, key->bytes());
    if (suite == Suite::aes_gcm || suite == Suite::aes_gmac) {
      add_hash_key(secrets, name, key->bytes());
    }
  }
  const Manager manager = make_manager(instruction_set);
  for (const Direction direction : {Direction::in, Direction::out}) {
    alignas(64) std::array<uint8_t, sizeof(GcmSlot)> slot{};
    expand_keys(manager.get(), suite, direction, keys, slot.data());
    const std::span<const uint8_t> bytes(slot.data(), expanded_key_bytes(suite));
    if (suite_info(suite).encryption == EncryptionAlgorithm::des_ede3_cbc) {
      secrets.add(name + " expanded", bytes.first(sizeof(HmacState)));
      secrets.add(name + " expanded", bytes.subspan(offsetof(Des3Slot, schedules)));  // no pointers
    } else {
      secrets.add(name + " expanded", bytes);
      if (suite_info(suite).integrity != IntegrityAlgorithm::aes_gmac &&
          suite_info(suite).encryption != EncryptionAlgorithm::aes_gcm) {
        secrets.add(name + " expanded", bytes.subspan(0, 20));
        secrets.add(name + " expanded", bytes.subspan(20, 20));
      }
    }
  }
}

inline std::string suite_name(Suite suite) {
  const SuiteInfo& info = suite_info(suite);
  return std::string(name(info.integrity)) + "/" + std::string(name(info.encryption));
}

}  // namespace gmesp
