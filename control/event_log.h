// SPDX-License-Identifier: BSD-3-Clause
// Log lines about events of SAs, at most kLinesPerSecond: a million UEs that begin to talk must not
// fill the disk. What is left out is counted in the next line.
#pragma once

#include <chrono>
#include <cstdint>

#include "control/sa_manager.h"

namespace gmesp {

class EventLog {
 public:
  static constexpr unsigned kLinesPerSecond = 10;

  void write(const SaUseNotice& notice);

 private:
  std::chrono::steady_clock::time_point second_{};
  unsigned lines_ = 0;
  uint64_t left_out_ = 0;
};

}  // namespace gmesp
