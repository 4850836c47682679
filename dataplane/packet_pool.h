// SPDX-License-Identifier: BSD-3-Clause
// Packets that the engine makes itself: whole datagrams out of fragments, fragments out of what is
// too large, ICMP answers. Their buffers are not the ports': a flood of them can starve no receive
// queue. A link-time seam like Port (dpdk/packet_pool.cc; a test brings its own).
#pragma once

#include <cstddef>
#include <string>

#include "dataplane/packet.h"

struct rte_mempool;

namespace gmesp {

struct PacketPoolConfig {
  std::string name;    // each pool its own
  size_t packets = 0;  // that can be out at a time; 0: no memory, nothing to allocate
  size_t bytes = 0;    // longest packet, from its Ethernet header on
  int node = -1;       // NUMA node; -1: any
};

class PacketPool {
 public:
  // What a packet's view (16-bit lengths) and an mbuf can hold once ESP has been added.
  static constexpr size_t kMaxBytes = 65'352;

  // Control thread, at start. Throws std::runtime_error when there is no memory.
  explicit PacketPool(const PacketPoolConfig& config = {});
  ~PacketPool();
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;

  // Worker: a packet of so many bytes, all of them still to be written, in one buffer with
  // kHeadroomBytes in front and kTailroomBytes behind. False: all are out, or it is longer than
  // they are.
  bool allocate(Packet& packet, size_t bytes);
  // Whether a packet comes from here.
  bool owns(const Packet& packet) const;

  // What EAL must have for it (EalConfig::memory_mb).
  static size_t memory_mb(const PacketPoolConfig& config);

 private:
  rte_mempool* pool_ = nullptr;
  size_t bytes_ = 0;
};

// One worker's.
struct PacketPools {
  PacketPools() = default;
  PacketPools(const PacketPoolConfig& of_datagrams, const PacketPoolConfig& of_frames)
      : datagrams(of_datagrams), frames(of_frames) {}

  PacketPool datagrams;  // reassembled
  PacketPool frames;     // fragments and ICMP answers, as long as an MTU
};

}  // namespace gmesp
