// SPDX-License-Identifier: BSD-3-Clause
// The known answers behind MultiBuffer::self_test(): for each suite, packets of mixed lengths under
// mixed keys, more than there are lanes. One digest per suite stands for the protected packets;
// tests/multi_buffer_test.cc computes the same digests with another library. Private to crypto/.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "crypto/algorithm.h"
#include "crypto/key_material.h"

namespace gmesp {

// Twice the widest code path (16 lanes), and a rest that leaves lanes open.
inline constexpr size_t kSelfTestPackets = 39;

EspKeys self_test_keys(Suite suite, size_t index);
uint16_t self_test_esp_bytes(Suite suite, size_t index);
// SPI, sequence number, IV and plaintext; zeros where the ICV goes.
void fill_self_test_packet(size_t index, std::span<uint8_t> esp, size_t icv_bytes);

using Sha1Digest = std::array<uint8_t, 20>;
// SHA-1 of the protected packets of a suite, one behind the other.
extern const std::array<Sha1Digest, kSuiteCount> kSelfTestDigests;

}  // namespace gmesp
