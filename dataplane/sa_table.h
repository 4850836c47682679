// SPDX-License-Identifier: BSD-3-Clause
// A worker's SAs of one direction at the places the control thread gave them: the line every packet
// needs, and at the same index the line with counters and undelivered events. SPI 0 marks a free
// place.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/large_array.h"
#include "dataplane/security_association.h"

namespace gmesp {

constexpr SaIndex kNoSa{0xffffffff};

template <typename Sa>  // InboundSa or OutboundSa
class SaTable {
 public:
  explicit SaTable(size_t capacity) : sas_(capacity), records_(capacity) {}

  size_t capacity() const { return sas_.size(); }
  Sa& operator[](SaIndex index) { return sas_[static_cast<size_t>(index)]; }
  const Sa& operator[](SaIndex index) const { return sas_[static_cast<size_t>(index)]; }
  SaIndex index_of(const Sa& sa) const {
    return SaIndex{static_cast<uint32_t>(&sa - sas_.begin())};
  }
  SaRecord& record(const Sa& sa) { return records_[static_cast<size_t>(index_of(sa))]; }
  void prefetch_record(const Sa& sa) const {
    __builtin_prefetch(records_.begin() + static_cast<size_t>(index_of(sa)), 1);
  }

  bool can_place(SaIndex index) const {
    return static_cast<size_t>(index) < capacity() && (*this)[index].spi == Spi{};
  }
  void place(SaIndex index, const Sa& sa) {
    (*this)[index] = sa;
    record((*this)[index]) = SaRecord{};
  }
  void clear(SaIndex index) {
    forget_events(index);
    (*this)[index] = Sa{};
  }

  // A packet of the SA has passed every check. bytes: of its IP packet, in clear.
  void record_use(Sa& sa, uint16_t bytes, uint64_t now_tsc) {
    SaRecord& record = this->record(sa);
    ++record.packets;
    record.bytes += bytes;
    record.last_used_tsc = now_tsc;
    raise(sa, SaEventKind::first_use);
  }

  // A state event, of each kind once in the SA's life. It stays on the SA until deliver_events()
  // finds somebody to take it.
  void raise(Sa& sa, SaEventKind kind) {
    if ((sa.raised_events & static_cast<uint8_t>(kind)) != 0) return;
    sa.raised_events |= static_cast<uint8_t>(kind);
    SaRecord& record = this->record(sa);
    if (record.pending_events == 0) {
      record.next_pending = first_pending_;
      first_pending_ = index_of(sa);
    }
    record.pending_events |= static_cast<uint8_t>(kind);
  }

  // deliver(SaIndex, SaEventKind) answers whether it took the event; false stops until the next
  // call. True when nothing is left.
  template <typename Deliver>
  bool deliver_events(Deliver&& deliver) {
    while (first_pending_ != kNoSa) {
      SaRecord& record = records_[static_cast<size_t>(first_pending_)];
      while (record.pending_events != 0) {
        const auto lowest = static_cast<uint8_t>(record.pending_events & -record.pending_events);
        if (!deliver(first_pending_, SaEventKind{lowest})) return false;
        record.pending_events = static_cast<uint8_t>(record.pending_events & ~lowest);
      }
      first_pending_ = record.next_pending;
    }
    return true;
  }

 private:
  void forget_events(SaIndex index) {
    SaIndex* link = &first_pending_;
    while (*link != kNoSa && *link != index) {
      link = &records_[static_cast<size_t>(*link)].next_pending;
    }
    if (*link == index) *link = records_[static_cast<size_t>(index)].next_pending;
    records_[static_cast<size_t>(index)].pending_events = 0;
  }

  LargeArray<Sa> sas_;
  LargeArray<SaRecord> records_;
  SaIndex first_pending_ = kNoSa;
};

}  // namespace gmesp
