// SPDX-License-Identifier: BSD-3-Clause
#include "control/monitor.h"

#include <utility>

#include "control/json_writer.h"
#include "control/ue_text.h"

namespace gmesp {
namespace {

void write(JsonWriter& json, const SetEvent& event) {
  json.field("event", name(event.kind)).field("handle", to_string(event.handle));
  json.field("state", name(event.state));
}

void write(JsonWriter& json, const SaUseNotice& notice) {
  json.field("event", name(notice.kind));
  json.field("dir", name(notice.direction)).field("spi", to_string(notice.spi));
}

void write(JsonWriter& json, const DropNotice& notice) {
  json.field("event", "drop").field("reason", drop_info(notice.reason).name);
  json.field("count", notice.count);
}

// RFC 4303 4; what the packet did not tell any more is left out.
void write(JsonWriter& json, const AuditNotice& notice) {
  const AuditRecord& record = notice.record;
  json.field("event", "audit").field("reason", drop_info(record.reason).name);
  json.field("dir", name(record.direction));
  if (record.has_spi) json.field("spi", to_string(record.spi));
  if (record.has_number) json.field("sequence", static_cast<uint32_t>(record.number));
  if (record.has_addresses) {
    json.field("src", to_string(record.source)).field("dst", to_string(record.destination));
    if (!record.source.is_v4()) json.field("flow_label", record.flow_label);
  }
  json.field("worker", notice.worker).field("time", utc_text(notice.time_us));
}

}  // namespace

EventRecord event_record(const Event& event) {
  JsonWriter json;
  std::visit([&](const auto& what) { write(json, what); }, event.what);
  json.field("when_ms", static_cast<uint64_t>(event.when_ms));
  return std::make_shared<const std::string>(json.finish());
}

void Monitor::push(EventRecord record) {
  if (lost_ != 0 && waiting_.size() < kCapacity) mark_lost();
  if (waiting_.size() < kCapacity) {
    waiting_.push_back(std::move(record));
  } else {
    ++lost_;
  }
}

const std::string* Monitor::front() {
  if (waiting_.empty() && lost_ != 0) mark_lost();
  return waiting_.empty() ? nullptr : waiting_.front().get();
}

void Monitor::mark_lost() {
  JsonWriter json;
  json.field("event", "overflow").field("lost", std::exchange(lost_, 0));
  waiting_.push_back(std::make_shared<const std::string>(json.finish()));
}

}  // namespace gmesp
