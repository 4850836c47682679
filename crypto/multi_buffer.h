// SPDX-License-Identifier: BSD-3-Clause
// ESP cryptography of many packets at once over Intel IPsec-MB (RFC 4303 3.3.2, 3.4.4). Packets of
// different SAs share the lanes of one algorithm; a batch of one costs several times a batch of 16
// (perf/README.md). No packet stays in a lane between calls: when a call returns, every job is
// finished and no key is referenced, so an SA may be deleted between any two calls. This is bytes
// only: no SA look-up, no replay, no I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "crypto/algorithm.h"
#include "crypto/manager.h"

namespace gmesp {

class IvSource;

// One packet's ESP part, in place: [SPI][sequence number][IV][ciphertext with trailer][ICV].
struct EspJob {
  const uint8_t* key;  // KeyStore::at() of a slot stored for this suite and direction
  uint8_t* esp;        // first byte of the SPI
  uint16_t esp_bytes;  // SPI up to and with the ICV; ciphertext length checked by the caller
                       // (ciphertext_fits)
  Suite suite;
  bool good;  // result: ICV verified and payload decrypted, or encrypted and signed
};

// True when an ESP packet of so many bytes can be one of this suite: header, IV, at least a trailer
// of whole cipher blocks, ICV (RFC 4303 2; CBC needs whole blocks).
constexpr bool ciphertext_fits(const SuiteInfo& info, size_t esp_bytes) {
  const size_t frame = static_cast<size_t>(kEspHeaderBytes) + info.iv_bytes + info.icv_bytes;
  return esp_bytes >= frame + info.alignment_bytes &&
         ((esp_bytes - frame) & (info.alignment_bytes - 1u)) == 0;
}

// One per worker, used by that worker only.
class MultiBuffer {
 public:
  static constexpr size_t kMaxJobs = 128;

  // Throws std::runtime_error with what to do when the CPU lacks the instruction set (x86-64-v2
  // with AES-NI and PCLMULQDQ is the least) or the system gives no random bytes for the IV key.
  explicit MultiBuffer(InstructionSet instruction_set = InstructionSet::best);
  ~MultiBuffer();
  MultiBuffer(const MultiBuffer&) = delete;
  MultiBuffer& operator=(const MultiBuffer&) = delete;

  // Checks every ICV in constant time and decrypts in place what is good (RFC 4303 3.4.4).
  // jobs.size() <= kMaxJobs. A job that is not good may hold garbage where its payload was: drop
  // it.
  void verify_and_decrypt(std::span<EspJob> jobs);

  // Writes each IV, encrypts in place, writes each ICV (RFC 4303 3.3.2). jobs.size() <= kMaxJobs.
  // A job that is not good may still hold plaintext: it must not leave the machine.
  void encrypt_and_sign(std::span<EspJob> jobs);

  // The two halves of encrypt_and_sign, apart for known-answer tests that bring their own IV.
  // CBC: unpredictable and never twice in this object's life (a random key enciphers a counter).
  // GCM, GMAC: SPI || sequence number, unlike for any two packets of SAs that share a key (SPEC
  // R18). False, which no input brings about: the library failed, and no IV may be used.
  bool write_ivs(std::span<const EspJob> jobs);
  void seal(std::span<EspJob> jobs);

  // Runs known answers of every suite with all lanes full, mixed keys and lengths. Empty: all
  // right; else what failed.
  std::string self_test();

  // "AVX512", "AVX2", "AVX", "SSE": the code path in use.
  const char* instruction_set_name() const { return gmesp::instruction_set_name(*manager_); }
  // False: a packet takes milliseconds. IPsec-MB 1.3 has DES in lanes for AVX-512 alone, and
  // without them clears its tracks after every step (perf/README.md).
  bool is_fast(Suite suite) const;

 private:
  InstructionSet instruction_set_;
  Manager manager_;
  Manager few_sha1_manager_;  // null but for `best` on a CPU where it gains (multi_buffer.cc)
  // Of its own: each single job moves the place in a manager's ring of 256 where the next burst
  // begins, and IPsec-MB 1.3 counts the jobs of a burst over the ring's end wrongly
  // (get_queue_sz(); mended in 1.4). Bursts that are flushed to their end begin at place 0 (the
  // first, behind the library's own self-test, at 37), and with kMaxJobs never come to the ring's
  // end.
  Manager iv_manager_;
  std::unique_ptr<IvSource> iv_source_;
};

}  // namespace gmesp
