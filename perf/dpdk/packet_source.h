// SPDX-License-Identifier: BSD-3-Clause
// Real mbufs without a device, for benches: frames are put into buffers of a pool, enter a burst as
// a port's do, and leave it again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/packet.h"

struct rte_mempool;

namespace gmesp {

class PacketSource {
 public:
  // `count` buffers for frames of up to frame_bytes. EAL has started. Throws std::runtime_error
  // when there is no memory for them.
  PacketSource(size_t count, size_t frame_bytes);

  size_t size() const { return mbufs_.size(); }
  // Buffer i, which nothing else holds, for a frame of so many bytes: where it begins. The caller
  // writes it, as a device would.
  uint8_t* arm(size_t i, size_t frame_bytes);
  // Every frame moved to where a device would have put it.
  void align();
  // The device's RSS hash of the frame in buffer i (device_hash).
  void set_hash(size_t i, uint32_t hash);
  // Buffers i .. i + count - 1 as Port::receive would hand them over.
  void receive(size_t i, size_t count, Burst& burst) const;
  // Sets the buffers' bounds as Port::transmit would, and empties the burst. The buffers stay ours.
  static void transmit(Burst& burst);

 private:
  struct PoolDeleter {
    void operator()(rte_mempool* pool) const;
  };
  std::unique_ptr<rte_mempool, PoolDeleter> pool_;
  std::vector<rte_mbuf*> mbufs_;
};

}  // namespace gmesp
