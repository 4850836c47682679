// SPDX-License-Identifier: BSD-3-Clause
#include "control/event_log.h"

#include <spdlog/spdlog.h>

#include "control/ue_text.h"

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

void EventLog::write(const Event& event) {
  if (const auto* set = std::get_if<SetEvent>(&event.what)) {
    if (of_sas_.has_room()) write(*set);
  } else if (const auto* sa = std::get_if<SaUseNotice>(&event.what)) {
    if (of_sas_.has_room()) write(*sa);
  } else if (const auto* audit = std::get_if<AuditNotice>(&event.what)) {
    if (audit_ && audited_.has_room()) write(*audit);
  }
}

bool EventLog::Budget::has_room() {
  const auto now = std::chrono::steady_clock::now();
  if (now - second >= std::chrono::seconds(1)) {
    if (left_out != 0) spdlog::info("{} lines about {} left out", left_out, about);
    second = now;
    lines = 0;
    left_out = 0;
  }
  if (lines == kLinesPerSecond) {
    ++left_out;
    return false;
  }
  ++lines;
  return true;
}

void EventLog::write(const SetEvent& event) {
  spdlog::info("set {} {}: {}", to_string(event.handle), name(event.state), name(event.kind));
}

void EventLog::write(const SaUseNotice& notice) {
  spdlog::info("SA {} {}: {}", name(notice.direction), to_string(notice.spi),
               sentence(notice.kind));
}

// RFC 4303 4: SPI, time, addresses, sequence number and flow label; "-": the packet did not tell.
void EventLog::write(const AuditNotice& notice) {
  const AuditRecord& record = notice.record;
  const bool has_flow_label = record.has_addresses && !record.source.is_v4();
  spdlog::info("audit: {} {} {} SPI {} number {} from {} to {} flow label {}",
               utc_text(notice.time_us), name(record.direction), drop_info(record.reason).name,
               record.has_spi ? to_string(record.spi) : "-",
               record.has_number ? std::to_string(static_cast<uint32_t>(record.number)) : "-",
               record.has_addresses ? to_string(record.source) : "-",
               record.has_addresses ? to_string(record.destination) : "-",
               has_flow_label ? std::to_string(record.flow_label) : "-");
}

}  // namespace gmesp
