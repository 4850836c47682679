// SPDX-License-Identifier: BSD-3-Clause
// Fragments become datagrams again before anything else looks at them: ESP protects whole
// datagrams (RFC 4303 3.4.1), and a fragment hides the ports that policy asks for. One direction of
// one worker. Memory and time are bounded: so many fragments in all and of one source, the oldest
// datagram gives way; an overlap ends the datagram and what is still to come of it (RFC 5722).
// UEs with SAs have one half of the room, strangers the other: fragments from addresses without an
// SA push out no UE's, and those that are forged in UEs' names other UEs' at most, no stranger's.
// Nobody is told of what is given up (RFC 792, RFC 4443: time exceeded): the sources may be forged.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/address.h"
#include "dataplane/drops.h"
#include "dataplane/fragment.h"
#include "dataplane/index_table.h"
#include "dataplane/keyed_hash.h"
#include "dataplane/large_array.h"
#include "dataplane/packet.h"
#include "dataplane/packet_pool.h"
#include "dataplane/slot_array.h"
#include "dataplane/spd.h"

namespace gmesp {

constexpr size_t kMaxDatagramBytes = PacketPool::kMaxBytes - kMaxLinkHeaderBytes;

struct ReassemblyConfig {
  uint32_t fragments = 4096;  // held at a time, per worker and direction
  uint32_t per_source = 128;  // of them, of one source (AddressWords::of_source)
  uint32_t timeout_ms = 5000;
  uint16_t max_datagram_bytes = 16384;  // of the IP packet; at most kMaxDatagramBytes
};

class Reassembler {
 public:
  // Enough for 65,535 bytes over IPv6's least MTU; nobody can make us search longer.
  static constexpr size_t kMaxPieces = 64;

  // seed: random, so that nobody outside can choose addresses that share a place. The pool gives
  // the whole datagrams. A source without an SA in `peers` is a stranger; with nullptr there are no
  // strangers, and the room is not divided. Throws std::system_error when there is no memory.
  Reassembler(const ReassemblyConfig& config, uint64_t tsc_hz, uint64_t seed, PacketPool& datagrams,
              const Spd* peers, Drops& drops);
  ~Reassembler();  // frees what it holds, uncounted: the engine stops
  Reassembler(const Reassembler&) = delete;
  Reassembler& operator=(const Reassembler&) = delete;

  // The tables' memory, before the first packet, on the worker's thread.
  void populate();

  // A stage, behind classify() and steering. Passes what is no fragment; keeps a fragment (taken)
  // until it completes its datagram, which then takes its place, classified. Drops: bad_fragment,
  // overlapping_fragment, duplicate_fragment, too_many_fragments, fragment_source_limit,
  // datagram_too_long, no_buffer, malformed_extension_header, bad_ip_checksum, and what classify
  // drops of the whole; fragment when that is one again. Of those held before: the same, and
  // fragment_evicted.
  Verdict add(Packet& packet, uint64_t now_tsc) {
    if (packet.kind != PacketKind::fragment) [[likely]]
      return Verdict::pass();
    return add_fragment(packet, now_tsc);
  }
  // For a pass before: asks for the lines that add() will look at. A flood of fragments would wait
  // for each of them.
  void prefetch(const Packet& packet) const {
    if (packet.kind == PacketKind::fragment) [[unlikely]]
      prefetch_fragment(packet);
  }
  // Once a poll. Drops, as fragment_timeout, the fragments of datagrams that have waited too long.
  void expire(uint64_t now_tsc) {
    for (const Share& share : by_standing_) {
      if (share.datagrams.oldest != kNoSlot) [[unlikely]]
        expire_oldest(share.datagrams, now_tsc);
    }
  }

 private:
  // RFC 791 3.2, RFC 8200 4.5; a VLAN is another network.
  struct Key {
    Address source;
    Address destination;
    uint32_t identification;
    uint32_t vlans_and_protocol;  // two VLAN ids; IPv4's protocol
  };
  struct Piece {
    Packet packet;  // as it came
    uint16_t start;
    uint16_t end;
    uint16_t offset;  // of its bytes in the frame
    Slot next;        // the next piece of its datagram, in the order of their bytes
  };
  enum class Standing : uint8_t { stranger, peer };
  // What one standing, or one source of it, has waiting: its datagrams, and how many fragments they
  // are; a datagram that was given up counts as one.
  struct Share {
    SlotQueue datagrams;
    uint32_t held;
  };
  using Shares = std::array<Share, 2>;  // by standing
  static Share& of(Shares& shares, Standing standing) {
    return shares[static_cast<size_t>(standing)];
  }
  // One that has been given up has no pieces, and what is still to come of it is dropped for the
  // same reason, until the timeout (RFC 5722).
  struct Datagram {
    Key key;
    uint64_t arrived_tsc;  // its first fragment
    uint64_t hash;         // of the key
    uint32_t source;       // place in sources_
    Slot next;             // SlotArray's
    SlotLink in_standing;
    SlotLink in_source;
    Slot first;
    Slot latest;   // to come
    uint16_t end;  // 0: the last fragment has not come
    uint16_t held_bytes;
    uint8_t pieces;
    uint8_t duplicates;  // that came of them
    uint8_t ecn : 4;     // codepoints seen, a bit each
    Standing standing : 4;
    Drop given_up;  // kCount: it has not been

    bool is_given_up() const { return given_up != Drop::kCount; }
  };
  static_assert(sizeof(Datagram) == 96, "of the memory that gmespd.toml says a fragment takes");

  Verdict add_fragment(Packet& packet, uint64_t now_tsc);
  void prefetch_fragment(const Packet& packet) const;
  Verdict admit(const Packet& packet, const Fragment& fragment, Slot slot, Slot& before);
  Verdict find_room(uint32_t source, Standing standing, Slot slot);
  static Key key_of(const Packet& packet, const Fragment& fragment);
  uint64_t hash(const Key& key) const;
  static IndexKey place_of(uint64_t hash) {
    return {static_cast<uint32_t>(hash), static_cast<uint32_t>(hash >> 32) | 1};
  }
  uint32_t source_place(const Address& source) const;
  Slot find(const Key& key, uint64_t hash) const;
  Standing standing_of(const Key& key) const;
  void count(const Datagram& datagram, int32_t held);
  Slot start_datagram(const Key& key, uint64_t hash, Standing standing, uint64_t now_tsc);
  Verdict check_place(const Datagram& datagram, const Packet& packet, const Fragment& fragment,
                      Slot& before) const;
  static bool completes(const Datagram& datagram, const Fragment& fragment);
  bool is_duplicate(const Datagram& datagram, const Piece& piece, const Packet& packet,
                    const Fragment& fragment) const;
  bool make_room(const Share& share, SlotLink Datagram::*link, uint32_t room, Slot for_datagram,
                 Drop reason);
  void hold(Datagram& datagram, const Packet& packet, const Fragment& fragment, Slot before);
  Verdict join(Slot slot, Packet& packet);
  Verdict make_whole(const Datagram& datagram, Packet& whole);
  void give_up(Datagram& datagram, Drop reason);
  void drop_pieces(Datagram& datagram, Drop reason);
  void release_pieces(Datagram& datagram);
  void forget(Slot slot);
  void expire_oldest(const SlotQueue& queue, uint64_t now_tsc);

  const uint64_t timeout_tsc_;
  const uint32_t per_source_;
  const uint32_t room_;  // of one standing
  const size_t max_pieces_;
  const size_t max_datagram_bytes_;
  const HashKey hash_key_;
  PacketPool& pool_;
  const Spd* const peers_;
  Drops& drops_;
  Counters& counters_;
  SlotArray<Piece> pieces_;
  SlotArray<Datagram> datagrams_;
  IndexTable<Slot, kNoSlot> by_key_;
  // Sources of one standing that share a place bound each other.
  LargeArray<Shares> sources_;
  Shares by_standing_{};
};

}  // namespace gmesp
