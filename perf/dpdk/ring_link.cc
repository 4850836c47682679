// SPDX-License-Identifier: BSD-3-Clause
#include "perf/dpdk/ring_link.h"

#include <rte_eth_ring.h>
#include <rte_ring.h>

#include <stdexcept>

#include "dataplane/dpdk/mbuf.h"

namespace gmesp {
namespace {

constexpr unsigned kFrames = 1024;        // on the wire, each way
constexpr size_t kBuffers = 4 * kFrames;  // both ways, the worker's burst, and what it caches
constexpr size_t kFrameBytes = 1600;

}  // namespace

void RingLink::Deleter::operator()(rte_ring* ring) const { rte_ring_free(ring); }
void RingLink::Deleter::operator()(rte_mbuf* mbuf) const { rte_pktmbuf_free(mbuf); }

std::unique_ptr<rte_ring, RingLink::Deleter> RingLink::make_ring(const std::string& name) {
  return std::unique_ptr<rte_ring, Deleter>(
      rte_ring_create(name.c_str(), kFrames, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ));
}

RingLink::RingLink(const std::string& name)
    : name_(name),
      pool_(kBuffers, kFrameBytes),
      to_device_(make_ring("gmesp_to_" + name)),
      from_device_(make_ring("gmesp_from_" + name)) {
  if (!to_device_ || !from_device_) {
    throw std::runtime_error("no memory for a wire: " + name);
  }
  rte_ring* rx = to_device_.get();
  rte_ring* tx = from_device_.get();
  if (rte_eth_from_rings(name.c_str(), &rx, 1, &tx, 1, 0) < 0) {
    throw std::runtime_error("DPDK makes no device of two rings: " + name);
  }
}

void RingLink::prepare(std::span<const uint8_t> frame) {
  prepared_.reset(pool_.packet(frame).mbuf);
}

bool RingLink::send() {
  if (rte_ring_enqueue(to_device_.get(), prepared_.get()) != 0) return false;
  static_cast<void>(prepared_.release());
  return true;
}

bool RingLink::receive() {
  void* mbuf = nullptr;
  if (rte_ring_dequeue(from_device_.get(), &mbuf) != 0) return false;
  received_.reset(static_cast<rte_mbuf*>(mbuf));
  return true;
}

std::vector<uint8_t> RingLink::take() {
  const auto* const data = rte_pktmbuf_mtod(received_.get(), const uint8_t*);
  std::vector<uint8_t> frame(data, data + received_->data_len);
  received_.reset();
  return frame;
}

}  // namespace gmesp
