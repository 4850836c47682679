// SPDX-License-Identifier: BSD-3-Clause
// Both kinds of IV come from one AES key; see the header for why they never repeat.
#include "crypto/iv_source.h"

#include <intel-ipsec-mb.h>
#include <sys/random.h>

#include <cstring>
#include <stdexcept>
#include <utility>

#include "crypto/key_material.h"

namespace gmesp {

IvSource::IvSource(IMB_MGR* manager) : manager_(manager) {
  std::array<uint8_t, 16> key;
  if (getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size())) {
    throw std::runtime_error("no random bytes for the IV key: getrandom() failed");
  }
  alignas(16) std::array<uint8_t, sizeof(round_keys_)> decryption_keys;
  IMB_AES_KEYEXP_128(manager_, key.data(), round_keys_.data(), decryption_keys.data());
  wipe(key.data(), key.size());
  wipe(decryption_keys.data(), decryption_keys.size());
}

IvSource::~IvSource() { wipe(round_keys_.data(), round_keys_.size()); }

bool IvSource::next_16_bytes(uint8_t* iv) {
  if (used_16_bytes_ == kStock && !refill_16_bytes()) return false;
  std::memcpy(iv, &stock_16_bytes_[used_16_bytes_++], 16);
  return true;
}

bool IvSource::next_8_bytes(uint8_t* iv) {
  if (used_8_bytes_ == kStock && !refill_8_bytes()) return false;
  std::memcpy(iv, &stock_8_bytes_[used_8_bytes_++], 8);
  return true;
}

bool IvSource::encipher(Blocks& blocks) {
  IMB_JOB* job = IMB_GET_NEXT_JOB(manager_);
  job->cipher_mode = IMB_CIPHER_ECB;
  job->cipher_direction = IMB_DIR_ENCRYPT;
  job->hash_alg = IMB_AUTH_NULL;
  job->chain_order = IMB_ORDER_CIPHER_HASH;
  job->enc_keys = round_keys_.data();
  job->key_len_in_bytes = IMB_KEY_128_BYTES;
  job->src = blocks[0].data();
  job->dst = blocks[0].data();
  job->cipher_start_src_offset_in_bytes = 0;
  job->msg_len_to_cipher_in_bytes = sizeof(blocks);
  job->iv = nullptr;
  job->iv_len_in_bytes = 0;
  job = IMB_SUBMIT_JOB(manager_);
  if (job == nullptr) job = IMB_FLUSH_JOB(manager_);
  return job != nullptr && job->status == IMB_STATUS_COMPLETED;
}

// The last byte of an enciphered block is 0 here and the number of the round in refill_8_bytes():
// the two uses of the key have no block in common.
bool IvSource::refill_16_bytes() {
  for (Block& block : stock_16_bytes_) {
    block.fill(0);
    std::memcpy(block.data(), &counter_16_bytes_, sizeof(counter_16_bytes_));
    ++counter_16_bytes_;
  }
  if (!encipher(stock_16_bytes_)) return false;
  used_16_bytes_ = 0;
  return true;
}

bool IvSource::refill_8_bytes() {
  constexpr uint8_t kRounds = 10;
  std::array<uint32_t, kStock> left, right;
  for (size_t i = 0; i < kStock; ++i) {
    left[i] = static_cast<uint32_t>(counter_8_bytes_ >> 32);
    right[i] = static_cast<uint32_t>(counter_8_bytes_);
    ++counter_8_bytes_;
  }
  alignas(64) Blocks blocks;
  for (uint8_t round = 1; round <= kRounds; ++round) {
    for (size_t i = 0; i < kStock; ++i) {
      blocks[i].fill(0);
      std::memcpy(blocks[i].data(), &right[i], sizeof(right[i]));
      blocks[i].back() = round;
    }
    if (!encipher(blocks)) return false;
    for (size_t i = 0; i < kStock; ++i) {
      uint32_t image;
      std::memcpy(&image, blocks[i].data(), sizeof(image));
      left[i] = std::exchange(right[i], left[i] ^ image);
    }
  }
  for (size_t i = 0; i < kStock; ++i) stock_8_bytes_[i] = uint64_t{left[i]} << 32 | right[i];
  used_8_bytes_ = 0;
  return true;
}

}  // namespace gmesp
