// SPDX-License-Identifier: BSD-3-Clause
// The names of TS 33.203 Annex H, as RFC 3329 headers carry them.
#include "crypto/algorithm.h"

namespace gmesp {
namespace {

// In the order of the enumerations.
constexpr std::array<std::string_view, 4> kIntegrityNames{"null", "hmac-md5-96", "hmac-sha-1-96",
                                                          "aes-gmac"};
constexpr std::array<std::string_view, 4> kEncryptionNames{"null", "des-ede3-cbc", "aes-cbc",
                                                           "aes-gcm"};

static_assert(static_cast<size_t>(IntegrityAlgorithm::aes_gmac) + 1 == kIntegrityNames.size(),
              "every integrity algorithm has a name");
static_assert(static_cast<size_t>(EncryptionAlgorithm::aes_gcm) + 1 == kEncryptionNames.size(),
              "every encryption algorithm has a name");

template <typename Algorithm>
std::optional<Algorithm> parse(const std::array<std::string_view, 4>& names,
                               std::string_view text) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == text) return static_cast<Algorithm>(i);
  }
  return std::nullopt;
}

}  // namespace

std::string_view name(IntegrityAlgorithm algorithm) {
  return kIntegrityNames[static_cast<size_t>(algorithm)];
}

std::string_view name(EncryptionAlgorithm algorithm) {
  return kEncryptionNames[static_cast<size_t>(algorithm)];
}

std::optional<IntegrityAlgorithm> parse_integrity_algorithm(std::string_view text) {
  return parse<IntegrityAlgorithm>(kIntegrityNames, text);
}

std::optional<EncryptionAlgorithm> parse_encryption_algorithm(std::string_view text) {
  return parse<EncryptionAlgorithm>(kEncryptionNames, text);
}

}  // namespace gmesp
