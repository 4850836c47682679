// SPDX-License-Identifier: BSD-3-Clause
// ESP as RFC 4303 describes it, one packet at a time with OpenSSL: slow, and written without a look
// at crypto/, whose results it judges.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "crypto/algorithm.h"
#include "crypto/key_material.h"

namespace gmesp::reference {

using Bytes = std::vector<uint8_t>;

// [SPI][sequence number][IV][payload with trailer] in, the whole ESP part with its ICV out.
Bytes seal(Suite suite, const EspKeys& keys, std::span<const uint8_t> front_and_payload);

// What seal() takes, with the least default padding (RFC 4303 2.4) and the next header.
Bytes plain(Suite suite, uint32_t spi, uint32_t sequence_number, std::span<const uint8_t> iv,
            std::span<const uint8_t> payload, uint8_t next_header);

// Payload with trailer, or nothing when the ICV is wrong.
std::optional<Bytes> open(Suite suite, const EspKeys& keys, std::span<const uint8_t> esp);

// The whole MAC, not truncated.
Bytes hmac(IntegrityAlgorithm algorithm, std::span<const uint8_t> key,
           std::span<const uint8_t> message);
Bytes digest(IntegrityAlgorithm algorithm, std::span<const uint8_t> message);
Bytes hmac_sha_256(std::span<const uint8_t> key, std::span<const uint8_t> message);

}  // namespace gmesp::reference
