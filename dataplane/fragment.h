// SPDX-License-Identifier: BSD-3-Clause
// The bytes of fragments: what one says of itself, judged without knowing any other, and the
// headers of the datagram that several make (RFC 791 3.2, RFC 8200 4.5).
#pragma once

#include <cstdint>

#include "dataplane/packet.h"

namespace gmesp {

struct Fragment {
  uint32_t identification = 0;
  uint32_t start = 0;   // of its bytes in what was fragmented
  uint32_t end = 0;     // at most 8 * 0x1fff + 65,535: that it fits a datagram is to be checked
  uint16_t offset = 0;  // of its bytes in the frame
  Protocol protocol = Protocol::none;  // of what was fragmented; IPv6: only the first one's counts
  bool more = false;

  bool is_atomic() const { return start == 0 && !more; }  // RFC 6946
};

// A packet of kind `fragment`. Drops: malformed_extension_header, bad_ip_checksum, and bad_fragment
// for what is empty or no multiple of 8 bytes (RFC 8200 4.5), for a first one that does not reach
// behind the transport header (RFC 7112, RFC 1858, RFC 3128), and for ND (RFC 6980).
Verdict read_fragment(const Packet& packet, Fragment& fragment);

// Of an atomic fragment, in place.
void take_out_fragment_header(Packet& packet, const Fragment& fragment);

// The first fragment's headers, from Ethernet's on, as those of the whole datagram, which has its
// length; only its ip_offset is known afterwards. congested: any fragment said so (RFC 3168 5.3).
void write_headers(const Packet& first, Packet& whole, bool congested);

constexpr uint8_t kNotEct = 0;  // RFC 3168 5
constexpr uint8_t kCongestionExperienced = 3;
uint8_t ecn_of(const Packet& packet);

}  // namespace gmesp
