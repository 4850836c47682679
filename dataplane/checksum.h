// SPDX-License-Identifier: BSD-3-Clause
// Internet checksums: mended in place when a field changes (RFC 1624), verified whole,
// and written into packets of our own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/packet.h"
#include "dataplane/wire.h"

namespace gmesp {

// RFC 1624 equation 3: the checksum after a 16-bit field it covers has changed. An error that was
// there stays there.
inline Be16 updated_checksum(Be16 checksum, uint16_t before, uint16_t after) {
  uint32_t sum = static_cast<uint16_t>(~checksum.host());
  sum += static_cast<uint16_t>(~before);
  sum += after;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return Be16(static_cast<uint16_t>(~sum));
}

// Of bytes in which the checksum's own field is 0, what belongs there; of bytes with it, 0 when it
// is right (RFC 1071).
uint16_t internet_checksum(const uint8_t* bytes, size_t count);

// The same of the ICMP or ICMPv6 message (RFC 792, RFC 4443 2.3) that starts at `offset` and ends
// with the IP packet.
uint16_t icmp_checksum(const Packet& packet, size_t offset);

// True when the UDP or TCP checksum of a classified packet is right, or it has none (other
// protocols; UDP over IPv4 with checksum 0, RFC 768). A kernel that counts on its NIC hands frames
// over with an unfinished one.
bool transport_checksum_good(const Packet& packet);

// Of the header of a packet that is IPv4 (RFC 791 3.1).
bool ipv4_checksum_good(const Packet& packet);
void write_ipv4_checksum(Packet& packet);

// Writes the checksums of a UDP packet that is made here, not forwarded: IPv4's (RFC 791 3.1) and
// UDP's (RFC 768, RFC 8200 8.1). The packet is classified and trimmed to IP.
void write_checksums(Packet& packet);

}  // namespace gmesp
