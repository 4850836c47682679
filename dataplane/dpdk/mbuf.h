// SPDX-License-Identifier: BSD-3-Clause
// The only mbuf arithmetic there is: from an mbuf to the Packet that the stages see, and back. What
// the stages write to must be one buffer that nobody else holds, with room at both ends, so that
// decryption in place never touches shared memory and a trailer never leaves its buffer.
#pragma once

#include <rte_mbuf.h>

#include <cstddef>
#include <cstdint>

#include "dataplane/packet.h"

namespace gmesp {

static_assert(RTE_PKTMBUF_HEADROOM >= kHeadroomBytes + sizeof(VlanTag),
              "drivers that put a VLAN tag back take it from the headroom of the ESP header");

// Bytes of buffer behind an mbuf so that a frame of frame_bytes can be received and grown. NICs
// know buffer sizes in steps of up to 1 KB (BSIZEPACKET of the Intel 82599) and round
// down: a NIC whose buffers look shorter than a frame spreads it over several.
constexpr size_t data_room_bytes(size_t frame_bytes, size_t step_bytes = 64) {
  const size_t behind_headroom = frame_bytes + kTailroomBytes;
  return RTE_PKTMBUF_HEADROOM + (behind_headroom + step_bytes - 1) / step_bytes * step_bytes;
}

// Megabytes of DPDK's memory that a pool takes. Without hugepages it lets no buffer cross a page's
// end, so pages are what is counted.
constexpr size_t pool_memory_mb(size_t packets, size_t buffer_bytes) {
  constexpr size_t kPage = 4096;
  constexpr size_t kOverhead = sizeof(rte_mbuf) + 128;  // header of the object, place in the ring
  const size_t object = buffer_bytes + kOverhead;
  const size_t paged =
      object <= kPage ? kPage / (kPage / object) : (object + kPage - 1) / kPage * kPage;
  return packets * paged / (size_t{1} << 20) + 1;
}

// Fills the view of a frame just received, or says why no stage may work on it in place.
inline Verdict view_mbuf(rte_mbuf& mbuf, Packet& packet) {
  packet.mbuf = &mbuf;
  if (mbuf.nb_segs != 1) return Verdict::drop(Drop::multi_segment);
  if (rte_mbuf_refcnt_read(&mbuf) != 1 || !RTE_MBUF_DIRECT(&mbuf)) {
    return Verdict::drop(Drop::shared_buffer);
  }
  if ((mbuf.ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_BAD) {
    return Verdict::drop(Drop::bad_ip_checksum);
  }
  if (rte_pktmbuf_headroom(&mbuf) < kHeadroomBytes ||
      rte_pktmbuf_tailroom(&mbuf) < kTailroomBytes) {
    return Verdict::drop(Drop::no_room);
  }
  packet.data = rte_pktmbuf_mtod(&mbuf, uint8_t*);
  packet.length = rte_pktmbuf_data_len(&mbuf);
  return Verdict::pass();
}

// The mbuf with the bounds that the stages gave the packet. Its offload flags go: a tag or checksum
// that the sender wanted from another device is not this device's to add.
inline rte_mbuf* bound_mbuf(const Packet& packet) {
  rte_mbuf* mbuf = packet.mbuf;
  mbuf->data_off = static_cast<uint16_t>(packet.data - static_cast<uint8_t*>(mbuf->buf_addr));
  mbuf->data_len = packet.length;
  mbuf->pkt_len = packet.length;
  mbuf->ol_flags = 0;
  return mbuf;
}

}  // namespace gmesp
