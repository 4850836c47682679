// SPDX-License-Identifier: BSD-3-Clause
// What libgmesp and gmespd put into the memory they share: plain bytes of fixed sizes. Nothing in
// it is trusted: who reads a record copies it out once and judges the copy. Enumerations travel as
// numbers, because a byte that is none of theirs must not even be read as one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "control/client/shared_ring.h"
#include "control/registration/security_agreement.h"

namespace gmesp::client {

// Of everything in this file. Raised when a client of before could not be served any more.
inline constexpr uint32_t kRingVersion = 1;

// The record of the control socket that turns its connection into a ring. The answer is JSON with
// "ring" in it and brings the memory's descriptor (SCM_RIGHTS); from then on every record of the
// connection, either way, is a bell of one byte.
inline constexpr std::string_view kRingRequest = R"({"command":"ring","version":1})";
inline constexpr std::string_view kRingAnswer = R"({"ring":1})";

inline constexpr size_t kCommandSlots = 256;
inline constexpr size_t kAnswerSlots = 1024;
// Events leave so much of the answers' ring free. No more commands are taken than answers fit.
inline constexpr size_t kSlotsForCompletions = 256;
inline constexpr size_t kMaxUnanswered = 256;
static_assert(kMaxUnanswered <= kSlotsForCompletions, "an answer always has room");

enum class CommandKind : uint8_t {
  registered,
  challenge,
  response,
  ok,
  fail,
  refresh,
  remove,
  check,
  subscribe,
  reconcile,
  finish_reconcile,
  kCount
};

struct WireMechanism {
  uint8_t integrity;
  uint8_t encryption;
  uint8_t esp;
  uint8_t mode;
  uint16_t q;
  uint16_t port_c;
  uint16_t port_s;
  uint16_t reserved;
  uint32_t spi_c;
  uint32_t spi_s;
};
static_assert(sizeof(WireMechanism) == 20);
using WireAgreement = std::array<WireMechanism, SecurityAgreement::kMaxMechanisms>;

// A flag that its kind does not have makes the record nonsense.
inline constexpr uint8_t kHasContact = 1;   // registered, check
inline constexpr uint8_t kHasFirst = 2;     // an agreement, below; of no mechanism: nothing known
inline constexpr uint8_t kHasSecond = 4;    // below
inline constexpr uint8_t kOnlyThisSet = 8;  // remove
inline constexpr uint8_t kAtOnce = 16;      // remove

// Behind it, packed: the mechanisms of the first agreement (registered: Security-Client; challenge:
// Security-Server; response: Security-Verify), of the second (registered: Security-Verify;
// response: Security-Client), the handles (reconcile), the identities, each with a byte of length
// before it (registered: IMPI, IMPUs; ok: IMPUs; check: IMPI, IMPU; empty: not asked).
struct CommandHead {
  uint32_t bytes;  // of head and tail
  uint8_t kind;
  uint8_t flags;
  uint8_t option;  // registered: 0 as configured, else SelectorRule + 1; fail: FailReason
  uint8_t identities;
  uint64_t token;   // the client's, given back with the answer
  uint64_t handle;  // registered: the set that protected the REGISTER, or 0
  uint8_t ue[16];
  uint8_t pcscf[16];
  uint8_t contact[16];
  uint32_t number;   // ok, refresh: seconds; subscribe: a bit per SetEventKind; reconcile: session
  uint16_t ue_port;  // check
  uint16_t pcscf_port;
  uint8_t first;  // mechanisms
  uint8_t second;
  uint16_t handles;
  uint32_t grace_ms;  // finish_reconcile
  uint8_t ck[16];     // challenge; wiped in the slot by whoever has copied them
  uint8_t ik[16];
  uint64_t reserved;  // 0
};
static_assert(sizeof(CommandHead) == 128 && offsetof(CommandHead, ck) == 88);

inline constexpr size_t kMaxIdentities = 9;  // IMPI and IMPUs (Registrar: kMaxImpus)
inline constexpr size_t kMaxHandles = 64;    // of one reconcile: as many may come back
inline constexpr size_t kMaxCommandTail = 2 * sizeof(WireAgreement) + kMaxIdentities * 256;

// Odd numbers of cache lines: the heads of all slots would else fall into few sets of the cache.
inline constexpr size_t kCommandBytes = 55 * 64;
inline constexpr size_t kAnswerBytes = 9 * 64;
static_assert(sizeof(CommandHead) + kMaxCommandTail <= kCommandBytes);

struct CommandRecord {
  CommandHead head;
  std::array<std::byte, kCommandBytes - sizeof(CommandHead)> tail;
};

enum class AnswerKind : uint8_t { completion, event, overflow, kCount };
inline constexpr uint8_t kNoSuite = 0xff;

// Behind it: refused, the snake_case code (numbers of codes differ between versions); otherwise the
// agreement's mechanisms or, of a reconcile, the handles that no set has.
struct AnswerHead {
  uint8_t kind;
  uint8_t refused;    // bytes of the code; 0: done
  uint8_t suite;      // of the set, when there is one
  uint8_t encrypted;  // response, check: the suite has a cipher
  uint8_t event;
  uint8_t state;  // event, check
  uint8_t mechanisms;
  uint8_t handles;
  uint64_t token;
  uint64_t handle;
  int64_t number;    // event: when, monotonic milliseconds; overflow: events lost
  uint32_t session;  // reconcile
  uint32_t count;    // finish_reconcile: sets given a deadline
};
static_assert(sizeof(AnswerHead) == 40);
static_assert(sizeof(AnswerHead) + sizeof(WireAgreement) <= kAnswerBytes);
static_assert(sizeof(AnswerHead) + kMaxHandles * 8 <= kAnswerBytes);

struct AnswerRecord {
  AnswerHead head;
  std::array<std::byte, kAnswerBytes - sizeof(AnswerHead)> tail;
};
static_assert(sizeof(CommandRecord) == kCommandBytes && sizeof(AnswerRecord) == kAnswerBytes);
static_assert(std::is_trivially_copyable_v<CommandRecord> &&
              std::is_trivially_copyable_v<AnswerRecord>);

// The shared memory from its first byte on. Written by gmespd before anybody else has it.
struct SharedHeader {
  static constexpr uint64_t kMagic = 0x31676e6972736d67;  // "gmsring1"
  uint64_t magic;
  uint32_t version;
  uint32_t bytes;        // sizeof(SharedMemory)
  uint64_t instance[2];  // random: another gmespd, or the same one started again, has others
  uint8_t padded_spis;   // SpiFormat
  uint8_t role;
};

struct SharedMemory {
  SharedHeader header;
  RingIndices commands;  // producer: client; consumer: gmespd
  RingIndices answers;   // producer: gmespd; consumer: client
  // Set by the side that is about to sleep, cleared by the one that then rings the bell.
  alignas(64) std::atomic<uint32_t> daemon_asleep;
  alignas(64) std::atomic<uint32_t> client_asleep;
  alignas(64) std::byte command_slots[kCommandSlots * kCommandBytes];
  alignas(64) std::byte answer_slots[kAnswerSlots * kAnswerBytes];
};
static_assert(std::is_standard_layout_v<SharedMemory> &&
              offsetof(SharedMemory, command_slots) == 7 * 64);

inline WireMechanism to_wire(const SecurityMechanism& mechanism) {
  return {.integrity = static_cast<uint8_t>(mechanism.integrity),
          .encryption = static_cast<uint8_t>(mechanism.encryption),
          .esp = static_cast<uint8_t>(mechanism.esp ? 1 : 0),
          .mode = static_cast<uint8_t>(mechanism.mode),
          .q = mechanism.q,
          .port_c = mechanism.port_c,
          .port_s = mechanism.port_s,
          .reserved = 0,
          .spi_c = mechanism.spi_c,
          .spi_s = mechanism.spi_s};
}

// False: not what parse_security_agreement() could have said.
inline bool from_wire(const WireMechanism& wire, SecurityMechanism& mechanism) {
  const bool q_is_one = wire.q <= 1000 || wire.q == SecurityMechanism::kNoQ;
  if (wire.integrity > static_cast<uint8_t>(IntegrityAlgorithm::aes_gmac) ||
      wire.encryption > static_cast<uint8_t>(EncryptionAlgorithm::aes_gcm) || wire.esp > 1 ||
      wire.mode > static_cast<uint8_t>(EspMode::udp_encapsulated_tunnel) || !q_is_one ||
      wire.port_c == 0 || wire.port_s == 0) {
    return false;
  }
  mechanism = {.integrity = IntegrityAlgorithm{wire.integrity},
               .encryption = EncryptionAlgorithm{wire.encryption},
               .esp = wire.esp == 1,
               .mode = EspMode{wire.mode},
               .q = wire.q,
               .port_c = wire.port_c,
               .port_s = wire.port_s,
               .spi_c = wire.spi_c,
               .spi_s = wire.spi_s};
  return true;
}

}  // namespace gmesp::client
