// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/packet_pool.h"

#include <rte_errno.h>
#include <rte_mbuf.h>

#include <stdexcept>

#include "dataplane/dpdk/mbuf.h"

namespace gmesp {
namespace {

static_assert(PacketPool::kMaxBytes + RTE_PKTMBUF_HEADROOM + kTailroomBytes <= UINT16_MAX,
              "an mbuf counts its buffer in 16 bits");

// Packets that end up in transmit queues come back late and from other workers: a cache of more
// would hold what others lack.
constexpr unsigned kCached = 32;

size_t buffer_bytes(size_t packet_bytes) {
  return RTE_PKTMBUF_HEADROOM + packet_bytes + kTailroomBytes;
}

}  // namespace

PacketPool::PacketPool(const PacketPoolConfig& config) : bytes_(config.bytes) {
  if (config.packets == 0) return;
  pool_ = rte_pktmbuf_pool_create(config.name.c_str(), static_cast<unsigned>(config.packets),
                                  config.packets >= 4 * kCached ? kCached : 0, 0,
                                  static_cast<uint16_t>(buffer_bytes(config.bytes)), config.node);
  if (pool_ == nullptr) {
    throw std::runtime_error("no memory for " + config.name + " (" +
                             std::to_string(memory_mb(config)) +
                             " MB): raise [workers] memory_mb, or lower [fragments]");
  }
}

PacketPool::~PacketPool() { rte_mempool_free(pool_); }

bool PacketPool::allocate(Packet& packet, size_t bytes) {
  if (pool_ == nullptr || bytes > bytes_) return false;
  rte_mbuf* const mbuf = rte_pktmbuf_alloc(pool_);
  if (mbuf == nullptr) return false;
  packet = {};
  packet.mbuf = mbuf;
  packet.data = rte_pktmbuf_mtod(mbuf, uint8_t*);
  packet.length = static_cast<uint16_t>(bytes);
  return true;
}

bool PacketPool::owns(const Packet& packet) const { return packet.mbuf->pool == pool_; }

size_t PacketPool::memory_mb(const PacketPoolConfig& config) {
  return config.packets == 0 ? 0 : pool_memory_mb(config.packets, buffer_bytes(config.bytes));
}

}  // namespace gmesp
