// SPDX-License-Identifier: BSD-3-Clause
// Key expansion into slots: RFC 2104 section 4 for the HMAC states; the ciphers' schedules are the
// library's.
#include "crypto/expanded_key.h"

#include <intel-ipsec-mb.h>

#include <algorithm>
#include <cassert>
#include <new>

namespace gmesp {
namespace {

static_assert(sizeof(gcm_key_data) == kGcmKeyDataBytes,
              "the library's GCM key data has its place in GcmSlot");

constexpr size_t kHashBlockBytes = 64;  // MD5 and SHA-1

// The state after one block of (key XOR pad).
void one_block(IMB_MGR* manager, IntegrityAlgorithm algorithm, std::span<const uint8_t> key,
               uint8_t pad, uint8_t* state) {
  std::array<uint8_t, kHashBlockBytes> block;
  block.fill(pad);
  for (size_t i = 0; i < key.size(); ++i) block[i] = static_cast<uint8_t>(key[i] ^ pad);
  if (algorithm == IntegrityAlgorithm::hmac_md5_96) {
    IMB_MD5_ONE_BLOCK(manager, block.data(), state);
  } else {
    IMB_SHA1_ONE_BLOCK(manager, block.data(), state);
  }
  wipe(block.data(), block.size());
}

void expand_aes_cbc(IMB_MGR* manager, Direction direction, const Key& key, AesCbcSlot& slot) {
  alignas(16) std::array<uint8_t, sizeof(slot.round_keys)> other_direction;
  uint8_t* wanted = slot.round_keys.data();
  const bool out = direction == Direction::out;
  IMB_AES_KEYEXP_128(manager, key.bytes().data(), out ? wanted : other_direction.data(),
                     out ? other_direction.data() : wanted);
  wipe(other_direction.data(), other_direction.size());
}

void expand_des3(IMB_MGR* manager, const Key& key, Des3Slot& slot) {
  for (size_t i = 0; i < slot.schedules.size(); ++i) {
    IMB_DES_KEYSCHED(manager, slot.schedules[i].data(), key.bytes().data() + 8 * i);
    slot.schedule_pointers[i] = slot.schedules[i].data();
  }
}

void expand_gcm(IMB_MGR* manager, const Key& key, const Key& salt, GcmSlot& slot) {
  IMB_AES128_GCM_PRE(manager, key.bytes().data(),
                     reinterpret_cast<gcm_key_data*>(slot.key_data.data()));
  std::copy_n(salt.bytes().data(), slot.salt.size(), slot.salt.data());
}

}  // namespace

HmacState hmac_state(IMB_MGR* manager, IntegrityAlgorithm algorithm, std::span<const uint8_t> key) {
  assert(key.size() <= kHashBlockBytes);
  HmacState state{};
  one_block(manager, algorithm, key, 0x36, state.inner.data());
  one_block(manager, algorithm, key, 0x5c, state.outer.data());
  return state;
}

void expand_keys(IMB_MGR* manager, Suite suite, Direction direction, const EspKeys& keys,
                 uint8_t* slot) {
  const SuiteInfo& info = suite_info(suite);
  if (suite == Suite::aes_gcm) {
    return expand_gcm(manager, keys.encryption, keys.salt, *new (slot) GcmSlot);
  }
  if (suite == Suite::aes_gmac) {
    return expand_gcm(manager, keys.authentication, keys.salt, *new (slot) GcmSlot);
  }
  HmacState hmac = hmac_state(manager, info.integrity, keys.authentication.bytes());
  if (info.encryption == EncryptionAlgorithm::aes_cbc) {
    expand_aes_cbc(manager, direction, keys.encryption, *new (slot) AesCbcSlot{hmac, {}});
  } else if (info.encryption == EncryptionAlgorithm::des_ede3_cbc) {
    expand_des3(manager, keys.encryption, *new (slot) Des3Slot{hmac, {}, {}});
  } else {
    new (slot) HmacSlot{hmac};
  }
  wipe(&hmac, sizeof(hmac));
}

}  // namespace gmesp
