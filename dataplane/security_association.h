// SPDX-License-Identifier: BSD-3-Clause
// The SAs as a worker holds them (RFC 4301 4.4.2.1). Inbound and outbound are different types: an
// inbound SA has no next sequence number, an outbound one no window. What a packet is checked by is
// one cache line; what is counted of it, and its events, is a second line behind it (SaTable). Keys
// live in the KeyStore.
#pragma once

#include <cstdint>

#include "crypto/algorithm.h"
#include "crypto/key_store.h"
#include "dataplane/replay_window.h"
#include "dataplane/selector.h"

namespace gmesp {

enum class Spi : uint32_t {};
// Position in a worker's table of one direction. The control thread assigns it and keeps it until
// the worker has answered "deleted", so it is the one name of an SA that crosses threads.
enum class SaIndex : uint32_t {};

constexpr Spi kFirstUnreservedSpi{256};  // RFC 4303 2.1: 0 is never sent, 1..255 are reserved

struct alignas(64) InboundSa {
  Spi spi{};
  KeySlot key{};
  ReplayWindow window;
  Selector selector;  // source: the UE in role pcscf
  Suite suite{};
  uint8_t raised_events = 0;  // SaEventKind bits; each is raised once
};
static_assert(sizeof(InboundSa) == 64, "one line per packet: SPI, key slot, window, selector");

struct alignas(64) OutboundSa {
  Spi spi{};
  KeySlot key{};
  SequenceNumber last_sent{};  // RFC 4303 3.3.3: the first packet has 1
  SaIndex next{};              // the next SA of this address pair, less specific or older (Spd)
  Selector selector;           // destination: the UE in role pcscf
  Suite suite{};
  uint8_t raised_events = 0;         // SaEventKind bits; each is raised once
  bool has_alternate_ports = false;  // in its record
  uint16_t path_mtu = 0;             // learned (path_mtu.h); 0: the access MTU
};
static_assert(sizeof(OutboundSa) == 64, "one line per packet: SPI, key slot, number, selector");

// RFC 4303 3.3.3: the counter must not cycle. The event before the end leaves time to re-register.
constexpr uint32_t kSequenceSoftLimit = 0xf0000000;  // 268 million packets before the hard stop
constexpr uint32_t kSequenceHardLimit = 0xffffffff;  // the last number that is sent

enum class SaEventKind : uint8_t {
  first_use = 1,
  sequence_soft_limit = 2,
  sequence_exhausted = 4,
  icv_failures = 8,  // kIcvFailureBurst of them, then at every doubling
};
// One bad packet tells nothing; this many are somebody's keys or somebody's attack.
constexpr uint32_t kIcvFailureBurst = 32;

// Second line. Only the worker touches it; the control thread asks by command (QuerySa).
struct alignas(64) SaRecord {
  uint64_t packets = 0;  // that passed every check
  uint64_t bytes = 0;    // of their IP packets, plain
  uint64_t last_used_tsc = 0;
  uint32_t replayed = 0;
  uint32_t icv_failures = 0;
  uint32_t selector_mismatches = 0;
  SaIndex next_pending{};  // list of SAs whose events wait for room in the event ring
  // SaEventKind bits not yet delivered: a state event is never lost (DESIGN 2).
  uint8_t pending_events = 0;
  bool queued = false;  // in that list, whichever SA it was that put this place there
  AlternatePorts alternate;
  uint32_t path_mtu_until = 0;  // tick (path_mtu.h) that ends OutboundSa::path_mtu
};
static_assert(sizeof(SaRecord) == 64, "the second line of an SA");

}  // namespace gmesp
