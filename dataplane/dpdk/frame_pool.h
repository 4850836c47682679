// SPDX-License-Identifier: BSD-3-Clause
// Frames of one's own for a Port to transmit: what a traffic generator needs of mbufs. Not part of
// the engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/packet.h"

struct rte_mempool;

namespace gmesp {

class FramePool {
 public:
  // `count` buffers for frames of up to frame_bytes. EAL has started. Throws std::runtime_error
  // when there is no memory for them.
  FramePool(size_t count, size_t frame_bytes);

  // Appends a copy of the frame. False: every buffer is on its way.
  bool push(std::span<const uint8_t> frame, Burst& burst);
  // What EAL must have for such a pool.
  static size_t memory_mb(size_t count, size_t frame_bytes);

 private:
  struct PoolDeleter {
    void operator()(rte_mempool* pool) const;
  };
  std::unique_ptr<rte_mempool, PoolDeleter> pool_;
};

}  // namespace gmesp
