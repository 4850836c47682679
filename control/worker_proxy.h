// SPDX-License-Identifier: BSD-3-Clause
// The only way to reach a worker: commands out and events back, over the rings of its
// WorkerChannel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>

#include "dataplane/command.h"
#include "dataplane/thread_role.h"

namespace gmesp {

class WorkerProxy {
 public:
  explicit WorkerProxy(WorkerChannel& channel) : channel_(channel) {}

  // Every command sent is answered by one event, out of poll(). False: nothing was sent, because
  // too many are unanswered; the caller keeps the command and tries again after a poll().
  bool send(const SaCommand& command) ON(control_thread);

  // Hands every event that waits to handler(const SaEvent&). Answers how many there were.
  template <typename Handler>
  size_t poll(Handler&& handler) ON(control_thread);

  // The same with every record of its audit ring, at most as many as that holds.
  template <typename Handler>
  void poll_audit(Handler&& handler) ON(control_thread) {
    AuditRecord record;
    for (size_t i = 0; i < AuditRing::kCapacity && channel_.audit.records.pop(record); ++i) {
      handler(static_cast<const AuditRecord&>(record));
    }
  }

  Counters counters() const { return channel_.counters.read(); }
  // Commands the worker owes an answer to.
  size_t unanswered() const ON(control_thread) { return unanswered_; }
  // Times a command was not taken because so many were unanswered.
  uint64_t times_full() const ON(control_thread) { return times_full_; }

 private:
  WorkerChannel& channel_;
  size_t unanswered_ OWNED_BY(control_thread) = 0;
  uint64_t times_full_ OWNED_BY(control_thread) = 0;
};

template <typename Handler>
size_t WorkerProxy::poll(Handler&& handler) {
  size_t events = 0;
  SaEvent event;
  while (channel_.events.pop(event)) {
    // SaStateEvent comes of its own; everything else answers a command.
    if (!std::holds_alternative<SaStateEvent>(event)) --unanswered_;
    handler(static_cast<const SaEvent&>(event));
    ++events;
  }
  return events;
}

}  // namespace gmesp
