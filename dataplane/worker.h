// SPDX-License-Identifier: BSD-3-Clause
// One packet core: owns the ports' queues, SAs, replay windows, policy state and counters of its
// UEs. Everything here happens on the worker's own thread; the control thread speaks to it only
// through its WorkerChannel, other workers only through steering rings.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "crypto/key_store.h"
#include "crypto/multi_buffer.h"
#include "dataplane/cleartext.h"
#include "dataplane/command.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/inbound.h"
#include "dataplane/outbound.h"
#include "dataplane/packet.h"
#include "dataplane/packet_pool.h"
#include "dataplane/path_config.h"
#include "dataplane/policy.h"
#include "dataplane/protected_ports.h"
#include "dataplane/rate_limit.h"
#include "dataplane/sad.h"
#include "dataplane/spd.h"
#include "dataplane/steering.h"
#include "dataplane/thread_role.h"

namespace gmesp {

enum class Idle : uint8_t {
  poll,      // never sleeps: a whole CPU, lowest latency
  adaptive,  // spins for a while, then sleeps for moments
};

struct WorkerConfig {
  size_t number = 0;       // position in Steering; worker 0 has a transmit queue on every port
  size_t sa_capacity = 0;  // SAs per direction
  PathConfig path;
  Idle idle = Idle::poll;
  AuditSetting audit = {};  // from the first packet on, until SetAudit
  InstructionSet instruction_set = InstructionSet::best;  // that of the KeyStore
};

// On cache lines of its own: everything in it is written for every packet, and what malloc puts
// beside it would be another thread's.
class alignas(64) Worker {
 public:
  // What an install or delete storm may take of a poll before packets get their turn.
  static constexpr size_t kCommandsPerPoll = 32;

  // Made by the control thread before the worker's thread starts; everything referred to outlives
  // the worker. Throws std::runtime_error when the crypto self-test fails or the CPU lacks what it
  // needs, std::system_error when there is no memory for the tables.
  Worker(const WorkerConfig& config, Port access, Port host, PacketPools& pools,
         const KeyStore& keys, const Policy& policy, const Steering& steering, SteeringMesh& mesh,
         WorkerChannel& channel);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Takes the memory of all tables, near this thread's CPU: no packet and no install waits for a
  // page later. Before the first poll. Throws std::system_error when there is not so much.
  void prepare() ON(worker_thread);
  // Polls until channel.stop.
  void run() ON(worker_thread);
  // One round: commands, then both directions. False when there was nothing to do.
  bool poll() ON(worker_thread);
  // Makes the counters visible to others now; run() and poll() do it often enough by themselves.
  void publish_counters() ON(worker_thread);

  const char* instruction_set_name() const { return multi_buffer_.instruction_set_name(); }
  bool is_fast(Suite suite) const { return multi_buffer_.is_fast(suite); }

 private:
  size_t apply_commands(uint64_t now_tsc) ON(worker_thread);
  void prefetch_for(std::span<const SaCommand> commands) const ON(worker_thread);
  void prefetch_place(Direction direction, SaIndex index) const ON(worker_thread);
  void apply(const InstallInbound& command) ON(worker_thread);
  void apply(const InstallOutbound& command) ON(worker_thread);
  void apply(const PromoteSa& command) ON(worker_thread);
  void apply(const DeleteSa& command, uint64_t now_tsc) ON(worker_thread);
  void apply(const QuerySa& command, uint64_t now_tsc) ON(worker_thread);
  void apply(const UsePolicy& command) ON(worker_thread);
  void apply(const SetAudit& command) ON(worker_thread);
  void answer(const SaEvent& event) ON(worker_thread);
  size_t serve_steered(uint64_t now_tsc) ON(worker_thread);
  void finish(Burst& burst, Oversize& oversize, SteerTo to, SteerTo back) ON(worker_thread);
  void transmit(Burst& burst, SteerTo to) ON(worker_thread);
  void deliver_events() ON(worker_thread);
  void idle() ON(worker_thread);

  const WorkerConfig config_;
  WorkerChannel& channel_;
  Counters counters_ OWNED_BY(worker_thread);
  Drops drops_ OWNED_BY(worker_thread);
  Port access_ OWNED_BY(worker_thread);
  Port host_ OWNED_BY(worker_thread);
  MultiBuffer multi_buffer_;
  Sad sad_ OWNED_BY(worker_thread);
  Spd spd_ OWNED_BY(worker_thread);
  ProtectedPorts protected_ports_ OWNED_BY(worker_thread);
  Steerer steerer_ OWNED_BY(worker_thread);
  RateLimits rate_limits_ OWNED_BY(worker_thread);
  Cleartext cleartext_ OWNED_BY(worker_thread);
  Inbound inbound_ OWNED_BY(worker_thread);
  Outbound outbound_ OWNED_BY(worker_thread);
  std::array<SaCommand, kCommandsPerPoll> commands_ OWNED_BY(worker_thread);
  Burst burst_ OWNED_BY(worker_thread);
  std::array<Burst, kSteerToCount> steered_ OWNED_BY(worker_thread);
  uint64_t idle_since_tsc_ OWNED_BY(worker_thread) = 0;  // 0: the last round had something to do
};

}  // namespace gmesp
