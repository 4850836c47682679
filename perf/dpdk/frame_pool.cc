// SPDX-License-Identifier: BSD-3-Clause
#include "perf/dpdk/frame_pool.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>

#include "dataplane/dpdk/mbuf.h"

namespace gmesp {

void FramePool::PoolDeleter::operator()(rte_mempool* pool) const { rte_mempool_free(pool); }

namespace {

// A pool needs a name that no other has.
std::string next_name() {
  static std::atomic<unsigned> number{0};
  return "gmesp_frames_" + std::to_string(number++);
}

}  // namespace

FramePool::FramePool(size_t count, size_t frame_bytes, size_t cached)
    : pool_(rte_pktmbuf_pool_create(
          next_name().c_str(), static_cast<unsigned>(count), static_cast<unsigned>(cached), 0,
          static_cast<uint16_t>(data_room_bytes(frame_bytes)), SOCKET_ID_ANY)) {
  if (!pool_) throw std::runtime_error("no memory for " + std::to_string(count) + " buffers");
}

std::optional<Packet> FramePool::take(std::span<const uint8_t> frame) {
  rte_mbuf* const mbuf = rte_pktmbuf_alloc(pool_.get());
  if (mbuf == nullptr) return std::nullopt;
  // Compared before append(), which counts in 16 bits.
  char* const data = frame.size() > rte_pktmbuf_tailroom(mbuf)
                         ? nullptr
                         : rte_pktmbuf_append(mbuf, static_cast<uint16_t>(frame.size()));
  if (data != nullptr) std::copy(frame.begin(), frame.end(), data);
  Packet packet;
  if (data == nullptr || !view_mbuf(*mbuf, packet).is_pass()) {
    rte_pktmbuf_free(mbuf);
    throw std::runtime_error("a frame is longer than the buffers made for it");
  }
  return packet;
}

Packet FramePool::packet(std::span<const uint8_t> frame) {
  if (const std::optional<Packet> packet = take(frame)) return *packet;
  throw std::runtime_error("all buffers of a frame pool are out");
}

size_t FramePool::memory_mb(size_t count, size_t frame_bytes) {
  return count * (sizeof(rte_mbuf) + data_room_bytes(frame_bytes) + 64) / (size_t{1} << 20) + 1;
}

}  // namespace gmesp
