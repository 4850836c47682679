// SPDX-License-Identifier: BSD-3-Clause
// The algorithms of IMS ESP (TS 33.203 7.1 and Annex H) and the pairs of them that may protect an
// SA. One table; everything that needs a size or a name reads it here.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace gmesp {

enum class IntegrityAlgorithm : uint8_t { null, hmac_md5_96, hmac_sha_1_96, aes_gmac };
enum class EncryptionAlgorithm : uint8_t { null, des_ede3_cbc, aes_cbc, aes_gcm };

// A permitted pair. The order is the order of kSuites.
enum class Suite : uint8_t {
  md5_null,
  md5_des3,
  md5_aes_cbc,
  sha1_null,
  sha1_des3,
  sha1_aes_cbc,
  aes_gcm,
  aes_gmac,
};
inline constexpr size_t kSuiteCount = 8;

struct SuiteInfo {
  Suite suite;
  IntegrityAlgorithm integrity;
  EncryptionAlgorithm encryption;
  uint8_t auth_key_bytes;  // as configured, before expansion into block state
  uint8_t enc_key_bytes;
  uint8_t salt_bytes;
  uint8_t iv_bytes;         // explicit IV behind the ESP header
  uint8_t icv_bytes;        // integrity check value at the end
  uint8_t alignment_bytes;  // payload + padding + 2 is a multiple of this (RFC 4303 2.4)
};

inline constexpr std::array<SuiteInfo, kSuiteCount> kSuites{{
    {Suite::md5_null, IntegrityAlgorithm::hmac_md5_96, EncryptionAlgorithm::null,  // RFC 2403, 2410
     16, 0, 0, 0, 12, 4},
    {Suite::md5_des3, IntegrityAlgorithm::hmac_md5_96,
     EncryptionAlgorithm::des_ede3_cbc,  // RFC 2451
     16, 24, 0, 8, 12, 8},
    {Suite::md5_aes_cbc, IntegrityAlgorithm::hmac_md5_96, EncryptionAlgorithm::aes_cbc,  // RFC 3602
     16, 16, 0, 16, 12, 16},
    {Suite::sha1_null, IntegrityAlgorithm::hmac_sha_1_96,
     EncryptionAlgorithm::null,  // RFC 2404, 2410
     20, 0, 0, 0, 12, 4},
    {Suite::sha1_des3, IntegrityAlgorithm::hmac_sha_1_96, EncryptionAlgorithm::des_ede3_cbc, 20, 24,
     0, 8, 12, 8},
    {Suite::sha1_aes_cbc, IntegrityAlgorithm::hmac_sha_1_96, EncryptionAlgorithm::aes_cbc, 20, 16,
     0, 16, 12, 16},
    {Suite::aes_gcm, IntegrityAlgorithm::null, EncryptionAlgorithm::aes_gcm,  // RFC 4106
     0, 16, 4, 8, 16, 4},
    {Suite::aes_gmac, IntegrityAlgorithm::aes_gmac, EncryptionAlgorithm::null,  // RFC 4543
     16, 0, 4, 8, 16, 4},
}};

constexpr bool alignments_are_powers_of_two() {
  for (const SuiteInfo& info : kSuites) {
    if (!std::has_single_bit(info.alignment_bytes)) return false;
  }
  return true;
}
static_assert(alignments_are_powers_of_two(), "what fills a block is a mask: no division a packet");

constexpr const SuiteInfo& suite_info(Suite suite) { return kSuites[static_cast<size_t>(suite)]; }

// The suite of a pair, or nothing when the pair is not permitted: null with null (RFC 4303 3.2),
// aes-gcm with any integrity algorithm, aes-gmac with any cipher (TS 33.203 Annex H).
constexpr std::optional<Suite> find_suite(IntegrityAlgorithm integrity,
                                          EncryptionAlgorithm encryption) {
  for (const SuiteInfo& info : kSuites) {
    if (info.integrity == integrity && info.encryption == encryption) return info.suite;
  }
  return std::nullopt;
}

// Names as RFC 3329 headers and the command line write them (TS 33.203 Annex H): "hmac-md5-96",
// "aes-cbc", "null".
std::string_view name(IntegrityAlgorithm algorithm);
std::string_view name(EncryptionAlgorithm algorithm);
std::optional<IntegrityAlgorithm> parse_integrity_algorithm(std::string_view text);
std::optional<EncryptionAlgorithm> parse_encryption_algorithm(std::string_view text);

// The header in front of the payload: SPI, sequence number, IV.
constexpr uint16_t kEspHeaderBytes = 8;
constexpr uint16_t esp_front_bytes(const SuiteInfo& info) {
  return static_cast<uint16_t>(kEspHeaderBytes + info.iv_bytes);
}

constexpr bool suites_are_in_order() {
  for (size_t i = 0; i < kSuiteCount; ++i) {
    if (static_cast<size_t>(kSuites[i].suite) != i) return false;
  }
  return true;
}
static_assert(suites_are_in_order(), "suite_info() indexes kSuites by Suite");

}  // namespace gmesp
