// SPDX-License-Identifier: BSD-3-Clause
// ICMP "too big": fragmentation needed (RFC 1191 4) and Packet Too Big (RFC 4443 3.2), about a
// packet that came to us. Bytes only.
//
// An error comes from the address that the packet was sent to, not from a router's: the engine sits
// in the wire and has no address of its own, and that one the sender has a route to and no filter
// against.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/packet.h"

namespace gmesp {

// Whether an ICMP error may be sent about it: not about errors, nor to or from what is not one host
// (RFC 1122 3.2.2, RFC 1812 4.3.2.7, RFC 4443 2.4 e). The packet is classified and no fragment.
bool may_be_answered(const Packet& packet);

// Of the answer's frame: it quotes all that fits 576 or 1280 bytes (RFC 1812 4.3.2.3, RFC
// 4443 3.2).
size_t too_big_frame_bytes(const Packet& about);
// Writes it into a packet of so many bytes; goes back by the MAC addresses and VLAN tags that
// `about` came with.
void write_too_big(const Packet& about, uint16_t mtu, Packet& answer);

}  // namespace gmesp
