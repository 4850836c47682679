// SPDX-License-Identifier: BSD-3-Clause
// A batch goes through in three steps: its jobs are put side by side by suite; the HMAC suites,
// with or without a CBC cipher, enter the lanes as one burst and are flushed out of them together;
// GCM and GMAC, which need no lanes, are called one by one.
#include "crypto/multi_buffer.h"

#include <intel-ipsec-mb.h>

#include <cstring>
#include <string_view>

#include "crypto/by_suite.h"
#include "crypto/expanded_key.h"
#include "crypto/iv_source.h"

namespace gmesp {
namespace {

using Icv = std::array<uint8_t, 16>;

constexpr bool is_cbc(const SuiteInfo& info) {
  return info.encryption == EncryptionAlgorithm::aes_cbc ||
         info.encryption == EncryptionAlgorithm::des_ede3_cbc;
}

size_t ciphertext_bytes(const SuiteInfo& info, const EspJob& job) {
  return size_t{job.esp_bytes} - esp_front_bytes(info) - info.icv_bytes;
}

// The lengths that the library can work with. Jobs go in unchecked, because its own check refuses a
// whole burst for one bad job.
bool workable(const SuiteInfo& info, const EspJob& job) {
  if (is_cbc(info)) return ciphertext_fits(info, job.esp_bytes);
  return job.esp_bytes >= esp_front_bytes(info) + info.icv_bytes;
}

uint8_t* icv_of(const SuiteInfo& info, const EspJob& job) {
  return job.esp + job.esp_bytes - info.icv_bytes;
}

// Looks at all bytes whatever they are, so the time tells nothing about them (RFC 4303 3.4.4.1).
bool same_icv(const uint8_t* a, const uint8_t* b, size_t bytes) {
  uint64_t first[2], last[2];  // together 12 or 16 bytes, overlapping for 12
  std::memcpy(&first[0], a, 8);
  std::memcpy(&first[1], b, 8);
  std::memcpy(&last[0], a + bytes - 8, 8);
  std::memcpy(&last[1], b + bytes - 8, 8);
  return ((first[0] ^ first[1]) | (last[0] ^ last[1])) == 0;
}

// The verdict on an inbound job. What a forged packet decrypted to must not be of use to anybody.
void conclude(EspJob& job, bool finished, const uint8_t* icv) {
  const SuiteInfo& info = suite_info(job.suite);
  job.good = finished && same_icv(icv, icv_of(info, job), info.icv_bytes);
  if (!job.good) std::memset(job.esp + esp_front_bytes(info), 0, ciphertext_bytes(info, job));
}

template <Suite kSuite>
void describe_cipher(IMB_JOB& lane, const EspJob& job) {
  constexpr const SuiteInfo& info = suite_info(kSuite);
  lane.cipher_mode = IMB_CIPHER_NULL;
  lane.msg_len_to_cipher_in_bytes = 0;
  if constexpr (is_cbc(info)) {
    lane.cipher_start_src_offset_in_bytes = esp_front_bytes(info);
    lane.msg_len_to_cipher_in_bytes = ciphertext_bytes(info, job);
    lane.iv = job.esp + kEspHeaderBytes;
    lane.iv_len_in_bytes = info.iv_bytes;
    lane.key_len_in_bytes = info.enc_key_bytes;
  }
  if constexpr (info.encryption == EncryptionAlgorithm::aes_cbc) {
    lane.cipher_mode = IMB_CIPHER_CBC;
    lane.enc_keys = reinterpret_cast<const AesCbcSlot*>(job.key)->round_keys.data();
    lane.dec_keys = lane.enc_keys;
  } else if constexpr (info.encryption == EncryptionAlgorithm::des_ede3_cbc) {
    lane.cipher_mode = IMB_CIPHER_DES3;
    lane.enc_keys = reinterpret_cast<const Des3Slot*>(job.key)->schedule_pointers.data();
    lane.dec_keys = lane.enc_keys;
  }
}

template <Suite kSuite>
void describe_hash(IMB_JOB& lane, const EspJob& job, uint8_t* icv) {
  constexpr const SuiteInfo& info = suite_info(kSuite);
  const HmacState& hmac = *reinterpret_cast<const HmacState*>(job.key);
  lane.hash_alg =
      info.integrity == IntegrityAlgorithm::hmac_md5_96 ? IMB_AUTH_MD5 : IMB_AUTH_HMAC_SHA_1;
  lane.hash_start_src_offset_in_bytes = 0;
  lane.msg_len_to_hash_in_bytes = size_t{job.esp_bytes} - info.icv_bytes;
  lane.u.HMAC._hashed_auth_key_xor_ipad = hmac.inner.data();
  lane.u.HMAC._hashed_auth_key_xor_opad = hmac.outer.data();
  lane.auth_tag_output = icv;
  lane.auth_tag_output_len_in_bytes = info.icv_bytes;
}

// The HMAC suites' jobs on their way through the lanes.
template <Direction kDirection>
class LaneBurst {
 public:
  explicit LaneBurst(IMB_MGR* manager) : manager_(manager) {}

  template <Suite kSuite>
  void add(std::span<EspJob* const> jobs) {
    constexpr const SuiteInfo& info = suite_info(kSuite);
    if (jobs.empty()) return;
    if (free_ == 0) free_ = IMB_GET_NEXT_BURST(manager_, MultiBuffer::kMaxJobs, lanes_.data());
    for (EspJob* job : jobs) {
      if (!workable(info, *job) || used_ == free_) continue;
      IMB_JOB& lane = *lanes_[used_];
      constexpr bool kOut = kDirection == Direction::out;
      lane.src = job->esp;
      lane.dst = job->esp + esp_front_bytes(info);
      lane.cipher_direction = kOut ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
      lane.chain_order = kOut ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
      describe_cipher<kSuite>(lane, *job);
      describe_hash<kSuite>(lane, *job, kOut ? icv_of(info, *job) : icvs_[used_].data());
      lane.user_data = job;
      ++used_;
    }
  }

  void run() {
    if (used_ == 0) return;
    uint32_t left = used_;
    uint32_t returned = IMB_SUBMIT_BURST_NOCHECK(manager_, used_, lanes_.data());
    while (true) {
      for (uint32_t i = 0; i < returned; ++i) finish(*lanes_[i]);
      left -= returned;
      if (left == 0) return;
      returned = IMB_FLUSH_BURST(manager_, left, lanes_.data());
      if (returned == 0) return;
    }
  }

 private:
  void finish(const IMB_JOB& lane) {
    EspJob& job = *static_cast<EspJob*>(lane.user_data);
    const bool finished = lane.status == IMB_STATUS_COMPLETED;
    if constexpr (kDirection == Direction::out) {
      job.good = finished;
    } else {
      conclude(job, finished, lane.auth_tag_output);
    }
  }

  IMB_MGR* manager_;
  uint32_t free_ = 0;
  uint32_t used_ = 0;
  std::array<IMB_JOB*, MultiBuffer::kMaxJobs> lanes_;
  std::array<Icv, MultiBuffer::kMaxJobs> icvs_;
};

// RFC 4106 section 4, RFC 4543 section 3.2: salt, then the explicit IV.
std::array<uint8_t, 12> nonce(const GcmSlot& slot, const EspJob& job) {
  std::array<uint8_t, 12> nonce;
  std::memcpy(nonce.data(), slot.salt.data(), slot.salt.size());
  std::memcpy(nonce.data() + slot.salt.size(), job.esp + kEspHeaderBytes, 8);
  return nonce;
}

const gcm_key_data* gcm_key(const GcmSlot& slot) {
  return reinterpret_cast<const gcm_key_data*>(slot.key_data.data());
}

// RFC 4106 section 5: SPI and sequence number are authenticated, the payload encrypted too.
template <Direction kDirection>
void run_gcm(IMB_MGR* manager, std::span<EspJob* const> jobs) {
  constexpr const SuiteInfo& info = suite_info(Suite::aes_gcm);
  gcm_context_data context;
  for (EspJob* job : jobs) {
    if (!workable(info, *job)) continue;
    const GcmSlot& slot = *reinterpret_cast<const GcmSlot*>(job->key);
    const auto iv = nonce(slot, *job);
    uint8_t* payload = job->esp + esp_front_bytes(info);
    const size_t bytes = ciphertext_bytes(info, *job);
    if constexpr (kDirection == Direction::out) {
      IMB_AES128_GCM_ENC(manager, gcm_key(slot), &context, payload, payload, bytes, iv.data(),
                         job->esp, kEspHeaderBytes, icv_of(info, *job), info.icv_bytes);
      job->good = true;
    } else {
      Icv icv;
      IMB_AES128_GCM_DEC(manager, gcm_key(slot), &context, payload, payload, bytes, iv.data(),
                         job->esp, kEspHeaderBytes, icv.data(), info.icv_bytes);
      conclude(*job, true, icv.data());
    }
  }
}

// RFC 4543 section 3.3: everything in front of the ICV is authenticated, nothing encrypted.
template <Direction kDirection>
void run_gmac(IMB_MGR* manager, std::span<EspJob* const> jobs) {
  constexpr const SuiteInfo& info = suite_info(Suite::aes_gmac);
  gcm_context_data context;
  for (EspJob* job : jobs) {
    if (!workable(info, *job)) continue;
    const GcmSlot& slot = *reinterpret_cast<const GcmSlot*>(job->key);
    const auto iv = nonce(slot, *job);
    Icv icv;
    IMB_AES128_GMAC_INIT(manager, gcm_key(slot), &context, iv.data(), iv.size());
    IMB_AES128_GMAC_UPDATE(manager, gcm_key(slot), &context, job->esp,
                           size_t{job->esp_bytes} - info.icv_bytes);
    IMB_AES128_GMAC_FINALIZE(manager, gcm_key(slot), &context, icv.data(), info.icv_bytes);
    if constexpr (kDirection == Direction::out) {
      std::memcpy(icv_of(info, *job), icv.data(), info.icv_bytes);
      job->good = true;
    } else {
      conclude(*job, true, icv.data());
    }
  }
}

// Up to so many SHA-1 jobs are done sooner without wide lanes: measured in perf/README.md.
constexpr size_t kFewSha1Jobs = 4;

template <Direction kDirection>
void run(IMB_MGR* manager, IMB_MGR* few_sha1_manager, std::span<EspJob> jobs) {
  const BySuite by_suite(jobs);
  LaneBurst<kDirection> lanes(manager), few_sha1_lanes(few_sha1_manager);
  const bool few_sha1 =
      few_sha1_manager != nullptr &&
      by_suite[Suite::sha1_null].size() + by_suite[Suite::sha1_aes_cbc].size() <= kFewSha1Jobs;
  LaneBurst<kDirection>& sha1_lanes = few_sha1 ? few_sha1_lanes : lanes;
  for (const SuiteInfo& info : kSuites) {
    const std::span<EspJob* const> group = by_suite[info.suite];
    switch (info.suite) {
      case Suite::md5_null:
        lanes.template add<Suite::md5_null>(group);
        break;
      case Suite::md5_des3:
        lanes.template add<Suite::md5_des3>(group);
        break;
      case Suite::md5_aes_cbc:
        lanes.template add<Suite::md5_aes_cbc>(group);
        break;
      case Suite::sha1_null:
        sha1_lanes.template add<Suite::sha1_null>(group);
        break;
      case Suite::sha1_des3:
        lanes.template add<Suite::sha1_des3>(group);
        break;
      case Suite::sha1_aes_cbc:
        sha1_lanes.template add<Suite::sha1_aes_cbc>(group);
        break;
      case Suite::aes_gcm:
        run_gcm<kDirection>(manager, group);
        break;
      case Suite::aes_gmac:
        run_gmac<kDirection>(manager, group);
        break;
    }
  }
  lanes.run();
  few_sha1_lanes.run();
}

}  // namespace

MultiBuffer::MultiBuffer(InstructionSet instruction_set)
    : instruction_set_(instruction_set),
      manager_(make_manager(instruction_set)),
      few_sha1_manager_(instruction_set == InstructionSet::best ? make_few_sha1_manager(*manager_)
                                                                : nullptr),
      iv_manager_(make_manager(instruction_set)),
      iv_source_(std::make_unique<IvSource>(iv_manager_.get())) {}

MultiBuffer::~MultiBuffer() = default;

void MultiBuffer::verify_and_decrypt(std::span<EspJob> jobs) {
  run<Direction::in>(manager_.get(), few_sha1_manager_.get(), jobs);
}

bool MultiBuffer::is_fast(Suite suite) const {
  return suite_info(suite).encryption != EncryptionAlgorithm::des_ede3_cbc ||
         std::string_view(instruction_set_name()) == "AVX512";
}

void MultiBuffer::encrypt_and_sign(std::span<EspJob> jobs) {
  if (write_ivs(jobs)) return seal(jobs);
  for (EspJob& job : jobs) job.good = false;
}

bool MultiBuffer::write_ivs(std::span<const EspJob> jobs) {
  bool all_written = true;
  for (const EspJob& job : jobs) {
    const SuiteInfo& info = suite_info(job.suite);
    uint8_t* iv = job.esp + kEspHeaderBytes;
    if (job.esp_bytes < esp_front_bytes(info)) continue;  // seal() refuses it
    if (info.encryption == EncryptionAlgorithm::aes_cbc) {
      all_written &= iv_source_->next_16_bytes(iv);
    } else if (info.encryption == EncryptionAlgorithm::des_ede3_cbc) {
      all_written &= iv_source_->next_8_bytes(iv);
    } else if (info.iv_bytes > 0) {
      // SPI || sequence number: differs between any two packets of SAs that share a key (RFC 4106
      // section 3.1, SPEC R18).
      std::memcpy(iv, job.esp, kEspHeaderBytes);
    }
  }
  return all_written;
}

void MultiBuffer::seal(std::span<EspJob> jobs) {
  run<Direction::out>(manager_.get(), few_sha1_manager_.get(), jobs);
}

}  // namespace gmesp
