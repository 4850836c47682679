// SPDX-License-Identifier: BSD-3-Clause
#include "control/registration/timer_wheel.h"

namespace gmesp {

TimerWheel::TimerWheel(size_t capacity, int64_t now_ms)
    : now_(tick_at_or_before(now_ms)), items_(capacity) {
  heads_.fill(kEnd);
  items_.populate();
}

void TimerWheel::set(uint32_t item, int64_t deadline_ms) {
  cancel(item);
  const bool between = deadline_ms > 0 && deadline_ms % kTickMs != 0;
  const uint64_t tick = tick_at_or_before(deadline_ms) + (between ? 1 : 0);
  items_[item].tick = std::min(tick, kLastTick) & kLastTick;
  link(item);
  ++size_;
}

void TimerWheel::cancel(uint32_t item) {
  if (items_[item].place == 0) return;
  unlink(item);
  --size_;
}

bool TimerWheel::find_next() {
  // A slot of level n > 0 is linked to only while it is ahead of now, and now stands at its begin
  // while it is emptied: it is the only one with its level's digit of now.
  for (unsigned level = kLevels - 1; level > 0; --level) {
    const auto digit = static_cast<unsigned>(now_ >> level * kLevelBits) % kSlots;
    if ((occupied_[level] >> digit & 1) == 0) continue;
    next_ = level * kSlots + digit;
    return true;
  }
  for (unsigned level = 0; level < kLevels; ++level) {
    if (occupied_[level] == 0) continue;
    next_ = level * kSlots + static_cast<unsigned>(std::countr_zero(occupied_[level]));
    return true;
  }
  return false;
}

void TimerWheel::link(uint32_t item) {
  Item& linked = items_[item];
  const uint64_t tick = std::max(uint64_t{linked.tick}, now_);
  const unsigned differs = static_cast<unsigned>(std::bit_width(tick ^ now_));
  const unsigned level = differs == 0 ? 0 : (differs - 1) / kLevelBits;
  const auto digit = static_cast<unsigned>(tick >> level * kLevelBits) % kSlots;
  const unsigned slot = level * kSlots + digit;
  linked.place = (slot + 1) & 0xffff;
  linked.previous = kEnd;
  linked.next = heads_[slot];
  if (linked.next != kEnd) items_[linked.next].previous = item;
  heads_[slot] = item;
  occupied_[level] |= uint64_t{1} << digit;
}

void TimerWheel::unlink(uint32_t item) {
  Item& linked = items_[item];
  const auto slot = static_cast<unsigned>(linked.place) - 1;
  if (linked.next != kEnd) items_[linked.next].previous = linked.previous;
  if (linked.previous != kEnd) {
    items_[linked.previous].next = linked.next;
  } else {
    heads_[slot] = linked.next;
    if (linked.next == kEnd) occupied_[level_of(slot)] &= ~(uint64_t{1} << slot % kSlots);
  }
  linked.place = 0;
}

}  // namespace gmesp
