// SPDX-License-Identifier: BSD-3-Clause
// The bytes of ESP in transport mode (RFC 4303 2, 3.1.1): lengths, header, padding, trailer, and
// the IP header that has to agree. No SA look-up, no sequence rules, no cryptography, no I/O.
#pragma once

#include <cstdint>

#include "crypto/algorithm.h"
#include "dataplane/packet.h"
#include "dataplane/security_association.h"

namespace gmesp {

// Padding, pad length, next header and ICV that a payload of so many bytes needs behind it (RFC
// 4303 2.4).
constexpr uint16_t esp_back_bytes(const SuiteInfo& info, size_t payload_bytes) {
  const size_t padding = (0 - (payload_bytes + sizeof(EspTrailer))) & (info.alignment_bytes - 1u);
  return static_cast<uint16_t>(padding + sizeof(EspTrailer) + info.icv_bytes);
}

// What ESP adds to a packet with so many bytes of payload.
constexpr uint16_t esp_growth_bytes(const SuiteInfo& info, size_t payload_bytes) {
  return static_cast<uint16_t>(esp_front_bytes(info) + esp_back_bytes(info, payload_bytes));
}

// The most payload that fits `room` bytes behind the IP header (RFC 4303 2.4 rounds down to whole
// blocks).
constexpr uint16_t esp_payload_capacity(const SuiteInfo& info, size_t room) {
  const size_t fixed = static_cast<size_t>(esp_front_bytes(info)) + info.icv_bytes;
  if (room < fixed + info.alignment_bytes) return 0;
  const size_t blocks = (room - fixed) & ~size_t{info.alignment_bytes - 1u};
  return static_cast<uint16_t>(blocks - sizeof(EspTrailer));
}

constexpr bool growth_fits_every_buffer() {
  for (const SuiteInfo& info : kSuites) {
    if (esp_front_bytes(info) > kHeadroomBytes) return false;
    if (info.alignment_bytes - 1u + sizeof(EspTrailer) + info.icv_bytes > kTailroomBytes)
      return false;
  }
  return true;
}
static_assert(growth_fits_every_buffer(),
              "Port::receive promises room for one ESP header and trailer");

// Makes room for header and trailer at the payload, writes SPI, number, padding 1, 2, 3, ... and
// trailer, and mends the IP header (RFC 4303 3.3.2.1). IV and ICV are left to the crypto stage. The
// packet is trimmed to IP and the result fits 65,535 bytes.
void add_esp(Packet& packet, const SuiteInfo& info, Spi spi, SequenceNumber number);

// The reverse, on a packet whose ICV was good: checks padding (all of it when `check_padding`) and
// next header, takes header, padding and ICV away and mends the IP header (RFC 4303 3.4.4.1).
// Drops: bad_padding, dummy_packet.
Verdict strip_esp(Packet& packet, const SuiteInfo& info, bool check_padding);

}  // namespace gmesp
