// SPDX-License-Identifier: BSD-3-Clause
// How a packet is cut into fragments (RFC 791 3.2, RFC 8200 4.5). Bytes only; who is fragmented is
// oversize.h's.
//
// Fragments are as long as the MTU lets them be, the last has the rest: Linux of 2018 and 2019,
// which many phones have, drops IPv6 fragments below 1280 bytes that are not the last, so halves
// would not arrive.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/packet.h"

namespace gmesp {

// A cut: what the first fragment and each later one have of the payload, behind which headers.
struct Fragmentation {
  static constexpr size_t kMaxFragments = 256;

  uint16_t payload_offset = 0;  // in the packet: of what is cut
  uint16_t payload_bytes = 0;
  uint16_t first_headers = 0;  // from the IP header to the payload, in the fragment
  uint16_t later_headers = 0;
  uint16_t first_payload = 0;  // multiples of 8
  uint16_t later_payload = 0;
  uint16_t next_header_offset = 0;  // IPv6: of the byte that names the Fragment header
  // IPv4: the options that stand in every fragment (RFC 791 3.1: copied flag).
  std::array<uint8_t, 40> copied_options{};

  size_t fragments() const {
    return 1 + (payload_bytes - first_payload + later_payload - 1u) / later_payload;
  }
  // Of a fragment's payload, from the first byte that is cut.
  size_t offset_of(size_t number) const {
    return number == 0 ? 0 : first_payload + (number - 1) * later_payload;
  }
  size_t payload_of(size_t number) const;
  size_t headers_of(size_t number) const { return number == 0 ? first_headers : later_headers; }
};

// Of a classified packet that is longer than the MTU, ends where IP says, and is no fragment.
// nullopt: its headers leave no room for the payload of as few as kMaxFragments.
std::optional<Fragmentation> plan_fragments(const Packet& packet, uint16_t mtu);

// Writes fragment `number` into a packet of packet.ip_offset + headers_of + payload_of bytes: link
// header with its tags, IP header without DF and with the identification given.
void write_fragment(const Packet& packet, const Fragmentation& plan, size_t number,
                    uint32_t identification, Packet& fragment);

}  // namespace gmesp
