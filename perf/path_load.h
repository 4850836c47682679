// SPDX-License-Identifier: BSD-3-Clause
// One worker's two packet paths with many UEs, fed from real mbufs: what path_bench.cc measures. A
// round has a packet of every UE, in random order, so that no line of an SA is warm from the packet
// before; a frame is put back into its buffer before every measured burst, as a NIC would.
#pragma once

#include <cstdint>
#include <vector>

#include "crypto/key_store.h"
#include "crypto/multi_buffer.h"
#include "dataplane/dpdk/packet_source.h"
#include "dataplane/inbound.h"
#include "dataplane/outbound.h"

namespace gmesp {

class PathLoad {
 public:
  struct Traffic {
    Suite suite;
    Direction direction;
    bool ipv4;
    size_t ip_bytes;  // of the plain packet
    size_t ues;
  };
  explicit PathLoad(const Traffic& traffic);

  size_t packets() const { return source_.size(); }
  // Takes every packet through the path once, from received mbufs to mbufs ready to be sent, and
  // adds the TSC cycles of each burst. Throws std::logic_error when a packet is dropped.
  void run_path(std::vector<uint64_t>& burst_cycles);
  // The same packets with nothing but MultiBuffer jobs.
  void run_crypto(std::vector<uint64_t>& burst_cycles);

 private:
  using Frame = std::vector<uint8_t>;

  void install_sas();
  void protect_frames();
  void reset_windows();
  void arm(const std::vector<Frame>& frames, size_t first, size_t count);

  const Traffic traffic_;
  std::vector<uint32_t> ue_of_;  // packet -> UE
  PacketSource source_;
  std::vector<Frame> plain_;
  std::vector<Frame> protected_;
  size_t esp_offset_ = 0;
  Policy policy_;
  Counters counters_;
  KeyStore keys_;
  MultiBuffer multi_buffer_;
  Sad sad_;
  Spd spd_;
  Steering steering_{1};
  SteeringMesh mesh_{1};
  ProtectedPorts ports_{policy_, mesh_.learned_ports()};
  Steerer steerer_{0, steering_, mesh_, counters_};
  Cleartext cleartext_{policy_, ports_, spd_, steerer_};
  Inbound inbound_;
  Outbound outbound_;
};

}  // namespace gmesp
