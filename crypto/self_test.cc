// SPDX-License-Identifier: BSD-3-Clause
// The start-up check that this CPU and this build of the library compute what they must.
#include "crypto/self_test.h"

#include <intel-ipsec-mb.h>

#include <algorithm>
#include <vector>

#include "crypto/key_store.h"
#include "crypto/multi_buffer.h"

namespace gmesp {

// Computed with OpenSSL by the test MultiBuffer.SelfTestDigestsAreWhatOpenSslComputes.
const std::array<Sha1Digest, kSuiteCount> kSelfTestDigests{{
    {0xd4, 0xa7, 0x79, 0x45, 0xf3, 0xce, 0xf9, 0x73, 0x35, 0x3a,
     0x4c, 0x6d, 0x2c, 0xb7, 0xa8, 0x41, 0xab, 0x17, 0xc0, 0xb4},  // md5_null
    {0x19, 0xe3, 0xe0, 0x15, 0x14, 0xad, 0x10, 0xe9, 0xb2, 0x02,
     0x55, 0x09, 0x98, 0xc6, 0x79, 0xd9, 0x49, 0x25, 0x2a, 0x76},  // md5_des3
    {0x35, 0xe8, 0x95, 0x17, 0x6b, 0x6d, 0x1a, 0xa1, 0x07, 0xcb,
     0x60, 0xab, 0x66, 0x12, 0x19, 0xc0, 0x16, 0x4e, 0x93, 0xc1},  // md5_aes_cbc
    {0xff, 0x24, 0x2e, 0x01, 0xc1, 0x25, 0x36, 0x1d, 0xc7, 0xac,
     0x84, 0x62, 0x93, 0xca, 0xfd, 0xf1, 0x8c, 0xae, 0x61, 0x1f},  // sha1_null
    {0xe9, 0x89, 0x9d, 0xec, 0xd5, 0xbd, 0x0a, 0x50, 0xbc, 0xb0,
     0x69, 0x1e, 0x27, 0x3a, 0x1d, 0x6b, 0x94, 0x2a, 0x6e, 0x64},  // sha1_des3
    {0x98, 0x73, 0x86, 0xce, 0x28, 0x1b, 0x6e, 0x84, 0x95, 0x36,
     0x70, 0xc8, 0xad, 0x05, 0x8b, 0x27, 0x07, 0xfb, 0x6d, 0x74},  // sha1_aes_cbc
    {0x17, 0x24, 0xcc, 0x3b, 0x81, 0x77, 0x4f, 0xef, 0x64, 0x2f,
     0x5a, 0x55, 0xa1, 0x71, 0x7e, 0x41, 0x18, 0x33, 0x7a, 0x5e},  // aes_gcm
    {0x4d, 0x5d, 0xc0, 0xc0, 0xf4, 0x00, 0x72, 0x1a, 0xcf, 0x39,
     0x3c, 0x17, 0x79, 0x13, 0xc6, 0x95, 0x44, 0xa4, 0xcb, 0x92},  // aes_gmac
}};

namespace {

// A byte that differs between keys and along each key.
uint8_t pattern(size_t index, size_t position) {
  return static_cast<uint8_t>(index * 37 + position * 11 + (position >> 3) * 5 + 1);
}

Key pattern_key(size_t index, size_t bytes) {
  std::array<uint8_t, Key::kMaxBytes> key;
  for (size_t i = 0; i < bytes; ++i) key[i] = pattern(index, i);
  return Key(std::span(key).first(bytes));
}

// The packets of one suite with their keys and jobs.
class SuiteTrial {
 public:
  SuiteTrial(Suite suite, Direction direction, KeyStore& keys, std::vector<uint8_t>& packets)
      : suite_(suite), keys_(keys) {
    size_t offset = 0;
    for (size_t i = 0; i < kSelfTestPackets; ++i) {
      const auto slot = keys_.store(suite, direction, self_test_keys(suite, i));
      const uint16_t esp_bytes = self_test_esp_bytes(suite, i);
      jobs_[i] = {keys_.at(*slot), packets.data() + offset, esp_bytes, suite, false};
      slots_[i] = *slot;
      offset += esp_bytes;
    }
  }
  ~SuiteTrial() {
    for (const KeySlot slot : slots_) keys_.release(slot, suite_);
  }
  SuiteTrial(const SuiteTrial&) = delete;
  SuiteTrial& operator=(const SuiteTrial&) = delete;

  std::span<EspJob> jobs() { return jobs_; }
  size_t good() const {
    return static_cast<size_t>(
        std::count_if(jobs_.begin(), jobs_.end(), [](const EspJob& job) { return job.good; }));
  }

 private:
  Suite suite_;
  KeyStore& keys_;
  std::array<EspJob, kSelfTestPackets> jobs_;
  std::array<KeySlot, kSelfTestPackets> slots_;
};

std::vector<uint8_t> plain_packets(Suite suite) {
  std::vector<uint8_t> packets;
  for (size_t i = 0; i < kSelfTestPackets; ++i) {
    const size_t begin = packets.size();
    packets.resize(begin + self_test_esp_bytes(suite, i));
    fill_self_test_packet(i, std::span(packets).subspan(begin), suite_info(suite).icv_bytes);
  }
  return packets;
}

// Equal but for the ICVs, which only the protected packets have.
bool same_payloads(std::span<EspJob> opened, const std::vector<uint8_t>& plain) {
  size_t offset = 0;
  for (const EspJob& job : opened) {
    const size_t covered = size_t{job.esp_bytes} - suite_info(job.suite).icv_bytes;
    if (!std::equal(job.esp, job.esp + covered, plain.data() + offset)) return false;
    offset += job.esp_bytes;
  }
  return true;
}

// So many jobs at a time.
template <typename Call>
void in_batches(std::span<EspJob> jobs, size_t batch, Call call) {
  for (; !jobs.empty(); jobs = jobs.subspan(std::min(batch, jobs.size()))) {
    call(jobs.first(std::min(batch, jobs.size())));
  }
}

std::string test_suite(MultiBuffer& multi_buffer, IMB_MGR* manager, KeyStore& keys, Suite suite,
                       size_t batch) {
  const auto seal = [&](std::span<EspJob> jobs) { multi_buffer.seal(jobs); };
  const auto open = [&](std::span<EspJob> jobs) { multi_buffer.verify_and_decrypt(jobs); };
  const std::vector<uint8_t> plain = plain_packets(suite);
  std::vector<uint8_t> packets = plain;
  SuiteTrial outbound(suite, Direction::out, keys, packets);
  in_batches(outbound.jobs(), batch, seal);
  Sha1Digest digest;
  IMB_SHA1(manager, packets.data(), packets.size(), digest.data());
  if (outbound.good() != kSelfTestPackets ||
      digest != kSelfTestDigests[static_cast<size_t>(suite)]) {
    return "encrypts or signs wrongly";
  }

  std::vector<uint8_t> forged = packets;
  SuiteTrial inbound(suite, Direction::in, keys, packets);
  in_batches(inbound.jobs(), batch, open);
  if (inbound.good() != kSelfTestPackets || !same_payloads(inbound.jobs(), plain)) {
    return "verifies or decrypts wrongly";
  }

  SuiteTrial forgery(suite, Direction::in, keys, forged);
  for (size_t i = 0; i < kSelfTestPackets; ++i) {
    EspJob& job = forgery.jobs()[i];
    job.esp[i * 7 % job.esp_bytes] ^= static_cast<uint8_t>(1 << i % 8);
  }
  in_batches(forgery.jobs(), batch, open);
  return forgery.good() == 0 ? "" : "accepts a forged packet";
}

}  // namespace

EspKeys self_test_keys(Suite suite, size_t index) {
  const SuiteInfo& info = suite_info(suite);
  return {pattern_key(index, info.auth_key_bytes), pattern_key(index + 1, info.enc_key_bytes),
          pattern_key(index + 2, info.salt_bytes)};
}

uint16_t self_test_esp_bytes(Suite suite, size_t index) {
  const SuiteInfo& info = suite_info(suite);
  const size_t blocks = 1 + index * 13 % 29;  // neighbours in the lanes end at different times
  return static_cast<uint16_t>(esp_front_bytes(info) + blocks * info.alignment_bytes +
                               info.icv_bytes);
}

void fill_self_test_packet(size_t index, std::span<uint8_t> esp, size_t icv_bytes) {
  const size_t covered = esp.size() - icv_bytes;
  for (size_t i = 0; i < covered; ++i) esp[i] = pattern(index + 3, i);
  std::fill(esp.begin() + static_cast<std::ptrdiff_t>(covered), esp.end(), uint8_t{0});
}

std::string MultiBuffer::self_test() {
  KeyStore keys(3 * kSelfTestPackets, instruction_set_);
  // All lanes full, and the path that a few jobs take.
  for (const size_t batch : {kSelfTestPackets, size_t{3}}) {
    for (const SuiteInfo& info : kSuites) {
      const std::string failure = test_suite(*this, manager_.get(), keys, info.suite, batch);
      if (failure.empty()) continue;
      return std::string(name(info.integrity)) + " with " + std::string(name(info.encryption)) +
             ' ' + failure + " on " + instruction_set_name();
    }
  }
  return {};
}

}  // namespace gmesp
