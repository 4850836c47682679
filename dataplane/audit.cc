// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/audit.h"

#include "dataplane/classify.h"

namespace gmesp {
namespace {

void read_addresses(const Packet& packet, AuditRecord& record) {
  if (packet.kind == PacketKind::not_ip) return;  // or it could not be read to its end
  record.source = source_address(packet);
  record.destination = destination_address(packet);
  record.has_addresses = true;
  if (packet.is_ipv4()) return;
  const auto& ip = packet.header<Ipv6Header>(packet.ip_offset);
  record.flow_label = ip.version_class_flow.host() & 0xfffff;
}

void read_esp(const Packet& packet, size_t offset, AuditRecord& record) {
  if (offset + sizeof(EspHeader) > packet.length) return;
  const auto& esp = packet.header<EspHeader>(offset);
  record.spi = Spi{esp.spi.host()};
  record.number = SequenceNumber{esp.sequence_number.host()};
  record.has_spi = record.has_number = true;
}

// Only a first fragment of ESP has the SPI.
void read_esp_of_fragment(const Packet& packet, AuditRecord& record) {
  if (packet.is_ipv4()) {
    const auto& ip = packet.header<Ipv4Header>(packet.ip_offset);
    const bool first = (ip.flags_and_fragment_offset.host() & kIpv4FragmentOffset) == 0;
    if (first && ip.protocol == Protocol::esp) read_esp(packet, packet.payload_offset, record);
    return;
  }
  if (packet.payload_bytes() < sizeof(Ipv6FragmentHeader)) return;
  const auto& fragment = packet.header<Ipv6FragmentHeader>(packet.payload_offset);
  const bool first = (fragment.offset_and_more.host() & kIpv6FragmentOffset) == 0;
  if (first && fragment.next_header == Protocol::esp) {
    read_esp(packet, packet.payload_offset + sizeof(Ipv6FragmentHeader), record);
  }
}

// The stages before and of strip_esp(), which takes the ESP header away: what drops a packet behind
// it is none of these.
bool still_has_esp_header(Drop reason) {
  switch (reason) {
    case Drop::reserved_spi:
    case Drop::unknown_spi:
    case Drop::esp_length:
    case Drop::replayed:
    case Drop::icv_mismatch:
    case Drop::bad_padding:
    case Drop::dummy_packet:
      return true;
    default:
      return false;
  }
}

void read_inbound(const Packet& packet, AuditRecord& record) {
  if (packet.kind != PacketKind::esp) return;
  if (still_has_esp_header(record.reason)) return read_esp(packet, packet.payload_offset, record);
  if (packet.inbound_sa == nullptr) return;
  record.spi = packet.inbound_sa->spi;
  record.has_spi = true;
}

// Before ESP: outbound_sa stands for a hash in other stages.
void read_outbound(const Packet& packet, AuditRecord& record) {
  if (record.reason != Drop::sequence_exhausted) return;
  record.spi = packet.outbound_sa->spi;
  record.number = packet.outbound_sa->last_sent;
  record.has_spi = record.has_number = true;
}

}  // namespace

AuditRecord audit_record(const Packet& packet, Drop reason, Direction direction) {
  AuditRecord record;
  record.reason = reason;
  record.direction = direction;
  read_addresses(packet, record);
  if (packet.kind == PacketKind::fragment) {
    read_esp_of_fragment(packet, record);
  } else if (direction == Direction::in) {
    read_inbound(packet, record);
  } else {
    read_outbound(packet, record);
  }
  return record;
}

Drops::Drops(Counters& worker, AuditRing& ring, uint64_t tsc_hz)
    : counters(worker), ring_(&ring), second_tsc_(tsc_hz) {}

void Drops::set_audit(const AuditSetting& setting) {
  audited_ = ring_ == nullptr ? 0 : setting.reasons & kEveryReason;
  per_second_ = setting.per_second;
  begin_second(now_tsc_);
}

// A clock that jumps, either way, begins a new second: no sample waits for it to come back.
void Drops::begin_second(uint64_t now_tsc) {
  second_began_tsc_ = now_tsc;
  room_.fill(per_second_);
}

void Drops::audit(const Packet& packet, Drop reason) {
  uint32_t& room = room_[static_cast<size_t>(reason)];
  if (room == 0) {
    ++counters.audit_left_out;
    return;
  }
  --room;
  AuditRecord record = audit_record(packet, reason, direction_);
  record.tsc = now_tsc_;
  if (ring_->records.push(record)) {
    ++counters.audited;
  } else {
    ++counters.audit_lost;
  }
}

}  // namespace gmesp
