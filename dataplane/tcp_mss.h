// SPDX-License-Identifier: BSD-3-Clause
// Keeps TCP segments small enough for ESP to fit the access MTU: the MSS option of a SYN is
// lowered, in both directions, the TCP checksum mended as RFC 1624. A SYN without the option is
// left alone: its peer then sends 536 or 1220 bytes (RFC 9293 3.7.1), which fit but on IPv6 paths
// below 1324 bytes, where segments of that size are fragmented.
#pragma once

#include <cstdint>

#include "crypto/algorithm.h"
#include "dataplane/packet.h"

namespace gmesp {

// The largest MSS (RFC 6691: no IP or TCP options counted) whose ESP packet fits the MTU; 0 when
// none does.
uint16_t largest_mss(const SuiteInfo& info, bool ipv4, uint16_t mtu);

// Whether it is a TCP SYN: only those have an MSS to clamp.
bool is_tcp_syn(const Packet& packet);

// Lowers the MSS option of a TCP SYN to `mss`. Anything else is left as it is.
void clamp_mss(Packet& packet, uint16_t mss);

}  // namespace gmesp
