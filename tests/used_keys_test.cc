// SPDX-License-Identifier: BSD-3-Clause
// No CK and IK twice (SPEC 7.4), and the hash behind it against OpenSSL's.
#include "control/registration/used_keys.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <array>
#include <optional>
#include <vector>

namespace gmesp {
namespace {

using KeyBytes = std::array<uint8_t, 16>;

KeyBytes key(uint32_t n) {
  KeyBytes bytes{};
  std::memcpy(bytes.data() + 5, &n, sizeof n);
  return bytes;
}
std::optional<KeyPrint> take(UsedKeys& used, uint32_t ck, uint32_t ik) {
  return used.take(key(ck), key(ik));
}
bool add(UsedKeys& used, uint32_t ck, uint32_t ik) { return take(used, ck, ik).has_value(); }

// R18, SPEC 7.4: never re-install a set with the same CK and IK.
TEST(UsedKeys, APairIsTakenOnce) {
  UsedKeys used(100, 100);
  EXPECT_TRUE(add(used, 1, 2));
  EXPECT_FALSE(add(used, 1, 2));
  EXPECT_TRUE(add(used, 2, 1));
  EXPECT_TRUE(add(used, 1, 1));
  EXPECT_TRUE(add(used, 1, 3));
  EXPECT_FALSE(add(used, 2, 1));
}

TEST(UsedKeys, WhatWasNotInstalledMayComeAgain) {
  UsedKeys used(100, 100);
  EXPECT_TRUE(add(used, 1, 1));
  const auto print = take(used, 2, 2);
  ASSERT_TRUE(print);
  EXPECT_FALSE(add(used, 2, 2));
  used.forget(*print);
  EXPECT_FALSE(add(used, 1, 1));
  EXPECT_TRUE(add(used, 2, 2));
}

// However many come and go meanwhile, the keys of a set that lives are not taken again.
TEST(UsedKeys, OfThoseThatHaveGoneTheOldestAreForgotten) {
  constexpr uint32_t kCapacity = 1000;
  UsedKeys used(kCapacity, 10);
  ASSERT_TRUE(add(used, 0, 1));
  for (uint32_t i = 0; i < 5 * kCapacity; ++i) {
    const auto print = take(used, i, i);
    ASSERT_TRUE(print);
    used.retire(*print);
  }
  EXPECT_FALSE(add(used, 0, 1));
  for (uint32_t i = 4 * kCapacity; i < 5 * kCapacity; ++i) ASSERT_FALSE(add(used, i, i)) << i;
  EXPECT_TRUE(add(used, 4 * kCapacity - 1, 4 * kCapacity - 1));
}

TEST(UsedKeys, AMillionPairsAreAllDifferent) {
  UsedKeys used(1, 1000000);
  for (uint32_t i = 0; i < 1000000; ++i) ASSERT_TRUE(add(used, i, ~i));
  for (uint32_t i = 0; i < 1000000; ++i) ASSERT_FALSE(add(used, i, ~i));
}

std::vector<uint8_t> openssl_sip_hash(std::span<const uint8_t> key, std::span<const uint8_t> text) {
  EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "SIPHASH", nullptr);
  EVP_MAC_CTX* const context = EVP_MAC_CTX_new(mac);
  unsigned size = 8;
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_SIZE, &size),
                               OSSL_PARAM_construct_end()};
  std::vector<uint8_t> out(8);
  size_t written = 0;
  EXPECT_EQ(EVP_MAC_init(context, key.data(), key.size(), params), 1);
  EXPECT_EQ(EVP_MAC_update(context, text.data(), text.size()), 1);
  EXPECT_EQ(EVP_MAC_final(context, out.data(), &written, out.size()), 1);
  EXPECT_EQ(written, 8U);
  EVP_MAC_CTX_free(context);
  EVP_MAC_free(mac);
  return out;
}

TEST(SipHash, IsThatOfOpenssl) {
  std::vector<uint8_t> key(16);
  std::vector<uint8_t> text;
  for (uint8_t i = 0; i < 100; ++i) {
    key[i % 16] = static_cast<uint8_t>(key[i % 16] + 31 * i);
    SipHashKey words;
    std::memcpy(words.data(), key.data(), 16);
    SipHash hash(words);
    const size_t whole = text.size() / 8 * 8;
    const std::span<const uint8_t> bytes(text);
    hash.add(bytes.first(whole / 16 * 8));
    hash.add(bytes.subspan(whole / 16 * 8, whole - whole / 16 * 8));
    const uint64_t out = hash.finish(bytes.subspan(whole));
    std::vector<uint8_t> out_bytes(8);
    std::memcpy(out_bytes.data(), &out, 8);
    EXPECT_EQ(out_bytes, openssl_sip_hash(key, text)) << text.size() << " bytes";
    text.push_back(static_cast<uint8_t>(7 * i));
  }
}

}  // namespace
}  // namespace gmesp
