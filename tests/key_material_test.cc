// SPDX-License-Identifier: BSD-3-Clause
// Keys before expansion: Annex I, refusals, wiping.
#include "crypto/key_material.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <new>
#include <stdexcept>
#include <type_traits>

#include "tests/reference_esp.h"
#include "tests/vectors.h"

namespace gmesp {
namespace {

using reference::Bytes;

Bytes bytes_of(const Key& key) { return {key.bytes().begin(), key.bytes().end()}; }

Bytes filled(size_t size, uint8_t value = 0x11) { return Bytes(size, value); }

ImsKey ims_key(const Bytes& bytes) { return ImsKey(bytes); }

EspKeys keys_of_sizes(size_t authentication, size_t encryption, size_t salt) {
  Bytes encryption_key(encryption);
  for (size_t i = 0; i < encryption; ++i) encryption_key[i] = static_cast<uint8_t>(i * 2);
  return {Key(filled(authentication)), Key(encryption_key), Key(filled(salt))};
}

static_assert(!std::is_copy_constructible_v<Key> && !std::is_copy_assignable_v<Key>,
              "a key is never copied by accident");

// TS 33.203 Annex I (SPEC 7.4), from CK and IK of MILENAGE test set 1.
TEST(Expand, GivesEachSuiteItsKeysOfAnnexI) {
  const auto& expansion = vectors().at("key_expansion");
  const Bytes ck = from_hex(expansion, "CK"), ik = from_hex(expansion, "IK");
  for (const SuiteInfo& info : kSuites) {
    const std::string alg(name(info.integrity)), ealg(name(info.encryption));
    const EspKeys keys = expand(info.suite, ims_key(ck), ims_key(ik));
    const auto wanted = [&](const std::string& algorithm, const char* field) {
      return algorithm == "null" ? Bytes{} : from_hex(expansion.at(algorithm), field);
    };
    EXPECT_EQ(bytes_of(keys.authentication), wanted(alg, "key")) << alg;
    EXPECT_EQ(bytes_of(keys.encryption), wanted(ealg, "key")) << ealg;
    const std::string salted = info.suite == Suite::aes_gcm ? ealg : alg;
    EXPECT_EQ(bytes_of(keys.salt), info.salt_bytes == 0 ? Bytes{} : wanted(salted, "salt"));
    EXPECT_EQ(check_keys(info.suite, keys), KeyError::none) << alg << ealg;
  }
}

// INT-12, the second half of its rule.
TEST(Expand, RepeatsTheMostSignificantBitsInTheVariantOf2002) {
  const auto& expansion = vectors().at("key_expansion");
  const Bytes ck = from_hex(expansion, "CK"), ik = from_hex(expansion, "IK");
  const EspKeys keys =
      expand(Suite::sha1_null, ims_key(ck), ims_key(ik), Sha1KeyRule::most_significant);
  EXPECT_EQ(bytes_of(keys.authentication),
            from_hex(expansion.at("hmac-sha-1-96_2002_variant"), "key"));
}

// TS 33.220 B.2 with another implementation of HMAC-SHA-256.
TEST(Expand, DerivesTheSaltsThatOpenSslDerives) {
  for (size_t round = 0; round < 100; ++round) {
    Bytes ck(16), ik(16);
    for (size_t i = 0; i < 16; ++i) {
      ck[i] = static_cast<uint8_t>(round * 31 + i * 3);
      ik[i] = static_cast<uint8_t>(round * 17 + i * 5 + 1);
    }
    Bytes key = ck;
    key.insert(key.end(), ik.begin(), ik.end());
    for (const auto& [suite, text] : {std::pair{Suite::aes_gcm, std::string("\x59"
                                                                            "AES_GCM_SALT")},
                                      std::pair{Suite::aes_gmac, std::string("\x58"
                                                                             "AES_GMAC_SALT")}}) {
      Bytes input(text.begin(), text.end());
      input.push_back(0);
      input.push_back(static_cast<uint8_t>(text.size() - 1));
      const Bytes output = reference::hmac_sha_256(key, input);
      EXPECT_EQ(bytes_of(expand(suite, ims_key(ck), ims_key(ik)).salt),
                Bytes(output.end() - 4, output.end()));
    }
  }
}

TEST(CheckKeys, RefusesEverySizeButTheSuites) {
  for (const SuiteInfo& info : kSuites) {
    const size_t a = info.auth_key_bytes, e = info.enc_key_bytes, s = info.salt_bytes;
    EXPECT_EQ(check_keys(info.suite, keys_of_sizes(a, e, s)), KeyError::none);
    for (size_t size = 0; size <= Key::kMaxBytes; ++size) {
      if (size != a) {
        EXPECT_EQ(check_keys(info.suite, keys_of_sizes(size, e, s)),
                  KeyError::wrong_authentication_key_size);
      }
      if (size != e) {
        EXPECT_EQ(check_keys(info.suite, keys_of_sizes(a, size, s)),
                  KeyError::wrong_encryption_key_size);
      }
      if (size != s) {
        EXPECT_EQ(check_keys(info.suite, keys_of_sizes(a, e, size)), KeyError::wrong_salt_size);
      }
    }
  }
}

// RFC 2451 2.3; CK1 || CK2 || CK1 is how IMS makes its keys.
TEST(CheckKeys, RefusesDesKeysThatFallBackToSingleDes) {
  const std::string a = "0123456789abcdef", b = "fedcba9876543210", c = "1111111122222222";
  const std::string a_other_parity = "0022446688aaccee";
  const struct {
    std::string key;
    KeyError expected;
  } rows[] = {
      {a + b + c, KeyError::none},
      {a + b + a, KeyError::none},
      {a + a + c, KeyError::weak_des_key},
      {a + b + b, KeyError::weak_des_key},
      {a + a + a, KeyError::weak_des_key},
      {a + a_other_parity + c, KeyError::weak_des_key},
      {b + a + a_other_parity, KeyError::weak_des_key},
      {a + b + a_other_parity, KeyError::none},
  };
  for (const auto& row : rows) {
    for (const Suite suite : {Suite::md5_des3, Suite::sha1_des3}) {
      EspKeys keys = keys_of_sizes(suite_info(suite).auth_key_bytes, 0, 0);
      keys.encryption = Key(from_hex(row.key));
      EXPECT_EQ(check_keys(suite, keys), row.expected) << row.key;
    }
  }
}

// SPEC 8.1: such a CK is refused at set-up.
TEST(CheckKeys, RefusesACkOfTwoEqualHalves) {
  const Bytes ck(16, 0x42), ik(16, 0x17);
  EXPECT_EQ(check_keys(Suite::sha1_des3, expand(Suite::sha1_des3, ims_key(ck), ims_key(ik))),
            KeyError::weak_des_key);
  EXPECT_EQ(check_keys(Suite::sha1_aes_cbc, expand(Suite::sha1_aes_cbc, ims_key(ck), ims_key(ik))),
            KeyError::none);
}

TEST(Key, RefusesMoreThanTheLongestKey) {
  EXPECT_EQ(Key(filled(24)).size(), 24u);
  EXPECT_THROW(Key(filled(25)), std::length_error);
}

// The key in the memory may be gone as an object: the barrier keeps the compiler from knowing.
bool all_zero(const uint8_t* memory, size_t bytes) {
  asm volatile("" : : "g"(memory) : "memory");
  return std::all_of(memory, memory + bytes, [](uint8_t value) { return value == 0; });
}

TEST(Key, WipesItsBytesWhenDestroyed) {
  alignas(Key) unsigned char memory[sizeof(Key)] = {};
  Key* key = new (memory) Key(filled(24, 0xee));
  const uint8_t* bytes = key->bytes().data();
  ASSERT_FALSE(all_zero(bytes, 24));
  key->~Key();
  EXPECT_TRUE(all_zero(bytes, 24));
}

TEST(Key, LeavesNothingBehindWhenMoved) {
  Key first(filled(16, 0xee));
  const uint8_t* bytes = first.bytes().data();
  Key second(std::move(first));
  EXPECT_TRUE(all_zero(bytes, 16));
  EXPECT_EQ(bytes_of(second), filled(16, 0xee));
  Key third(filled(24, 0xdd));
  third = std::move(second);
  EXPECT_EQ(bytes_of(third), filled(16, 0xee));
  EXPECT_TRUE(all_zero(third.bytes().data() + 16, 8)) << "the rest of the longer key before it";
}

TEST(Wipe, OverwritesEveryByte) {
  Bytes memory(4096, 0xff);
  wipe(memory.data() + 1, memory.size() - 2);
  EXPECT_EQ(memory.front(), 0xff);
  EXPECT_EQ(memory.back(), 0xff);
  EXPECT_TRUE(all_zero(memory.data() + 1, memory.size() - 2));
}

}  // namespace
}  // namespace gmesp
