// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/dpdk/frame_pool.h"

#include <cstring>
#include <stdexcept>
#include <string>

#include "dataplane/dpdk/mbuf.h"

namespace gmesp {
namespace {

constexpr unsigned kCachedMbufs = 256;

}  // namespace

void FramePool::PoolDeleter::operator()(rte_mempool* pool) const { rte_mempool_free(pool); }

FramePool::FramePool(size_t count, size_t frame_bytes)
    : pool_(rte_pktmbuf_pool_create("gmesp_frame_pool", static_cast<unsigned>(count), kCachedMbufs,
                                    0, static_cast<uint16_t>(data_room_bytes(frame_bytes)),
                                    SOCKET_ID_ANY)) {
  if (!pool_) throw std::runtime_error("no memory for " + std::to_string(count) + " buffers");
}

bool FramePool::push(std::span<const uint8_t> frame, Burst& burst) {
  rte_mbuf* const mbuf = rte_pktmbuf_alloc(pool_.get());
  if (mbuf == nullptr) return false;
  mbuf->data_len = static_cast<uint16_t>(frame.size());
  mbuf->pkt_len = static_cast<uint32_t>(frame.size());
  Packet packet;
  packet.mbuf = mbuf;
  packet.data = rte_pktmbuf_mtod(mbuf, uint8_t*);
  packet.length = static_cast<uint16_t>(frame.size());
  std::memcpy(packet.data, frame.data(), frame.size());
  burst.push(packet);
  return true;
}

size_t FramePool::memory_mb(size_t count, size_t frame_bytes) {
  return count * (sizeof(rte_mbuf) + data_room_bytes(frame_bytes) + 64) / (size_t{1} << 20) + 1;
}

}  // namespace gmesp
