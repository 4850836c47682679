// SPDX-License-Identifier: BSD-3-Clause
// A fixed number of places for elements that come and go, found again by number. T has a member
// `Slot next`, which is the caller's while the place is taken.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/large_array.h"

namespace gmesp {

using Slot = uint32_t;
constexpr Slot kNoSlot = 0;  // so that zeroed memory links to nothing

template <typename T>
class SlotArray {
 public:
  explicit SlotArray(size_t capacity) : slots_(capacity + 1) {}
  void populate() { slots_.populate(); }

  bool full() const { return free_ == kNoSlot && used_ + 1 == slots_.size(); }
  // All zero bytes, or as it was given back. Not when full.
  Slot take() {
    if (free_ == kNoSlot) return static_cast<Slot>(++used_);
    const Slot slot = free_;
    free_ = slots_[slot].next;
    return slot;
  }
  void give_back(Slot slot) {
    slots_[slot].next = free_;
    free_ = slot;
  }

  T& operator[](Slot slot) { return slots_[slot]; }
  const T& operator[](Slot slot) const { return slots_[slot]; }

 private:
  LargeArray<T> slots_;
  size_t used_ = 0;      // slots 1..used_ have been taken before
  Slot free_ = kNoSlot;  // the first of those that were given back
};

// Elements of a SlotArray in the order in which they came, linked by a member that is this queue's.
struct SlotLink {
  Slot older;
  Slot newer;
};
struct SlotQueue {
  Slot oldest;
  Slot newest;
};

template <typename T>
void append(SlotArray<T>& slots, SlotQueue& queue, SlotLink T::*link, Slot slot) {
  (slots[slot].*link) = {queue.newest, kNoSlot};
  (queue.newest == kNoSlot ? queue.oldest : (slots[queue.newest].*link).newer) = slot;
  queue.newest = slot;
}
template <typename T>
void take_out(SlotArray<T>& slots, SlotQueue& queue, SlotLink T::*link, Slot slot) {
  const SlotLink at = slots[slot].*link;
  (at.older == kNoSlot ? queue.oldest : (slots[at.older].*link).newer) = at.newer;
  (at.newer == kNoSlot ? queue.newest : (slots[at.newer].*link).older) = at.older;
}

}  // namespace gmesp
