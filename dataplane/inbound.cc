// SPDX-License-Identifier: BSD-3-Clause
// Every step of an inbound packet, in order: RFC 4301 5.2 and RFC 4303 3.4. A pass over the burst
// ends where a packet has to wait for memory: what the next pass reads has been asked for in this
// one, first the look-up line, then the SA, then its key.
#include "dataplane/inbound.h"

#include <algorithm>

#include "dataplane/access_check.h"
#include "dataplane/classify.h"
#include "dataplane/esp.h"
#include "dataplane/tcp_mss.h"

namespace gmesp {

namespace {

Spi spi_of(const Packet& packet) {
  return Spi{packet.header<EspHeader>(packet.payload_offset).spi.host()};
}

// Saves nearly every packet a walk over headers that are not there.
bool has_more_than_plain_header(const Packet& packet) {
  const size_t plain = packet.is_ipv4() ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
  return packet.payload_offset > packet.ip_offset + plain;
}

SequenceNumber sequence_number_of(const Packet& packet) {
  return SequenceNumber{packet.header<EspHeader>(packet.payload_offset).sequence_number.host()};
}

}  // namespace

void Inbound::run(Burst& burst, uint64_t now_tsc) {
  drops_.enter(Direction::in, now_tsc);
  burst.filter(
      drops_,
      [&](Packet& p) { return classify_received(p, counters_.access); },   // RFC 4301 5.2 step 2
      [&](Packet& p) { return steerer_.to_owner(p, SteerTo::inbound); });  // DESIGN 2
  run_owned(burst, now_tsc);
}

void Inbound::run_owned(Burst& burst, uint64_t now_tsc) {
  drops_.enter(Direction::in, now_tsc);
  burst.move_if(others_, [](const Packet& p) { return p.kind != PacketKind::esp; });
  if (!others_.empty()) run_others(burst, now_tsc);

  burst.filter(drops_, [&](Packet& p) { return read_spi(p); });  // RFC 4303 2.1
  burst.filter(drops_, [&](Packet& p) { return find_sa(p); });   // 3.4.2
  burst.filter(
      drops_, [&](Packet& p) { return check_length(p); },  // RFC 4303 2
      [&](Packet& p) { return check_replay(p); });         // 3.4.3, before the ICV
  Jobs jobs;
  verify_and_decrypt(burst, jobs);  // 3.4.4
  const EspJob* job = jobs.data();
  burst.filter(
      drops_, [&](Packet& p) { return check_icv(p, *job++); },  // 3.4.4
      [&](Packet& p) { return update_replay(p); },              // 3.4.3, after the ICV
      [&](Packet& p) { return strip(p); },                      // 3.4.4.1, 2.4 to 2.6
      [&](Packet& p) { return check_selector(p); },             // RFC 4301 5.2 step 4
      [&](Packet& p) { return deliver(p, now_tsc); },
      [&](Packet& p) { return oversize_.fit_protected(p, host_mtu_); });

  others_.move_if(burst, [](const Packet&) { return true; });
}

// What is not ESP, or not yet: fragments of ESP join the others in `esp` when they are whole.
void Inbound::run_others(Burst& esp, uint64_t now_tsc) {
  for (const Packet& p : others_) reassembler_.prefetch(p);
  others_.filter(drops_,
                 [&](Packet& p) { return reassembler_.add(p, now_tsc); });  // RFC 4303 3.4.1
  others_.move_if(esp, [](const Packet& p) { return p.kind == PacketKind::esp; });
  others_.filter(
      drops_, [&](Packet& p) { return cleartext_.check_source(p); },           // PRV-21
      [&](Packet& p) { return path_mtu_.hear(p, now_tsc); },                   // RFC 4301 8.2
      [&](Packet& p) { return cleartext_.check(p, Direction::in, now_tsc); },  // 5.2 step 3b
      [&](Packet& p) {
        ++counters_.bypassed_in;
        return oversize_.fit_cleartext(p, host_mtu_, now_tsc);
      });
}

Inbound::Inbound(const PathContext& context, Sad& sad)
    : sad_(sad),
      spd_(context.spd),
      keys_(context.keys),
      multi_buffer_(context.multi_buffer),
      cleartext_(context.cleartext),
      steerer_(context.steerer),
      drops_(context.drops),
      counters_(context.drops.counters),
      check_padding_(context.config.check_padding),
      host_mtu_(context.config.host_mtu),
      access_mtu_(context.config.access_mtu),
      reassembler_(context.config.reassembly, context.config.tsc_hz, context.seed,
                   context.pools.datagrams, &context.spd, context.drops),
      path_mtu_(context.config.access_mtu, context.config.tsc_hz, context.spd, context.steerer),
      oversize_(context.pools, Oversize::Identify::all, context.config.tsc_hz, context.seed,
                context.drops) {}

// ESP is for the last destination to take off (RFC 8200 4.4), and the header that says where it
// goes on from here is not signed.
Verdict Inbound::read_spi(Packet& packet) {
  if (packet.payload_bytes() < sizeof(EspHeader)) return Verdict::drop(Drop::esp_length);
  if (has_more_than_plain_header(packet) && goes_on(packet))
    return Verdict::drop(Drop::unreachable_host);
  const Spi spi = spi_of(packet);
  if (spi < kFirstUnreservedSpi) return Verdict::drop(Drop::reserved_spi);
  sad_.prefetch(spi);
  return Verdict::pass();
}

// The SPI alone names the SA (ESP-01).
Verdict Inbound::find_sa(Packet& packet) {
  packet.inbound_sa = sad_.find(spi_of(packet));
  if (packet.inbound_sa == nullptr) return Verdict::drop(Drop::unknown_spi);
  sad_.sas().prefetch(*packet.inbound_sa);
  return Verdict::pass();
}

Verdict Inbound::check_length(Packet& packet) {
  const InboundSa& sa = *packet.inbound_sa;
  if (!ciphertext_fits(suite_info(sa.suite), packet.payload_bytes())) {
    return Verdict::drop(Drop::esp_length);
  }
  return Verdict::pass();
}

// Only what goes on to the crypto asks for its key: four lines or more that a replay would fetch
// for nothing (perf/README.md).
Verdict Inbound::check_replay(Packet& packet) {
  const InboundSa& sa = *packet.inbound_sa;
  if (sa.window.may_accept(sequence_number_of(packet))) {
    keys_.prefetch(sa.key, sa.suite);
    return Verdict::pass();
  }
  ++record(packet).replayed;
  return Verdict::drop(Drop::replayed);
}

void Inbound::verify_and_decrypt(Burst& burst, Jobs& jobs) {
  size_t count = 0;
  for (Packet& packet : burst) {
    const InboundSa& sa = *packet.inbound_sa;
    jobs[count++] = {keys_.at(sa.key), packet.payload(), packet.payload_bytes(), sa.suite, false};
  }
  multi_buffer_.verify_and_decrypt({jobs.data(), count});
}

Verdict Inbound::check_icv(const Packet& packet, const EspJob& job) {
  if (job.good) return Verdict::pass();
  sad_.sas().record_icv_failure(*packet.inbound_sa);
  return Verdict::drop(Drop::icv_mismatch);
}

Verdict Inbound::update_replay(Packet& packet) {
  if (packet.inbound_sa->window.accept(sequence_number_of(packet))) return Verdict::pass();
  ++record(packet).replayed;
  return Verdict::drop(Drop::replayed);
}

Verdict Inbound::strip(Packet& packet) {
  return strip_esp(packet, suite_info(packet.inbound_sa->suite), check_padding_);
}

Verdict Inbound::check_selector(Packet& packet) {
  UpperLayer upper;
  if (const Verdict v = find_upper_layer(packet, upper); !v.is_pass()) return v;
  Flow flow;
  if (const Verdict v = read_flow(packet, upper, flow); !v.is_pass()) return v;
  const InboundSa& sa = *packet.inbound_sa;
  if (!sa.selector.matches(flow) && !sa.selector.matches(flow, record(packet).alternate)) {
    ++record(packet).selector_mismatches;
    return Verdict::drop(Drop::selector_mismatch);
  }
  return Verdict::pass();
}

// What the host sends back has to leave room for ESP too (RFC 9293 3.7.1): that of the SA back, on
// the path that it has learned.
void Inbound::clamp_syn(Packet& packet, uint64_t now_tsc) {
  Flow flow;
  if (!read_flow(packet, flow).is_pass()) return;
  Suite suite = packet.inbound_sa->suite;
  uint16_t mtu = access_mtu_;
  if (OutboundSa* const back = spd_.find(reversed(flow))) {
    forget_old_path_mtu(spd_, *back, now_tsc);
    suite = back->suite;
    mtu = mtu_towards(*back, access_mtu_);
  }
  clamp_mss(packet, largest_mss(suite_info(suite), packet.is_ipv4(), mtu));
}

Verdict Inbound::deliver(Packet& packet, uint64_t now_tsc) {
  InboundSa& sa = *packet.inbound_sa;
  if (packet.next_header() != Protocol::udp && is_tcp_syn(packet)) clamp_syn(packet, now_tsc);
  // TS 24.229 5.2.2: the first use of an SA is an event.
  sad_.sas().record_use(sa, packet.ip_bytes(), now_tsc);
  ++counters_.protected_in;
  return Verdict::pass();
}

}  // namespace gmesp
