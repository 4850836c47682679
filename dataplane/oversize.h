// SPDX-License-Identifier: BSD-3-Clause
// The end of a path for packets that are longer than the MTU they have to fit: protected ones are
// fragmented behind ESP, with an identification of our own and without DF, whatever the plain
// packet said (RFC 4303 3.3.4); cleartext follows IP's rules: fragmented where it may be, else
// answered with ICMP "too big" (RFC 1191, RFC 8201), at a bounded rate. One direction of one
// worker.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/drops.h"
#include "dataplane/fragmentation.h"
#include "dataplane/identification.h"
#include "dataplane/packet.h"
#include "dataplane/packet_pool.h"
#include "dataplane/token_bucket.h"

namespace gmesp {

class Oversize {
 public:
  static constexpr uint32_t kAnswersPerSecond = 100;

  // Which fragments get an identification of our own. IPv4 cleartext may keep the one that its
  // sender made unique (RFC 791 3.2); but not towards the host, where datagrams out of ESP have the
  // same addresses and protocol: a stranger who chose the number of one of those would have his
  // fragment complete it.
  enum class Identify { all_but_ipv4_cleartext, all };

  // seed: of the identifications (RFC 7739).
  Oversize(PacketPools& pools, Identify identify, uint64_t tsc_hz, uint64_t seed, Drops& drops);
  ~Oversize();  // frees what next_fragments() has not brought, uncounted: the engine stops
  Oversize(const Oversize&) = delete;
  Oversize& operator=(const Oversize&) = delete;

  // A stage, the last: passes what fits, takes what next_fragments() will bring. At most a burst of
  // packets is taken before that.
  // Behind ESP, or ESP taken off. Drops: packet_too_big (its headers alone fill the MTU),
  // bad_ip_checksum (fragments get a right one), no_buffer.
  Verdict fit_protected(Packet& packet, uint16_t mtu) {
    if (packet.ip_bytes() <= mtu) [[likely]]
      return Verdict::pass();
    return take(packet, mtu, true);
  }
  // Cleartext. Drops: those, and packet_too_big (answered).
  Verdict fit_cleartext(Packet& packet, uint16_t mtu, uint64_t now_tsc) {
    if (packet.ip_bytes() <= mtu) [[likely]]
      return Verdict::pass();
    return take_cleartext(packet, mtu, now_tsc);
  }
  // Whether its sender leaves the size to others: IPv4 without DF, or a datagram that was
  // fragmented when it came.
  bool may_fragment(const Packet& packet) const;
  // Tells the packet's sender which MTU it has to fit; within the rate, and not about what must not
  // be answered (RFC 1122 3.2.2, RFC 4443 2.4 e).
  void answer_too_big(const Packet& packet, uint16_t mtu, uint64_t now_tsc);

  // The next fragments of what was taken, into an empty burst; false: none are left. A packet for
  // all of whose fragments there are not buffers is dropped whole: no_buffer.
  bool next_fragments(Burst& burst);
  // ICMP answers, for where the packets came from.
  Burst& answers() { return answers_; }

 private:
  struct Waiting {
    Packet packet;
    uint16_t mtu;
    bool own_identification;
  };

  Verdict take(Packet& packet, uint16_t mtu, bool own_identification);
  Verdict take_cleartext(Packet& packet, uint16_t mtu, uint64_t now_tsc);
  bool cut_next();
  bool cut(const Waiting& waiting);
  uint32_t identification_of(const Waiting& waiting);

  PacketPools& pools_;
  const Identify identify_;
  Drops& drops_;
  Identifications identifications_;
  Throttle answer_limit_;
  Burst answers_;
  // From next_waiting_ on they wait, the others are cut.
  std::array<Waiting, Burst::kCapacity> waiting_;
  size_t waiting_end_ = 0;
  size_t next_waiting_ = 0;
  // Of the packet that was cut last; from next_fragment_ on they are ours.
  std::array<Packet, Fragmentation::kMaxFragments> fragments_;
  size_t fragments_end_ = 0;
  size_t next_fragment_ = 0;
};

}  // namespace gmesp
