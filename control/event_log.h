// SPDX-License-Identifier: BSD-3-Clause
// Log lines about events of SAs and sets, at most kLinesPerSecond: a million UEs that begin to talk
// must not fill the disk. What is left out is counted in the next line. Drops have their counters.
#pragma once

#include <chrono>
#include <cstdint>

#include "control/event_hub.h"

namespace gmesp {

class EventLog {
 public:
  static constexpr unsigned kLinesPerSecond = 10;

  explicit EventLog(bool audit = false) : audit_(audit) {}
  void write(const Event& event);

 private:
  void write(const SetEvent& event);
  void write(const SaUseNotice& notice);
  void write(const AuditNotice& notice);
  // False: there were enough this second.
  bool has_room();

  bool audit_;  // AuditNotice too
  std::chrono::steady_clock::time_point second_{};
  unsigned lines_ = 0;
  uint64_t left_out_ = 0;
};

}  // namespace gmesp
