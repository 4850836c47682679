// SPDX-License-Identifier: BSD-3-Clause
// The end of a path for packets that are longer than the MTU they have to fit: protected ones are
// fragmented behind ESP, with an identification of our own and without DF, whatever the plain
// packet said (RFC 4303 3.3.4); cleartext follows IP's rules: fragmented where it may be, else
// answered with ICMP "too big" (RFC 1191, RFC 8201), at a bounded rate. One direction of one
// worker.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/drops.h"
#include "dataplane/packet.h"
#include "dataplane/packet_pool.h"

namespace gmesp {

class Oversize {
 public:
  // seed: of the identifications (RFC 7739).
  Oversize(PacketPools& pools, uint64_t tsc_hz, uint64_t seed, Drops& drops);

  // A stage, the last: passes what fits, takes what next_fragments() will bring.
  // Behind ESP, or ESP taken off. Drops: no_buffer.
  Verdict fit_protected(Packet& packet, uint16_t mtu) {
    if (packet.ip_bytes() <= mtu) [[likely]]
      return Verdict::pass();
    return take(packet, mtu);
  }
  // Cleartext. Drops: packet_too_big (answered), no_buffer.
  Verdict fit_cleartext(Packet& packet, uint16_t mtu, uint64_t now_tsc) {
    if (packet.ip_bytes() <= mtu) [[likely]]
      return Verdict::pass();
    return take_cleartext(packet, mtu, now_tsc);
  }
  // Tells the packet's sender which MTU it has to fit; within the rate, and not about what must not
  // be answered (RFC 1122 3.2.2, RFC 4443 2.4 e).
  void answer_too_big(const Packet& packet, uint16_t mtu, uint64_t now_tsc);

  // The next fragments of what was taken, into an empty burst; false: none are left.
  bool next_fragments(Burst& burst);
  // ICMP answers, for where the packets came from.
  Burst& answers() { return answers_; }

 private:
  Verdict take(Packet& packet, uint16_t mtu);
  Verdict take_cleartext(Packet& packet, uint16_t mtu, uint64_t now_tsc);

  Burst answers_;
};

}  // namespace gmesp
