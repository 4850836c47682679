// SPDX-License-Identifier: BSD-3-Clause
#include "perf/dpdk/arriving_packets.h"

#include <rte_prefetch.h>

#include <stdexcept>

#include "dataplane/dpdk/mbuf.h"

namespace gmesp {
namespace {

constexpr size_t kCached = 256;  // as of a Device

}  // namespace

ArrivingPackets::ArrivingPackets(size_t count, size_t frame_bytes)
    : pool_(count + 2 * kCached, frame_bytes, kCached) {
  queue_.reserve(count);
}

void ArrivingPackets::receive(Burst& burst) {
  for (; next_ < queue_.size() && burst.room() > 0; ++next_) {
    Packet packet;
    if (!view_mbuf(*queue_[next_], packet).is_pass()) throw std::logic_error("buffer in use");
    rte_prefetch0(packet.data);
    burst.push(packet);
  }
  if (next_ < queue_.size()) return;
  queue_.clear();
  next_ = 0;
}

void ArrivingPackets::transmit(Burst& burst) {
  for (Packet& packet : burst) {
    bound_mbuf(packet);
    release(packet);
  }
  burst.forget();
}

}  // namespace gmesp
