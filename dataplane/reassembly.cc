// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/reassembly.h"

namespace gmesp {

Reassembler::Reassembler(const ReassemblyConfig&, uint64_t, uint64_t, PacketPool&, Drops&) {}
Reassembler::~Reassembler() = default;

Verdict Reassembler::add_fragment(Packet&, uint64_t) { return Verdict::drop(Drop::fragment); }

}  // namespace gmesp
