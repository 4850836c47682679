// SPDX-License-Identifier: BSD-3-Clause
// A receive queue without a device, for benches of packets that do not get far: each frame has a
// buffer of its own, and whoever drops the packet gives it back to its pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/packet.h"
#include "perf/dpdk/frame_pool.h"

namespace gmesp {

class ArrivingPackets {
 public:
  // Room for `count` frames of up to frame_bytes. EAL has started. Throws std::runtime_error when
  // there is no memory for them.
  ArrivingPackets(size_t count, size_t frame_bytes);

  // Adds a frame to the queue. Throws std::runtime_error when a buffer was not given back.
  void arrive(std::span<const uint8_t> frame) { queue_.push_back(pool_.packet(frame).mbuf); }
  // The next frames as Port::receive hands them over, until the burst is full or none is left.
  void receive(Burst& burst);
  // The packets are sent, and the driver gives their buffers back.
  static void transmit(Burst& burst);

 private:
  FramePool pool_;
  std::vector<rte_mbuf*> queue_;
  size_t next_ = 0;  // in queue_
};

}  // namespace gmesp
