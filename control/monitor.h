// SPDX-License-Identifier: BSD-3-Clause
// A client that monitors: the events it asked for, as records, until it has taken them. Bounded: to
// one that does not read it says how many it has lost, in their place, and nobody waits for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "control/event_hub.h"

namespace gmesp {

// One record. All monitors of an event share it.
using EventRecord = std::shared_ptr<const std::string>;
EventRecord event_record(const Event& event);

class Monitor {
 public:
  static constexpr size_t kCapacity = 1024;  // records that wait

  explicit Monitor(EventKinds kinds) : kinds_(kinds) {}

  bool wants(const Event& event) const { return kinds_.contains(event); }
  void push(EventRecord record);
  // What to send now; nullptr: nothing.
  const std::string* front();
  void pop() { waiting_.pop_front(); }
  bool empty() const { return waiting_.empty() && lost_ == 0; }

 private:
  void mark_lost();

  EventKinds kinds_;
  std::deque<EventRecord> waiting_;
  uint64_t lost_ = 0;  // behind all that wait
};

}  // namespace gmesp
