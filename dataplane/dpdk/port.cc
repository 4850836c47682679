// SPDX-License-Identifier: BSD-3-Clause
// Receive and transmit: what a worker calls per burst. Device, which is start and stop, is in
// device.cc.
#include "dataplane/dpdk/port.h"

#include <rte_ethdev.h>

#include "dataplane/dpdk/mbuf.h"

namespace gmesp {
namespace {

uint16_t counted_bytes(const Packet& packet) {
  return packet.kind == PacketKind::not_ip ? uint16_t{0} : packet.ip_bytes();
}

// Checked here because drivers do not all say so: some drop a longer frame and count it as sent. Of
// what is not IP we know no header, so such a frame may use the tags' room for anything.
bool exceeds_mtu(const Packet& packet, uint16_t mtu) {
  return packet.kind == PacketKind::not_ip ? packet.length > mtu + kMaxLinkHeaderBytes
                                           : packet.ip_bytes() > mtu;
}

}  // namespace

size_t Port::receive(Burst& burst, Drops& drops, PortCounters& port) {
  if (!can_receive_) return 0;
  std::array<rte_mbuf*, Burst::kCapacity> mbufs;
  const uint16_t received =
      rte_eth_rx_burst(id_, queue_, mbufs.data(), static_cast<uint16_t>(burst.room()));
  port.rx_packets += received;
  for (size_t i = 0; i < received; ++i) {
    Packet packet;
    const Verdict verdict = view_mbuf(*mbufs[i], packet);
    if (verdict.is_pass()) {
      rte_prefetch0(packet.data);  // the classifier reads it when the whole burst is here
      burst.push(packet);
    } else {
      drops.counters.count(verdict.reason());  // no stage has read it (kNeverTold)
      release(packet);
    }
  }
  return received;
}

void Port::transmit(Burst& burst, Drops& drops, PortCounters& port) {
  burst.filter(drops, [this](const Packet& packet) {
    return exceeds_mtu(packet, mtu_) ? Verdict::drop(Drop::frame_exceeds_mtu) : Verdict::pass();
  });
  if (burst.empty()) return;
  std::array<rte_mbuf*, Burst::kCapacity> mbufs;
  for (size_t i = 0; i < burst.size(); ++i) mbufs[i] = bound_mbuf(burst[i]);
  const uint16_t sent = can_transmit_ ? rte_eth_tx_burst(id_, queue_, mbufs.data(),
                                                         static_cast<uint16_t>(burst.size()))
                                      : uint16_t{0};
  port.tx_packets += sent;
  // From the views: what was sent is the device's, or already somebody else's packet.
  for (size_t i = 0; i < sent; ++i) port.tx_bytes += counted_bytes(burst[i]);
  for (size_t i = sent; i < burst.size(); ++i) {
    drops.tell(burst[i], Drop::tx_full);
    release(burst[i]);
  }
  burst.forget();
}

}  // namespace gmesp
