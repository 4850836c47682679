// SPDX-License-Identifier: BSD-3-Clause
// Deadlines of many items, each named by a number below a fixed capacity. Setting, moving and
// cancelling one costs the same whatever the number; a tick costs what is due in it and nothing
// else (hierarchical wheel). Time is the caller's: monotonic milliseconds.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gmesp {

class TimerWheel {
 public:
  // An item is due at the first tick at or after its deadline: at most kTickMs late, never early.
  static constexpr int64_t kTickMs = 64;

  TimerWheel(size_t capacity, int64_t now_ms);

  // Any deadline (one in the past is due at the next advance); replaces the item's earlier one.
  void set(uint32_t item, int64_t deadline_ms);
  void cancel(uint32_t item);  // nothing happens when it has none
  // Calls due(item) for every item whose deadline has come, at most `most` of them; each has no
  // deadline any more when called, and may be given one. True: there is more to do now.
  template <typename Due>
  bool advance(int64_t now_ms, size_t most, Due&& due);
  size_t size() const;  // items with a deadline
};

}  // namespace gmesp
