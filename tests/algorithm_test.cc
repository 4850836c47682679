// SPDX-License-Identifier: BSD-3-Clause
// The table of suites, names and lengths.
#include "crypto/algorithm.h"

#include <gtest/gtest.h>

#include "crypto/multi_buffer.h"

namespace gmesp {
namespace {

using Integrity = IntegrityAlgorithm;
using Encryption = EncryptionAlgorithm;

// RFC 4303 3.2, SPEC ESP-13.
TEST(FindSuite, RefusesNullWithNull) {
  EXPECT_EQ(find_suite(Integrity::null, Encryption::null), std::nullopt);
}

// TS 33.203 Annex H: {MD5, SHA-1} x {null, 3DES, AES-CBC}, and GCM and GMAC alone.
TEST(FindSuite, PermitsTheEightPairsAndNoOther) {
  constexpr std::optional<Suite> kNone;
  const std::optional<Suite> expected[4][4] = {
      // null, des-ede3-cbc, aes-cbc, aes-gcm
      {kNone, kNone, kNone, Suite::aes_gcm},                             // null
      {Suite::md5_null, Suite::md5_des3, Suite::md5_aes_cbc, kNone},     // hmac-md5-96
      {Suite::sha1_null, Suite::sha1_des3, Suite::sha1_aes_cbc, kNone},  // hmac-sha-1-96
      {Suite::aes_gmac, kNone, kNone, kNone},                            // aes-gmac
  };
  for (size_t i = 0; i < 4; ++i) {
    for (size_t e = 0; e < 4; ++e) {
      EXPECT_EQ(find_suite(static_cast<Integrity>(i), static_cast<Encryption>(e)), expected[i][e])
          << i << ' ' << e;
    }
  }
}

TEST(AlgorithmName, IsTheOneOfTheSecurityHeadersBothWays) {
  const std::pair<Integrity, std::string_view> integrity[] = {
      {Integrity::null, "null"},
      {Integrity::hmac_md5_96, "hmac-md5-96"},
      {Integrity::hmac_sha_1_96, "hmac-sha-1-96"},
      {Integrity::aes_gmac, "aes-gmac"}};
  for (const auto& [algorithm, text] : integrity) {
    EXPECT_EQ(name(algorithm), text);
    EXPECT_EQ(parse_integrity_algorithm(text), algorithm);
  }
  const std::pair<Encryption, std::string_view> encryption[] = {
      {Encryption::null, "null"},
      {Encryption::des_ede3_cbc, "des-ede3-cbc"},
      {Encryption::aes_cbc, "aes-cbc"},
      {Encryption::aes_gcm, "aes-gcm"}};
  for (const auto& [algorithm, text] : encryption) {
    EXPECT_EQ(name(algorithm), text);
    EXPECT_EQ(parse_encryption_algorithm(text), algorithm);
  }
}

TEST(AlgorithmName, RefusesWhatIsNotAName) {
  for (const std::string_view text : {"", "hmac-sha-1", "HMAC-MD5-96", "aes-gcm", "null "}) {
    EXPECT_EQ(parse_integrity_algorithm(text), std::nullopt) << text;
  }
  for (const std::string_view text : {"", "aes", "aes-cbc\n", "aes-gmac", "3des-cbc"}) {
    EXPECT_EQ(parse_encryption_algorithm(text), std::nullopt) << text;
  }
}

// RFC 4303 2: header 8, IV, at least one unit of payload and trailer, ICV.
TEST(CiphertextFits, TakesWholeBlocksFromTheSmallestPacketOn) {
  const struct {
    Suite suite;
    size_t esp_bytes;
    bool fits;
  } rows[] = {
      {Suite::sha1_null, 0, false},     {Suite::sha1_null, 8, false},
      {Suite::sha1_null, 20, false},    {Suite::sha1_null, 23, false},
      {Suite::sha1_null, 24, true},     {Suite::sha1_null, 26, false},
      {Suite::sha1_null, 28, true},     {Suite::md5_des3, 28, false},
      {Suite::md5_des3, 32, false},     {Suite::md5_des3, 36, true},
      {Suite::md5_des3, 40, false},     {Suite::sha1_aes_cbc, 36, false},
      {Suite::sha1_aes_cbc, 51, false}, {Suite::sha1_aes_cbc, 52, true},
      {Suite::sha1_aes_cbc, 60, false}, {Suite::sha1_aes_cbc, 68, true},
      {Suite::aes_gcm, 32, false},      {Suite::aes_gcm, 36, true},
      {Suite::aes_gcm, 37, false},      {Suite::aes_gmac, 32, false},
      {Suite::aes_gmac, 36, true},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(ciphertext_fits(suite_info(row.suite), row.esp_bytes), row.fits)
        << static_cast<int>(row.suite) << ' ' << row.esp_bytes;
  }
}

}  // namespace
}  // namespace gmesp
