// SPDX-License-Identifier: BSD-3-Clause
// A wire inside the process, for benches: a net_ring device, and this object at its other end. What
// is sent here the device receives, and the other way round.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "perf/dpdk/frame_pool.h"

struct rte_mbuf;
struct rte_ring;

namespace gmesp {

class RingLink {
 public:
  // EAL has started. Throws std::runtime_error when there is no memory for it. Outlives the Device.
  explicit RingLink(const std::string& name);

  // DeviceConfig::device of the other end.
  std::string device() const { return "net_ring_" + name_; }
  // The next frame to be sent: written into a buffer, as a driver finds it. Throws
  // std::runtime_error when all are out.
  void prepare(std::span<const uint8_t> frame);
  // Sends it. False: the wire is full, and the frame is still the next.
  bool send();
  // Whether the device has sent another frame. Then take() has to follow: the buffer is the pool's
  // that the frame came from.
  bool receive();
  // The frame's bytes; its buffer goes back.
  std::vector<uint8_t> take();

 private:
  struct Deleter {
    void operator()(rte_ring* ring) const;
    void operator()(rte_mbuf* mbuf) const;
  };
  static std::unique_ptr<rte_ring, Deleter> make_ring(const std::string& name);

  std::string name_;
  FramePool pool_;
  std::unique_ptr<rte_ring, Deleter> to_device_;
  std::unique_ptr<rte_ring, Deleter> from_device_;
  std::unique_ptr<rte_mbuf, Deleter> prepared_;
  std::unique_ptr<rte_mbuf, Deleter> received_;
};

}  // namespace gmesp
