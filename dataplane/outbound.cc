// SPDX-License-Identifier: BSD-3-Clause
// Every step of an outbound packet, in order: RFC 4301 5.1 and RFC 4303 3.3. A pass over the burst
// ends where a packet has to wait for memory: what the next pass reads has been asked for in this
// one, first the look-up line, then the SA, then its key.
#include "dataplane/outbound.h"

#include <algorithm>

#include "dataplane/checksum.h"
#include "dataplane/classify.h"
#include "dataplane/esp.h"
#include "dataplane/path_mtu.h"
#include "dataplane/tcp_mss.h"

namespace gmesp {

namespace {

// All that the host says may come from one address.
ReassemblyConfig without_source_limit(ReassemblyConfig config) {
  config.per_source = UINT32_MAX;
  return config;
}

}  // namespace

void Outbound::run(Burst& burst, uint64_t now_tsc) {
  drops_.enter(Direction::out, now_tsc);
  burst.filter(
      drops_,
      [&](Packet& p) { return classify_received(p, counters_.host); },      // RFC 4301 5.1 step 1
      [&](Packet& p) { return steerer_.to_owner(p, SteerTo::outbound); });  // DESIGN 2
  run_owned(burst, now_tsc);
}

void Outbound::run_owned(Burst& burst, uint64_t now_tsc) {
  drops_.enter(Direction::out, now_tsc);
  burst.filter(drops_, [&](Packet& p) { return reassembler_.add(p, now_tsc); });  // RFC 4303 3.3.4
  for (Packet& p : burst) hash_addresses(p);  // each pass asks for what the next one reads
  for (Packet& p : burst) find_candidate(p);
  burst.filter(drops_, [&](Packet& p) { return find_policy(p); });  // RFC 4301 5.1 step 2

  burst.move_if(cleartext_burst_, [](const Packet& p) { return p.outbound_sa == nullptr; });
  cleartext_burst_.filter(
      drops_,  // RFC 4301 5.1 step 3, TS 33.203 7.1
      [&](Packet& p) { return cleartext_.check(p, Direction::out, now_tsc); },
      [&](Packet& p) {
        ++counters_.bypassed_out;
        return oversize_.fit_cleartext(p, cleartext_mtu(p), now_tsc);
      });

  burst.filter(
      drops_, [&](Packet& p) { return trim(p); },  // what pads a short frame
      [&](Packet& p) { return check_checksum(p); },
      [&](Packet& p) { return clamp(p, now_tsc); },         // RFC 9293 3.7.1
      [&](Packet& p) { return check_mtu(p, now_tsc); },     // RFC 4303 3.3.4
      [&](Packet& p) { return encapsulate(p, now_tsc); });  // 3.3.2.1, 3.3.3
  Jobs jobs;
  encrypt_and_sign(burst, jobs);  // 3.3.2
  const EspJob* job = jobs.data();
  burst.filter(drops_, [&](Packet& p) { return finish(p, *job++); });  // 3.3.4

  cleartext_burst_.move_if(burst, [](const Packet&) { return true; });
}

Outbound::Outbound(const PathContext& context)
    : spd_(context.spd),
      keys_(context.keys),
      multi_buffer_(context.multi_buffer),
      cleartext_(context.cleartext),
      steerer_(context.steerer),
      drops_(context.drops),
      counters_(context.drops.counters),
      access_mtu_(context.config.access_mtu),
      answers_too_big_(context.config.answer_too_big),
      verify_checksums_(context.config.verify_checksums),
      device_checksums_(context.config.device_checksums),
      reassembler_(without_source_limit(context.config.reassembly), context.config.tsc_hz,
                   context.seed, context.pools.datagrams, nullptr, context.drops),
      oversize_(context.pools, Oversize::Identify::all_but_ipv4_cleartext, context.config.tsc_hz,
                context.seed, context.drops) {}

void Outbound::hash_addresses(Packet& packet) {
  if (packet.kind != PacketKind::cleartext) return;  // outbound_sa stays null: no SA
  packet.address_hash = spd_.hash(source_address(packet), destination_address(packet));
  spd_.prefetch(packet.address_hash);
}

// The SA that the address pair leads to, most likely the one; its lines are asked for.
void Outbound::find_candidate(Packet& packet) {
  if (packet.kind != PacketKind::cleartext) return;
  packet.outbound_sa = spd_.candidate(packet.address_hash);
  if (packet.outbound_sa != nullptr) spd_.sas().prefetch(*packet.outbound_sa);
}

// SA or, with no SA, the cleartext policy's decision.
Verdict Outbound::find_policy(Packet& packet) {
  if (packet.kind != PacketKind::cleartext) return Verdict::pass();
  Flow flow;
  if (const Verdict v = read_flow(packet, flow); !v.is_pass()) return v;
  packet.outbound_sa = spd_.find(packet.outbound_sa, flow);
  if (packet.outbound_sa == nullptr) return Verdict::pass();
  const OutboundSa& sa = *packet.outbound_sa;
  keys_.prefetch(sa.key, sa.suite);
  return Verdict::pass();
}

Verdict Outbound::trim(Packet& packet) {
  trim_to_ip(packet);
  return Verdict::pass();
}

// A device's doubt is not the last word: some call UDP's "no checksum" (RFC 768) wrong.
Verdict Outbound::check_checksum(Packet& packet) {
  if (!verify_checksums_ && !device_checksums_) return Verdict::pass();
  const DeviceChecksum device = device_checksum(packet);
  if (device == DeviceChecksum::good) return Verdict::pass();
  if (device == DeviceChecksum::unknown && !verify_checksums_) return Verdict::pass();
  return transport_checksum_good(packet) ? Verdict::pass() : Verdict::drop(Drop::bad_checksum);
}

// What the UE sends back has to leave room for ESP too.
Verdict Outbound::clamp(Packet& packet, uint64_t now_tsc) {
  if (packet.next_header() != Protocol::udp && is_tcp_syn(packet)) clamp_syn(packet, now_tsc);
  return Verdict::pass();
}

// The path back is not known, but mostly the same.
void Outbound::clamp_syn(Packet& packet, uint64_t now_tsc) {
  OutboundSa& sa = *packet.outbound_sa;
  forget_old_path_mtu(spd_, sa, now_tsc);
  clamp_mss(packet,
            largest_mss(suite_info(sa.suite), packet.is_ipv4(), mtu_towards(sa, access_mtu_)));
}

// What the host has cut itself (over IPv6 nobody else may) may be for a path that takes less than
// our link: whole, it would not arrive, and the host would not know what more to do.
uint16_t Outbound::cleartext_mtu(const Packet& packet) const {
  if (packet.ip_bytes() <= kIpv6LeastMtu || packet.kind != PacketKind::cleartext) [[likely]]
    return access_mtu_;
  const bool was_cut = !packet.is_ipv4() && oversize_.may_fragment(packet);
  return was_cut ? std::min(access_mtu_, kIpv6LeastMtu) : access_mtu_;
}

Verdict Outbound::check_mtu(Packet& packet, uint64_t now_tsc) {
  const OutboundSa& sa = *packet.outbound_sa;
  const size_t growth = esp_growth_bytes(suite_info(sa.suite), packet.payload_bytes());
  if (packet.ip_bytes() + growth <= mtu_towards(sa, access_mtu_)) [[likely]]
    return Verdict::pass();
  return check_large(packet, growth, now_tsc);
}

// What is too large is fragmented behind ESP, unless its sender is to hear of it and has asked to.
Verdict Outbound::check_large(Packet& packet, size_t growth, uint64_t now_tsc) {
  OutboundSa& sa = *packet.outbound_sa;
  forget_old_path_mtu(spd_, sa, now_tsc);
  if (packet.length + growth > UINT16_MAX) return Verdict::drop(Drop::packet_too_big);
  if (!answers_too_big_ || packet.ip_bytes() + growth <= mtu_towards(sa, access_mtu_) ||
      oversize_.may_fragment(packet)) {
    return Verdict::pass();
  }
  return answer_too_big(packet, now_tsc);
}

// Told is the plain size whose ESP fits. A sender that must not go below it (RFC 8200 5, RFC 1122
// 3.3.2) would not listen: its packets are fragmented.
Verdict Outbound::answer_too_big(Packet& packet, uint64_t now_tsc) {
  const OutboundSa& sa = *packet.outbound_sa;
  const size_t headers = size_t{packet.payload_offset} - packet.ip_offset;
  const size_t room =
      mtu_towards(sa, access_mtu_) > headers ? mtu_towards(sa, access_mtu_) - headers : 0;
  const size_t mtu = headers + esp_payload_capacity(suite_info(sa.suite), room);
  if (mtu < (packet.is_ipv4() ? kIpv4LeastReceived : kIpv6LeastMtu)) return Verdict::pass();
  oversize_.answer_too_big(packet, static_cast<uint16_t>(mtu), now_tsc);
  return Verdict::drop(Drop::packet_too_big);
}

// Only a packet that passed every check uses a sequence number up.
Verdict Outbound::encapsulate(Packet& packet, uint64_t now_tsc) {
  OutboundSa& sa = *packet.outbound_sa;
  const auto last_sent = static_cast<uint32_t>(sa.last_sent);
  if (last_sent == kSequenceHardLimit) {
    spd_.sas().raise(sa, SaEventKind::sequence_exhausted);
    return Verdict::drop(Drop::sequence_exhausted);
  }
  const uint32_t number = last_sent + 1;
  if (number >= kSequenceSoftLimit) spd_.sas().raise(sa, SaEventKind::sequence_soft_limit);
  sa.last_sent = SequenceNumber{number};
  spd_.sas().record_use(sa, packet.ip_bytes(), now_tsc);
  add_esp(packet, suite_info(sa.suite), sa.spi, sa.last_sent);
  return Verdict::pass();
}

void Outbound::encrypt_and_sign(Burst& burst, Jobs& jobs) {
  size_t count = 0;
  for (Packet& packet : burst) {
    const OutboundSa& sa = *packet.outbound_sa;
    jobs[count++] = {keys_.at(sa.key), packet.payload(), packet.payload_bytes(), sa.suite, false};
  }
  multi_buffer_.encrypt_and_sign({jobs.data(), count});
}

Verdict Outbound::finish(Packet& packet, const EspJob& job) {
  if (!job.good) return Verdict::drop(Drop::crypto_failed);
  ++counters_.protected_out;
  return oversize_.fit_protected(packet, mtu_towards(*packet.outbound_sa, access_mtu_));
}

}  // namespace gmesp
