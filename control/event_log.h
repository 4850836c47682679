// SPDX-License-Identifier: BSD-3-Clause
// Log lines about events of SAs and sets, at most kLinesPerSecond, and as many about audited
// packets: a million UEs that begin to talk must not fill the disk, nor hostile packets take the
// lines of SAs. What is left out is counted in the next line. Drops have their counters.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "control/event_hub.h"

namespace gmesp {

class EventLog {
 public:
  static constexpr unsigned kLinesPerSecond = 10;  // of each kind

  explicit EventLog(bool audit = false) : audit_(audit) {}
  void write(const Event& event);

 private:
  void write(const SetEvent& event);
  void write(const SaUseNotice& notice);
  void write(const AuditNotice& notice);

  // Lines of one kind.
  struct Budget {
    std::string_view about;
    std::chrono::steady_clock::time_point second{};
    unsigned lines = 0;
    uint64_t left_out = 0;

    // False: there were enough this second.
    bool has_room();
  };

  bool audit_;  // AuditNotice too
  Budget of_sas_{.about = "SAs and sets"};
  Budget audited_{.about = "audited packets"};
};

}  // namespace gmesp
