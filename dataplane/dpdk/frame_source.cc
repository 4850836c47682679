// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/dpdk/frame_source.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>

#include "dataplane/dpdk/mbuf.h"

namespace gmesp {

void FrameSource::PoolDeleter::operator()(rte_mempool* pool) const { rte_mempool_free(pool); }

namespace {

// A pool needs a name that no other has.
std::string next_name() {
  static std::atomic<unsigned> number{0};
  return "gmesp_frames_" + std::to_string(number++);
}

}  // namespace

FrameSource::FrameSource(size_t count, size_t frame_bytes, size_t cached)
    : pool_(rte_pktmbuf_pool_create(
          next_name().c_str(), static_cast<unsigned>(count), static_cast<unsigned>(cached), 0,
          static_cast<uint16_t>(data_room_bytes(frame_bytes)), SOCKET_ID_ANY)) {
  if (!pool_) throw std::runtime_error("no memory for " + std::to_string(count) + " buffers");
}

Packet FrameSource::packet(std::span<const uint8_t> frame) {
  rte_mbuf* const mbuf = rte_pktmbuf_alloc(pool_.get());
  if (mbuf == nullptr) throw std::runtime_error("all buffers of a frame source are out");
  Packet packet;
  if (char* const data = rte_pktmbuf_append(mbuf, static_cast<uint16_t>(frame.size()))) {
    std::copy(frame.begin(), frame.end(), data);
  }
  if (!view_mbuf(*mbuf, packet).is_pass()) {
    release(packet);
    throw std::runtime_error("a frame is longer than the buffers made for it");
  }
  return packet;
}

}  // namespace gmesp
