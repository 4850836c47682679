// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/oversize.h"

namespace gmesp {

Oversize::Oversize(PacketPools&, uint64_t, uint64_t, Drops&) {}

Verdict Oversize::take(Packet&, uint16_t) { return Verdict::drop(Drop::packet_too_big); }

Verdict Oversize::take_cleartext(Packet&, uint16_t, uint64_t) { return Verdict::pass(); }

void Oversize::answer_too_big(const Packet&, uint16_t, uint64_t) {}

bool Oversize::next_fragments(Burst&) { return false; }

}  // namespace gmesp
