// SPDX-License-Identifier: BSD-3-Clause
// Deadlines of many items, each named by a number below a fixed capacity. Setting, moving and
// cancelling one costs the same whatever the number; a tick costs what is due in it and nothing
// else (hierarchical wheel). Time is the caller's: monotonic milliseconds.
//
// Level n holds the items whose tick differs from now in its n-th group of 6 bits and in none above
// (Varghese, Lauck 1987, with the levels as digits of the tick). So the first item of the lowest
// level is the next one due, time can pass over empty slots in one step, and the 8 levels reach
// further than anybody lives. When time comes to a slot of level n > 0, its items move down, each
// at most once per level.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "dataplane/large_array.h"

namespace gmesp {

class TimerWheel {
 public:
  // An item is due at the first tick at or after its deadline: at most kTickMs late, never early.
  static constexpr int64_t kTickMs = 64;

  // Throws std::system_error when the memory cannot be had: 16 bytes for each item.
  TimerWheel(size_t capacity, int64_t now_ms);

  // Any deadline (one in the past is due at the next advance); replaces the item's earlier one.
  void set(uint32_t item, int64_t deadline_ms);
  void cancel(uint32_t item);  // nothing happens when it has none
  // Calls due(item) for every item whose deadline has come, at most `most` of them; each has no
  // deadline any more when called, and may be given one (one that has come is due in this call
  // still). Items that move down count as well, so that a call's length is bounded. True: there is
  // more to do now.
  template <typename Due>
  bool advance(int64_t now_ms, size_t most, Due&& due) {
    const uint64_t target = std::max(now_, tick_at_or_before(now_ms));
    for (; find_next() && begin_of(next_) <= target; --most) {
      if (most == 0) return true;
      now_ = std::max(now_, begin_of(next_));
      const uint32_t item = heads_[next_];
      unlink(item);
      if (level_of(next_) == 0) {
        --size_;
        due(item);
      } else {
        link(item);
      }
    }
    now_ = target;
    return false;
  }
  size_t size() const { return size_; }  // items with a deadline

 private:
  static constexpr unsigned kLevelBits = 6;
  static constexpr unsigned kSlots = 1 << kLevelBits;
  static constexpr unsigned kLevels = 8;
  static constexpr unsigned kTickBits = kLevels * kLevelBits;  // 570,000 years
  static constexpr uint64_t kLastTick = (uint64_t{1} << kTickBits) - 1;
  static constexpr uint32_t kEnd = 0xffffffff;

  struct Item {
    uint64_t tick : kTickBits;
    uint64_t place : 16;  // 1 + slot of all levels; 0: no deadline
    uint32_t next;
    uint32_t previous;
  };
  static_assert(sizeof(Item) == 16, "four to a cache line");

  static uint64_t tick_at_or_before(int64_t ms) {
    return std::min(static_cast<uint64_t>(std::max<int64_t>(ms, 0) / kTickMs), kLastTick);
  }
  static unsigned level_of(unsigned slot) { return slot / kSlots; }
  // The first tick of a slot that is not behind now.
  uint64_t begin_of(unsigned slot) const {
    const unsigned shift = level_of(slot) * kLevelBits;
    return (now_ >> shift >> kLevelBits << kLevelBits | slot % kSlots) << shift;
  }
  // Sets next_. A slot of a higher level that time has reached comes before everything below it
  // until it is empty: what is left in it may be due earlier.
  bool find_next();
  void link(uint32_t item);
  void unlink(uint32_t item);

  uint64_t now_;
  size_t size_ = 0;
  unsigned next_ = 0;
  std::array<uint64_t, kLevels> occupied_{};  // a bit per slot
  std::array<uint32_t, kLevels * kSlots> heads_;
  LargeArray<Item> items_;
};

}  // namespace gmesp
