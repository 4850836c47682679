// SPDX-License-Identifier: BSD-3-Clause
// What crosses between the control thread and a worker about SAs and policy, and the rings it
// crosses in (DESIGN 4). Fixed size, trivially copyable; keys never travel: an SA names its slot in
// the KeyStore.
#pragma once

#include <atomic>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstdint>
#include <type_traits>
#include <variant>

#include "dataplane/audit.h"
#include "dataplane/counters.h"
#include "dataplane/drops.h"
#include "dataplane/security_association.h"

namespace gmesp {

struct Policy;

struct InstallInbound {
  SaIndex index{};  // free at this worker, below its capacity
  Spi spi{};        // 256.. (RFC 4303 2.1), held by no other SA of this worker
  KeySlot key{};    // stored for Direction::in
  Suite suite{};
  uint16_t window = 64;   // 0 (off) or 32..1024
  SequenceNumber seen{};  // this and everything below counts as received
  uint64_t* window_words =
      nullptr;  // ReplayWindow::outside_words(window) words, the sender's until Deleted
  Selector selector;
  AlternatePorts alternate{};
};

struct InstallOutbound {
  SaIndex index{};
  Spi spi{};      // not 0
  KeySlot key{};  // stored for Direction::out
  Suite suite{};
  SequenceNumber last_sent{};  // 0 for a new SA
  Selector selector;
  AlternatePorts alternate{};
  bool standby = false;         // behind SAs with an equal selector, until PromoteSa
  bool begun_in_clear = false;  // by a REGISTER in clear: leaves room in its address pair
};

// The SA's set has been taken into use (TS 24.229 5.2.2). in: its next packet is a first use again;
// out: it is chosen before other SAs with an equal selector.
struct PromoteSa {
  Direction direction{};
  SaIndex index{};
};

struct DeleteSa {
  Direction direction{};
  SaIndex index{};
};

struct QuerySa {  // answered by SaStatus
  Direction direction{};
  SaIndex index{};
};

// Its own_prefixes, reachable and rules replace those in use, between two bursts; all else in it is
// as it was at the start.
struct UsePolicy {                 // answered by SettingInUse
  const Policy* policy = nullptr;  // the sender's, unchanged until every worker uses another
  uint32_t number = 0;             // the sender's own, for the answer
};

struct SetAudit {  // answered by SettingInUse
  AuditSetting setting;
  uint32_t number = 0;
};

using SaCommand = std::variant<InstallInbound, InstallOutbound, PromoteSa, DeleteSa, QuerySa,
                               UsePolicy, SetAudit>;

struct Installed {  // packets of this SA are served from now on (INT-53)
  Direction direction{};
  SaIndex index{};
};

enum class InstallError : uint8_t { index_in_use, spi_in_use, table_full, too_many_for_pair };

struct Rejected {  // nothing was changed
  Direction direction{};
  SaIndex index{};
  InstallError error{};
};

// in: first_use of before comes before this, that of after behind it, and none gets lost between.
struct Promoted {
  Direction direction{};
  SaIndex index{};
};

struct Deleted {  // the worker holds no reference to key, window words or index any more
  Direction direction{};
  SaIndex index{};
};

struct SaStatus {
  Direction direction{};
  SaIndex index{};
  SequenceNumber sequence{};  // in: highest accepted; out: last sent
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t idle_ns = 0;  // since the last packet that passed; UINT64_MAX: never used
  uint32_t replayed = 0;
  uint32_t icv_failures = 0;
  uint32_t selector_mismatches = 0;
  uint16_t path_mtu = 0;  // out: learned (path_mtu.h); 0: the access MTU
};

// What is dropped from now on is audited so; or the worker holds no reference to the policy before
// this one, its counters are published, and those of the rules begin with this policy.
struct SettingInUse {
  uint32_t number = 0;
};

struct SaStateEvent {  // unsolicited, of each kind as SaTable has it
  Direction direction{};
  SaIndex index{};
  SaEventKind kind{};
};

using SaEvent =
    std::variant<Installed, Rejected, Promoted, Deleted, SaStatus, SettingInUse, SaStateEvent>;

static_assert(std::is_trivially_copyable_v<SaCommand> && std::is_trivially_copyable_v<SaEvent>,
              "what is copied through a ring must have no owner to forget");

// All that one worker and the control thread share.
struct WorkerChannel {
  static constexpr size_t kCommands = 4096;
  static constexpr size_t kEvents = 8192;  // answers to every command in flight, and as many events

  // Single producer: control thread. Single consumer: worker.
  boost::lockfree::spsc_queue<SaCommand, boost::lockfree::capacity<kCommands>> commands;
  // Single producer: worker. Single consumer: control thread.
  boost::lockfree::spsc_queue<SaEvent, boost::lockfree::capacity<kEvents>> events;
  AuditRing audit;                // single producer: worker; single consumer: control thread
  CounterSnapshot counters;       // writer: worker; reader: control thread
  std::atomic<bool> stop{false};  // writer: control thread; the worker leaves run() soon after
};
// Answers must always find room: WorkerProxy never has more than kCommands unanswered
// (control/worker_proxy.h), and the worker puts SaStateEvent events only into the other half.
static_assert(WorkerChannel::kEvents >= 2 * WorkerChannel::kCommands,
              "an answer never waits for room in the event ring");

}  // namespace gmesp
