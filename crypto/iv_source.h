// SPDX-License-Identifier: BSD-3-Clause
// Initialisation vectors for the CBC ciphers: unpredictable (RFC 3602 3, RFC 2451 3) and never
// twice in the life of this object. The images of a counter under a permutation are all different,
// and without the key nobody can tell the next one (NIST SP 800-38A appendix C). AES is the
// permutation for 16 bytes. For the 8 bytes of DES-EDE3 it is a Feistel network of ten rounds with
// AES as round function, as in NIST SP 800-38G: DES-EDE3 itself would cost 14 us per IV on CPUs
// without AVX-512. Another worker and another start have another key. Private to crypto/.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

struct IMB_MGR;

namespace gmesp {

class IvSource {
 public:
  // The manager has no job in flight whenever this object is called. Throws std::runtime_error when
  // the system gives no random bytes; no system call later.
  explicit IvSource(IMB_MGR* manager);
  ~IvSource();
  IvSource(const IvSource&) = delete;
  IvSource& operator=(const IvSource&) = delete;

  // Copies the next IV to the packet. False: the library failed, and nothing was written.
  bool next_16_bytes(uint8_t* iv);
  bool next_8_bytes(uint8_t* iv);

 private:
  static constexpr size_t kStock = 64;  // IVs made at a time, so that the cipher works in parallel
  using Block = std::array<uint8_t, 16>;
  using Blocks = std::array<Block, kStock>;

  bool encipher(Blocks& blocks);
  bool refill_16_bytes();
  bool refill_8_bytes();

  IMB_MGR* manager_;
  alignas(16) std::array<uint8_t, 11 * 16> round_keys_{};
  uint64_t counter_16_bytes_ = 0;
  uint64_t counter_8_bytes_ = 0;  // 584 years at 10^9 packets/s
  size_t used_16_bytes_ = kStock;
  size_t used_8_bytes_ = kStock;
  alignas(64) Blocks stock_16_bytes_{};
  alignas(64) std::array<uint64_t, kStock> stock_8_bytes_{};
};

}  // namespace gmesp
