// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/dpdk/mbuf.h"

namespace gmesp {

void release(Packet& packet) { rte_pktmbuf_free(packet.mbuf); }

std::optional<uint32_t> device_hash(const Packet& packet) {
  if ((packet.mbuf->ol_flags & RTE_MBUF_F_RX_RSS_HASH) == 0) return std::nullopt;
  return packet.mbuf->hash.rss;
}

DeviceChecksum device_checksum(const Packet& packet) {
  switch (packet.mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) {
    case RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN:
      return DeviceChecksum::unknown;
    case RTE_MBUF_F_RX_L4_CKSUM_GOOD:
      return DeviceChecksum::good;
    default:  // BAD; NONE: a virtual device's sender counts on somebody else to finish it
      return DeviceChecksum::doubtful;
  }
}

}  // namespace gmesp
