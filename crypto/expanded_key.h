// SPDX-License-Identifier: BSD-3-Clause
// What a slot of the key store holds, by suite. Private to crypto/.
//
//   size  suites              0          40              48 / 64
//     64  HMAC + NULL         HmacState
//    256  HMAC + AES-CBC      HmacState  .               176 bytes of round keys, one direction
//    448  HMAC + DES-EDE3     HmacState  3 pointers      3 key schedules of 128 bytes
//   1024  GCM, GMAC           1008 bytes of the library's key data, 4 bytes of salt
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "crypto/algorithm.h"
#include "crypto/key_material.h"
#include "crypto/key_store.h"
#include "crypto/manager.h"

namespace gmesp {

// The hash states after (key XOR ipad) and (key XOR opad) (RFC 2104 section 4). MD5 fills 16 bytes
// of each.
struct HmacState {
  std::array<uint8_t, 20> inner;
  std::array<uint8_t, 20> outer;
};

struct alignas(64) HmacSlot {
  HmacState hmac;
};
static_assert(sizeof(HmacSlot) == 64, "one cache line for an SA without encryption");

struct alignas(64) AesCbcSlot {
  HmacState hmac;
  alignas(16) std::array<uint8_t, 11 * 16> round_keys;  // decryption's for `in`, encryption's else
};
static_assert(sizeof(AesCbcSlot) == 256, "four cache lines");

struct alignas(64) Des3Slot {
  HmacState hmac;
  std::array<const void*, 3> schedule_pointers;  // the library wants an array of pointers
  std::array<std::array<uint64_t, 16>, 3> schedules;
};
static_assert(sizeof(Des3Slot) == 448, "seven cache lines");

constexpr size_t kGcmKeyDataBytes = 1008;
struct alignas(64) GcmSlot {
  std::array<uint8_t, kGcmKeyDataBytes> key_data;  // layout differs between instruction sets
  std::array<uint8_t, 4> salt;
};
static_assert(sizeof(GcmSlot) == 1024, "sixteen cache lines");

constexpr size_t expanded_key_bytes(Suite suite) {
  switch (suite_info(suite).encryption) {
    case EncryptionAlgorithm::aes_cbc:
      return sizeof(AesCbcSlot);
    case EncryptionAlgorithm::des_ede3_cbc:
      return sizeof(Des3Slot);
    case EncryptionAlgorithm::aes_gcm:
      return sizeof(GcmSlot);
    case EncryptionAlgorithm::null:
      break;
  }
  return suite == Suite::aes_gmac ? sizeof(GcmSlot) : sizeof(HmacSlot);
}

// HMAC states of a key of at most 64 bytes.
HmacState hmac_state(IMB_MGR* manager, IntegrityAlgorithm algorithm, std::span<const uint8_t> key);

// Fills a slot of expanded_key_bytes(suite), aligned to 64. check_keys() has passed.
void expand_keys(IMB_MGR* manager, Suite suite, Direction direction, const EspKeys& keys,
                 uint8_t* slot);

}  // namespace gmesp
