// SPDX-License-Identifier: BSD-3-Clause
// A worker's SAs of one direction at the places the control thread gave them: the line that a
// packet is checked by, and behind it the line with counters and undelivered events. SPI 0 marks a
// free place.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "crypto/prefetch.h"
#include "dataplane/large_array.h"
#include "dataplane/security_association.h"

namespace gmesp {

constexpr SaIndex kNoSa{0xffffffff};

template <typename Sa>  // InboundSa or OutboundSa
class SaTable {
 public:
  explicit SaTable(size_t capacity) : entries_(capacity) {}
  void populate() { entries_.populate(); }

  size_t capacity() const { return entries_.size(); }
  Sa& operator[](SaIndex index) { return entries_[static_cast<size_t>(index)].sa; }
  const Sa& operator[](SaIndex index) const { return entries_[static_cast<size_t>(index)].sa; }
  SaIndex index_of(const Sa& sa) const {
    return SaIndex{static_cast<uint32_t>(&entry_of(sa) - entries_.begin())};
  }
  SaRecord& record(const Sa& sa) { return const_cast<Entry&>(entry_of(sa)).record; }
  // Both lines of an SA, to be written.
  void prefetch(const Sa& sa) const {
    prefetch_to_write(&sa);
    prefetch_to_write(&entry_of(sa).record);
  }

  // For an install or delete that comes soon; any index.
  void prefetch_place(SaIndex index) const {
    if (static_cast<size_t>(index) >= capacity()) return;
    prefetch((*this)[index]);
  }

  bool can_place(SaIndex index) const {
    return static_cast<size_t>(index) < capacity() && (*this)[index].spi == Spi{};
  }
  void place(SaIndex index, const Sa& sa, const AlternatePorts& alternate = {}) {
    (*this)[index] = sa;
    SaRecord& record = this->record((*this)[index]);
    SaRecord fresh;  // the list of deliver_events() may still hold this place (clear)
    fresh.queued = record.queued;
    fresh.next_pending = record.next_pending;
    fresh.alternate = alternate;
    record = fresh;
  }
  // Its events go, its place in their list stays until deliver_events() comes by: to look for it in
  // the list would cost a walk past all SAs whose events wait, up to a million.
  void clear(SaIndex index) {
    record((*this)[index]).pending_events = 0;
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

  // An event at the first burst of them and at every doubling: a flood makes few.
  void record_icv_failure(Sa& sa) {
    const uint32_t failures = ++record(sa).icv_failures;
    if (failures >= kIcvFailureBurst && std::has_single_bit(failures)) {
      queue(sa, SaEventKind::icv_failures);
    }
  }

  // A state event, of each kind once in the SA's life. It stays on the SA until deliver_events()
  // finds somebody to take it.
  void raise(Sa& sa, SaEventKind kind) {
    if ((sa.raised_events & static_cast<uint8_t>(kind)) != 0) return;
    sa.raised_events |= static_cast<uint8_t>(kind);
    queue(sa, kind);
  }
  // The next use is a first one again. One that nobody has heard of belongs to the time before and
  // is not told any more.
  void rearm_first_use(SaIndex index) {
    Sa& sa = (*this)[index];
    constexpr auto kOthers = static_cast<uint8_t>(~static_cast<uint8_t>(SaEventKind::first_use));
    sa.raised_events &= kOthers;
    record(sa).pending_events &= kOthers;
  }

  // Deleted SAs leave their places in the list: after a storm of deletes it may have a million with
  // nothing to deliver, each in no cache. Packets get their turn between; more than two bursts can
  // queue in a poll.
  static constexpr size_t kPlacesPerDelivery = 256;

  // deliver(SaIndex, SaEventKind) answers whether it took the event; false stops until the next
  // call. True when every event offered was taken.
  template <typename Deliver>
  bool deliver_events(Deliver&& deliver) {
    for (size_t i = 0; i < kPlacesPerDelivery && first_pending_ != kNoSa; ++i) {
      SaRecord& record = entries_[static_cast<size_t>(first_pending_)].record;
      while (record.pending_events != 0) {
        const auto lowest = static_cast<uint8_t>(record.pending_events & -record.pending_events);
        if (!deliver(first_pending_, SaEventKind{lowest})) return false;
        record.pending_events = static_cast<uint8_t>(record.pending_events & ~lowest);
      }
      record.queued = false;
      first_pending_ = record.next_pending;
    }
    return true;
  }

 private:
  struct Entry {
    Sa sa;
    SaRecord record;
  };
  void queue(Sa& sa, SaEventKind kind) {
    SaRecord& record = this->record(sa);
    if (!record.queued) {
      record.queued = true;
      record.next_pending = first_pending_;
      first_pending_ = index_of(sa);
    }
    record.pending_events |= static_cast<uint8_t>(kind);
  }
  static const Entry& entry_of(const Sa& sa) { return reinterpret_cast<const Entry&>(sa); }
  LargeArray<Entry> entries_;
  SaIndex first_pending_ = kNoSa;
};

}  // namespace gmesp
