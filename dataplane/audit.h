// SPDX-License-Identifier: BSD-3-Clause
// Audit (RFC 4303 4, RFC 4301 5.2; ESP-21): of the drop reasons that are switched on, up to so many
// records a second go to the control thread, each with the fields that those sections ask for.
#pragma once

#include <boost/lockfree/spsc_queue.hpp>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "crypto/direction.h"
#include "dataplane/address.h"
#include "dataplane/counters.h"
#include "dataplane/drops.h"
#include "dataplane/packet.h"
#include "dataplane/security_association.h"

namespace gmesp {

// A set of reasons, by the bit of their number.
constexpr uint64_t audit_bit(Drop reason) { return uint64_t{1} << static_cast<unsigned>(reason); }
constexpr uint64_t audit_bits(std::initializer_list<Drop> reasons) {
  uint64_t bits = 0;
  for (const Drop reason : reasons) bits |= audit_bit(reason);
  return bits;
}
inline constexpr uint64_t kEveryReason = ~uint64_t{0} >> (64 - kDropCount);

inline constexpr uint64_t kAuditableReasons = audit_bits({
    Drop::reserved_spi, Drop::unknown_spi,  // RFC 4303 3.4.2: no valid SA
    Drop::fragment, Drop::bad_fragment, Drop::overlapping_fragment, Drop::duplicate_fragment,
    Drop::too_many_fragments, Drop::fragment_source_limit, Drop::fragment_evicted,
    Drop::fragment_timeout, Drop::datagram_too_long,  // 3.4.1: offered to ESP in pieces
    Drop::sequence_exhausted,                         // 3.3.3
    Drop::replayed,                                   // 3.4.3
    Drop::icv_mismatch,                               // 3.4.4
    Drop::bad_padding,                                // 2.4
    Drop::selector_mismatch,                          // RFC 4301 5.2 step 4
});

// What a port drops before anything reads the packet is counted and not told: there is no record to
// be had. So is bad_ip_checksum where the device has found it, but not in the stages.
inline constexpr uint64_t kNeverTold =
    audit_bits({Drop::multi_segment, Drop::shared_buffer, Drop::no_room});
static_assert((kAuditableReasons & kNeverTold) == 0, "what the standards ask for is told");

// One packet that was dropped. Keys and payload are never part of it.
struct AuditRecord {
  uint64_t tsc = 0;  // of the poll that dropped it
  Address source;
  Address destination;
  uint32_t flow_label = 0;  // RFC 8200 6; IPv4 has none
  Spi spi{};
  SequenceNumber number{};
  Drop reason{};
  Direction direction{};
  // What the packet still told when it was dropped.
  bool has_addresses = false;
  bool has_spi = false;
  bool has_number = false;
};
static_assert(std::is_trivially_copyable_v<AuditRecord> && sizeof(AuditRecord) <= 64,
              "the ring of a worker takes 64 KiB");

// Worker -> control thread. Nobody waits: what finds no room is counted.
struct AuditRing {
  static constexpr size_t kCapacity = 1024;
  boost::lockfree::spsc_queue<AuditRecord, boost::lockfree::capacity<kCapacity>> records;
};

// What the packet tells about itself, as the stage left it that dropped it.
AuditRecord audit_record(const Packet& packet, Drop reason, Direction direction);

}  // namespace gmesp
