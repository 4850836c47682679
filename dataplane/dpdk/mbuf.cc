// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/dpdk/mbuf.h"

namespace gmesp {

void release(Packet& packet) { rte_pktmbuf_free(packet.mbuf); }

}  // namespace gmesp
