// SPDX-License-Identifier: BSD-3-Clause
#include "perf/dpdk/packet_source.h"

#include <rte_prefetch.h>

#include <atomic>
#include <cstring>
#include <stdexcept>
#include <string>

#include "dataplane/dpdk/mbuf.h"

namespace gmesp {

void PacketSource::PoolDeleter::operator()(rte_mempool* pool) const { rte_mempool_free(pool); }

namespace {
std::string pool_name() {
  static std::atomic<unsigned> pools{0};
  return "gmesp_source_" + std::to_string(pools++);
}
}  // namespace

PacketSource::PacketSource(size_t count, size_t frame_bytes)
    : pool_(rte_pktmbuf_pool_create(pool_name().c_str(), static_cast<unsigned>(count), 0, 0,
                                    static_cast<uint16_t>(data_room_bytes(frame_bytes)),
                                    SOCKET_ID_ANY)),
      mbufs_(count) {
  if (!pool_ ||
      rte_pktmbuf_alloc_bulk(pool_.get(), mbufs_.data(), static_cast<unsigned>(count)) != 0) {
    throw std::runtime_error("no memory for " + std::to_string(count) + " buffers");
  }
}

uint8_t* PacketSource::arm(size_t i, size_t frame_bytes) {
  rte_mbuf& mbuf = *mbufs_[i];
  rte_pktmbuf_reset(&mbuf);
  mbuf.data_len = static_cast<uint16_t>(frame_bytes);
  mbuf.pkt_len = static_cast<uint32_t>(frame_bytes);
  return rte_pktmbuf_mtod(&mbuf, uint8_t*);
}

void PacketSource::align() {
  for (rte_mbuf* mbuf : mbufs_) {
    const auto* const frame = rte_pktmbuf_mtod(mbuf, uint8_t*);
    mbuf->data_off = RTE_PKTMBUF_HEADROOM;
    std::memmove(rte_pktmbuf_mtod(mbuf, uint8_t*), frame, mbuf->data_len);
  }
}

void PacketSource::set_hash(size_t i, uint32_t hash) {
  mbufs_[i]->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
  mbufs_[i]->hash.rss = hash;
}

void PacketSource::receive(size_t i, size_t count, Burst& burst) const {
  for (const size_t end = i + count; i < end; ++i) {
    Packet packet;
    if (!view_mbuf(*mbufs_[i], packet).is_pass()) throw std::logic_error("buffer not armed");
    rte_prefetch0(packet.data);
    burst.push(packet);
  }
}

void PacketSource::transmit(Burst& burst) {
  for (const Packet& packet : burst) bound_mbuf(packet);
  burst.forget();
}

}  // namespace gmesp
