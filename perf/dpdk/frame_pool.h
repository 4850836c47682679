// SPDX-License-Identifier: BSD-3-Clause
// Frames from memory as packets in buffers of their own, for benches and traffic generators that
// put them on a device's wire.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "dataplane/packet.h"

struct rte_mempool;

namespace gmesp {

class FramePool {
 public:
  // `count` buffers for frames of up to frame_bytes. EAL has started. A thread may keep up to one
  // and a half times `cached` free ones to itself, as with a Device's pool. Throws
  // std::runtime_error when there is no memory for them.
  FramePool(size_t count, size_t frame_bytes, size_t cached = 0);

  // A buffer with this frame, the caller's from now on: Port::transmit or release() takes it.
  // Nothing when all are on their way. One thread at a time. Throws std::runtime_error when the
  // frame is longer than the buffers.
  std::optional<Packet> take(std::span<const uint8_t> frame);
  // The same where one must be left; throws std::runtime_error when none is.
  Packet packet(std::span<const uint8_t> frame);
  // What EAL must have for such a pool.
  static size_t memory_mb(size_t count, size_t frame_bytes);

 private:
  struct PoolDeleter {
    void operator()(rte_mempool* pool) const;
  };
  std::unique_ptr<rte_mempool, PoolDeleter> pool_;
};

}  // namespace gmesp
