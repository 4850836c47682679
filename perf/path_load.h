// SPDX-License-Identifier: BSD-3-Clause
// One worker's two packet paths under the traffic of many UEs, and beside them the same packets
// with nothing but their crypto: what path_bench.cc and `gmespd --bench` measure.
//
// Packets come in rings of kRing, as from a NIC: the frames are written into their buffers, go out
// through ESP, and what left comes in again, so replay windows, sequence numbers and ICVs are real.
// Every UE of the traffic has its packet before one has its second, in random order.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "crypto/key_store.h"
#include "crypto/multi_buffer.h"
#include "dataplane/audit.h"
#include "dataplane/inbound.h"
#include "dataplane/outbound.h"
#include "perf/dpdk/packet_source.h"

namespace gmesp {

class PathLoad {
 public:
  static constexpr size_t kRing = 1024;  // packets; 2 KB each
  // Tables and keys for so many SAs in each direction, all of one suite. As one of several workers
  // the load has the UEs that hash to that worker.
  struct Tables {
    Suite suite;
    bool ipv4;
    size_t sas;
    size_t workers = 1;
    size_t worker = 0;
  };
  // Throws std::runtime_error or std::system_error when there is no memory for it.
  explicit PathLoad(const Tables& tables);

  // From now on packets of so many bytes (plain IP) and of the first `ues` UEs.
  void set_traffic(size_t ip_bytes, size_t ues);

  // TSC cycles of one ring's packets.
  struct Cycles {
    uint64_t out = 0;
    uint64_t in = 0;
  };
  // From received mbufs to mbufs ready to be sent, once out and once in. Throws std::logic_error
  // when a packet is dropped.
  Cycles run_path();
  // Other packets of the same kind from the same source into the same sink, with nothing but the
  // MultiBuffer jobs between; their keys are prefetched one burst ahead.
  Cycles run_crypto();

  // For benches of other packets than good ones: frames that the outbound path has made, kRing of
  // them, and who receives them.
  using Frame = std::vector<uint8_t>;
  std::vector<Frame> make_esp();
  Inbound& inbound() { return inbound_; }
  const Counters& counters() const { return counters_; }

 private:
  // TSC cycles, more than every bench takes: what is beyond a rate stays beyond it.
  static constexpr uint64_t kLongSecond = uint64_t{1} << 40;
  static PathConfig with_long_seconds() {
    PathConfig config;
    config.tsc_hz = kLongSecond;
    return config;
  }
  void choose_ues();
  void install_sas();
  void arm(size_t& next);
  Address address_of(size_t place) const;
  void add_esp_headers();
  template <typename Path>
  uint64_t time_path(Path& path);
  uint64_t time_crypto(Direction direction);
  PathContext context();
  bool do_crypto(Direction direction, Burst& burst, const KeySlot* keys);

  const Tables tables_;
  PacketSource source_{kRing, 1600};
  size_t ip_bytes_ = 0;
  std::vector<uint32_t> ues_;    // their numbers, by place in the tables
  std::vector<uint32_t> order_;  // of places
  // In order_. The crypto is half of all UEs ahead: neither finds what the other brought near.
  size_t next_path_ = 0;
  size_t next_crypto_ = 0;
  std::array<uint32_t, kRing> ue_of_{};
  std::array<KeySlot, kRing> out_keys_{};  // of the crypto alone
  std::array<KeySlot, kRing> in_keys_{};
  size_t esp_offset_ = 0;
  Policy policy_;
  Counters counters_;
  KeyStore keys_;
  MultiBuffer multi_buffer_;
  Sad sad_;
  Spd spd_;
  Steering steering_;
  SteeringMesh mesh_;
  ProtectedPorts ports_{policy_, mesh_.learned_ports(), 1'000'000'000};
  AuditRing audit_ring_;  // nobody empties it
  Drops drops_{counters_, audit_ring_, 1'000'000'000};
  Steerer steerer_{tables_.worker, steering_, mesh_, drops_, 1'000'000'000};
  RateLimits limits_{kLongSecond, 1, 0x243f6a8885a308d3};
  Cleartext cleartext_{policy_, ports_, spd_, steerer_, limits_, counters_};
  PacketPools pools_;
  const PathConfig config_ = with_long_seconds();
  Inbound inbound_;
  Outbound outbound_;
  std::array<Burst, 2> bursts_;
};

}  // namespace gmesp
