// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/oversize.h"

#include "dataplane/checksum.h"
#include "dataplane/classify.h"
#include "dataplane/icmp_too_big.h"

namespace gmesp {

namespace {
constexpr uint32_t kAnswersAtOnce = 20;
}  // namespace

Oversize::Oversize(PacketPools& pools, Identify identify, uint64_t tsc_hz, uint64_t seed,
                   Drops& drops)
    : pools_(pools),
      identify_(identify),
      drops_(drops),
      identifications_(seed),
      answer_limit_(kAnswersPerSecond, kAnswersAtOnce, tsc_hz) {}

Oversize::~Oversize() {
  while (next_waiting_ < waiting_end_) release(waiting_[next_waiting_++].packet);
  while (next_fragment_ < fragments_end_) release(fragments_[next_fragment_++]);
}

Verdict Oversize::take(Packet& packet, uint16_t mtu, bool own_identification) {
  if (!plan_fragments(packet, mtu)) return Verdict::drop(Drop::packet_too_big);
  if (packet.is_ipv4() && !ipv4_checksum_good(packet)) {
    return Verdict::drop(Drop::bad_ip_checksum);
  }
  if (waiting_end_ == waiting_.size()) return Verdict::drop(Drop::no_buffer);
  waiting_[waiting_end_++] = {packet, mtu, own_identification};
  return Verdict::taken();
}

Verdict Oversize::take_cleartext(Packet& packet, uint16_t mtu, uint64_t now_tsc) {
  if (packet.kind == PacketKind::not_ip)
    return Verdict::pass();  // its length is the port's to judge
  trim_to_ip(packet);
  if (packet.ip_bytes() <= mtu) return Verdict::pass();
  if (may_fragment(packet)) {
    return take(packet, mtu, identify_ == Identify::all || !packet.is_ipv4());
  }
  // RFC 1122 3.2.1.2: whose header may be another's is not answered.
  if (packet.is_ipv4() && !ipv4_checksum_good(packet)) return Verdict::drop(Drop::bad_ip_checksum);
  answer_too_big(packet, mtu, now_tsc);
  return Verdict::drop(Drop::packet_too_big);
}

bool Oversize::may_fragment(const Packet& packet) const {
  if (pools_.datagrams.owns(packet)) return true;
  if (!packet.is_ipv4()) return false;
  const auto& ip = packet.header<Ipv4Header>(packet.ip_offset);
  return (ip.flags_and_fragment_offset.host() & kIpv4DontFragment) == 0;
}

void Oversize::answer_too_big(const Packet& packet, uint16_t mtu, uint64_t now_tsc) {
  if (!may_be_answered(packet) || answers_.room() == 0 || !answer_limit_.take(now_tsc)) return;
  Packet answer;
  if (!pools_.frames.allocate(answer, too_big_frame_bytes(packet))) return;
  write_too_big(packet, mtu, answer);
  answers_.push(answer);
  ++drops_.counters.answers_made;
}

bool Oversize::next_fragments(Burst& burst) {
  while (burst.room() != 0 && (next_fragment_ < fragments_end_ || cut_next())) {
    burst.push(fragments_[next_fragment_++]);
  }
  return !burst.empty();
}

// Cuts the next packet that waits; false: none does.
bool Oversize::cut_next() {
  while (next_waiting_ < waiting_end_) {
    Waiting& waiting = waiting_[next_waiting_++];
    const bool is_cut = cut(waiting);
    if (!is_cut) drops_.tell(waiting.packet, Drop::no_buffer);
    release(waiting.packet);
    if (is_cut) return true;
  }
  next_waiting_ = waiting_end_ = 0;
  return false;
}

// Into fragments_: all of them or none.
bool Oversize::cut(const Waiting& waiting) {
  const Packet& packet = waiting.packet;
  const Fragmentation plan = *plan_fragments(packet, waiting.mtu);
  next_fragment_ = 0;
  for (fragments_end_ = 0; fragments_end_ < plan.fragments(); ++fragments_end_) {
    const size_t bytes =
        packet.ip_offset + plan.headers_of(fragments_end_) + plan.payload_of(fragments_end_);
    if (!pools_.frames.allocate(fragments_[fragments_end_], bytes)) {
      while (fragments_end_ > 0) release(fragments_[--fragments_end_]);
      return false;
    }
  }
  const uint32_t identification = identification_of(waiting);
  for (size_t i = 0; i < fragments_end_; ++i) {
    write_fragment(packet, plan, i, identification, fragments_[i]);
  }
  ++drops_.counters.packets_fragmented;
  drops_.counters.fragments_made += fragments_end_;
  return true;
}

uint32_t Oversize::identification_of(const Waiting& waiting) {
  const Packet& packet = waiting.packet;
  if (!waiting.own_identification) {
    return packet.header<Ipv4Header>(packet.ip_offset).identification.host();
  }
  return identifications_.next(source_address(packet), destination_address(packet));
}

}  // namespace gmesp
