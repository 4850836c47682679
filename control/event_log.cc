// SPDX-License-Identifier: BSD-3-Clause
#include "control/event_log.h"

#include <spdlog/spdlog.h>

#include "control/sa_text.h"

namespace gmesp {
namespace {

std::string_view sentence(SaEventKind kind) {
  switch (kind) {
    case SaEventKind::first_use:
      return "first packet";
    case SaEventKind::sequence_soft_limit:
      return "sequence numbers run out soon";
    case SaEventKind::sequence_exhausted:
      return "last sequence number used";
    case SaEventKind::icv_failures:
      return "many packets with a bad ICV";
  }
  return "event";
}

}  // namespace

void EventLog::write(const SaUseNotice& notice) {
  const auto now = std::chrono::steady_clock::now();
  if (now - second_ >= std::chrono::seconds(1)) {
    if (left_out_ != 0) spdlog::info("{} lines about SAs left out", left_out_);
    second_ = now;
    lines_ = 0;
    left_out_ = 0;
  }
  if (lines_ == kLinesPerSecond) {
    ++left_out_;
    return;
  }
  ++lines_;
  spdlog::info("SA {} {}: {}", name(notice.direction), to_string(notice.spi),
               sentence(notice.kind));
}

}  // namespace gmesp
