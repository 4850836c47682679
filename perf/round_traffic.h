// SPDX-License-Identifier: BSD-3-Clause
// Traffic for a worker that a bench troubles from elsewhere. The ports are net_ring devices, whose
// other end is their own: kPackets packets go round for ever, deciphered from the access port to
// the host port and enciphered back again, so a packet that is lost anywhere is missing at the end.
// Beside them go the first packets of SAs that are about to be installed (probes), one at a time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "crypto/key_store.h"
#include "crypto/multi_buffer.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/thread_role.h"
#include "dataplane/worker.h"
#include "perf/dpdk/frame_pool.h"

namespace gmesp {

using Frame = std::vector<uint8_t>;

// What the worker's thread sees of one storm of commands.
struct StormRecord {
  // First packets of SAs, in the order in which the SAs will be installed; further apart than the
  // worker takes commands in one poll.
  const std::vector<Frame>* probes = nullptr;
  std::vector<uint64_t> poll_tsc;
  // From before the worker took the command that installs the SA until after the poll in which its
  // first packet passed.
  std::vector<uint64_t> first_packet_tsc;
  uint64_t page_faults = 0;  // of the worker's thread
  size_t unclear = 0;        // probes that were accepted at once: when their SA came is not known
};

class RoundTraffic {
 public:
  static constexpr size_t kPackets = 48;  // with a probe, one burst
  static_assert(kPackets < Burst::kCapacity, "a poll takes all of them and a probe");

  RoundTraffic(Worker& worker, WorkerChannel& channel, Port access, Port host);

  // Makes the worker's round that of one packet for each of these frames; kPackets of them.
  void start(const std::vector<Frame>& frames) ON(worker_thread);
  // Polls until stop().
  void run() ON(worker_thread);
  void stop() { stop_ = true; }

  // Any thread: rounds from now on are recorded there, until end(). On return of end() nobody
  // writes the record any more.
  void begin(StormRecord& record) { wanted_ = &record; }
  void end();
  // First packets of this record that have passed.
  size_t probes_answered() const { return answered_; }

  struct Total {
    uint64_t sent = 0;      // ESP packets the worker sent
    uint64_t received = 0;  // as many, but for those missing from the wire at the end
    uint64_t lost() const { return sent - received; }
  };
  // Takes the packets off the wire and counts; after run() has returned.
  Total count() ON(worker_thread);

 private:
  void switch_to(StormRecord* record);
  void round(StormRecord* record) ON(worker_thread);
  void inject(Port& port, const Frame& frame);
  uint64_t accepted_probes() ON(worker_thread);

  Worker& worker_;
  WorkerChannel& channel_;
  Port access_;
  Port host_;
  FramePool pool_{4 * kPackets, 2048};
  Counters wire_counters_;  // of what the bench itself puts on the wire
  Drops wire_drops_{wire_counters_};
  PortCounters wire_;
  std::atomic<bool> stop_{false};
  std::atomic<StormRecord*> wanted_{nullptr};
  std::atomic<StormRecord*> current_{nullptr};
  std::atomic<size_t> answered_{0};
  size_t tries_ = 0;  // of the probe at hand
  uint64_t accepted_ = 0;
  uint64_t page_faults_before_ = 0;
};

// The first ESP packet (number 1) of an inbound SA: `plain` protected with a slot of `keys`.
Frame protect_first(const Frame& plain, Spi spi, Suite suite, const uint8_t* key,
                    MultiBuffer& multi_buffer, FramePool& pool);

}  // namespace gmesp
