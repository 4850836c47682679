// SPDX-License-Identifier: BSD-3-Clause
#include "control/client/connection.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "control/command_rules.h"
#include "crypto/algorithm.h"

namespace gmesp::client {
namespace {

constexpr uint64_t kPlaces = kMaxUnanswered;  // a power of two

// From a moment on, in what is left of a timeout.
int left(int64_t end_ms) {
  return end_ms < 0 ? -1 : static_cast<int>(std::max<int64_t>(0, end_ms - now_ms()));
}
int64_t end_of(int timeout_ms) { return timeout_ms < 0 ? -1 : now_ms() + timeout_ms; }

gmesp_report report_of(uint32_t kind) {
  gmesp_report report{};
  report.kind = kind;
  report.code = report.security = report.alg = report.ealg = "";
  return report;
}

}  // namespace

Connection::Connection(const gmesp_options& options)
    : events(options.events),
      path_(options.path != nullptr ? std::string_view(options.path) : kDefaultSocket),
      process_(getpid()),
      link_(path_, options.timeout_ms) {
  subscribe(options.timeout_ms);
}

Connection::~Connection() {
  if (getpid() != process_) link_.forget();
}

void Connection::check_usable() const {
  if (getpid() != process_) throw Failure{GMESP_EFORKED};
  if (error_ != 0) throw Failure{error_};
}

// Nothing more is read from it.
void Connection::distrust() {
  error_ = link_.why();
  throw Failure{error_};
}

void Connection::subscribe(int timeout_ms) {
  if (events == 0) return;
  const uint64_t token = submit(CommandKind::subscribe, 0,
                                [this](CommandWriter& writer) { writer.head().number = events; });
  gmesp_report report{};
  if (!wait_for_token(token, timeout_ms, report)) throw Failure{GMESP_ETIMEOUT};
}

void Connection::reconnect(int timeout_ms) {
  if (getpid() != process_) throw Failure{GMESP_EFORKED};
  const int64_t end = end_of(timeout_ms);
  Link link(path_, timeout_ms);
  const bool same = std::equal(std::begin(link.header().instance), std::end(link.header().instance),
                               std::begin(link_.header().instance));
  try {
    // What the old gmespd had answered before it went.
    AnswerRecord record;
    while (link_.take(record)) keep(record);
  } catch (const Failure&) {
  }
  for (uint64_t& token : unanswered_) {
    if (token != 0) keep_local(GMESP_COMPLETION, token, GMESP_EDISCONNECTED);
    token = 0;
  }
  link_ = std::move(link);
  error_ = 0;
  keep_local(same ? GMESP_EVENT_OVERFLOW : GMESP_EVENT_ENGINE_RESTARTED, 0, 0);
  subscribe(left(end));
}

size_t Connection::free_place() const {
  for (size_t i = 1; i <= kPlaces; ++i) {
    const size_t place = (last_place_ + i) % kPlaces;
    if (unanswered_[place] == 0) return place;
  }
  throw Failure{GMESP_ERING_FULL};
}

uint64_t Connection::take_token(size_t place) {
  last_place_ = place;
  unanswered_[place] = ++count_ * kPlaces + place;
  return unanswered_[place];
}

bool Connection::give_back(uint64_t token) {
  uint64_t& waiting = unanswered_[token % kPlaces];
  if (waiting != token || token == 0) return false;
  waiting = 0;
  return true;
}

void Connection::keep(const AnswerRecord& record) {
  if (record.head.kind == static_cast<uint8_t>(AnswerKind::completion)) {
    if (!give_back(record.head.token)) distrust();
  } else if (kept_events_ == kMaxKeptEvents) {
    ++lost_;
    return;
  } else {
    ++kept_events_;
  }
  kept_.push_back({.kind = 0, .error = 0, .record = record});
}

void Connection::keep_local(uint32_t kind, uint64_t token, int error) {
  kept_.push_back({.kind = kind, .error = error, .record = {}});
  kept_.back().record.head.token = token;
  if (kind != GMESP_COMPLETION) ++kept_events_;
}

bool Connection::pop_kept(gmesp_report& report) {
  if (kept_.empty()) {
    if (lost_ == 0) return false;
    report = report_of(GMESP_EVENT_OVERFLOW);
    report.count = std::exchange(lost_, 0);
    return true;
  }
  const Kept kept = kept_.front();
  kept_.pop_front();
  const bool completion =
      kept.kind == GMESP_COMPLETION ||
      (kept.kind == 0 && kept.record.head.kind == static_cast<uint8_t>(AnswerKind::completion));
  if (!completion) --kept_events_;
  if (kept.kind == 0) {
    fill(kept.record, report);
  } else {
    report = report_of(kept.kind);
    report.token = kept.record.head.token;
    report.error = kept.error;
  }
  return true;
}

bool Connection::poll(gmesp_report& report) {
  if (getpid() != process_) throw Failure{GMESP_EFORKED};
  if (pop_kept(report)) return true;
  check_usable();
  AnswerRecord record;
  try {
    while (!link_.take(record)) {
      if (link_.ready_to_wait()) return false;
    }
  } catch (const Failure& failure) {
    error_ = failure.error;
    throw;
  }
  const bool completion = record.head.kind == static_cast<uint8_t>(AnswerKind::completion);
  if (completion && !give_back(record.head.token)) distrust();
  fill(record, report);
  return true;
}

bool Connection::wait(int timeout_ms, gmesp_report& report) {
  const int64_t end = end_of(timeout_ms);
  while (!poll(report)) {
    if (!wait_for(link_.fd(), POLLIN, left(end))) return false;
  }
  return true;
}

bool Connection::wait_for_token(uint64_t token, int timeout_ms, gmesp_report& report) {
  const int64_t end = end_of(timeout_ms);
  AnswerRecord record;
  try {
    while (true) {
      if (!link_.take(record)) {
        if (link_.ready_to_wait() && !wait_for(link_.fd(), POLLIN, left(end))) return false;
        continue;
      }
      const bool ours = record.head.kind == static_cast<uint8_t>(AnswerKind::completion) &&
                        record.head.token == token;
      if (!ours) {
        keep(record);
        continue;
      }
      give_back(token);
      fill(record, report);
      return true;
    }
  } catch (const Failure& failure) {
    error_ = failure.error;
    throw;
  }
}

void Connection::fill(const AnswerRecord& record, gmesp_report& report) {
  const AnswerHead& head = record.head;
  report = report_of(0);
  report.handle = head.handle;
  switch (AnswerKind{head.kind}) {
    case AnswerKind::completion:
      return fill_completion(record, report);
    case AnswerKind::event:
      report.kind = GMESP_EVENT_TEMPORARY_USED + head.event;
      report.state = head.state;
      report.when_ms = head.number;
      return;
    case AnswerKind::overflow:
      report.kind = GMESP_EVENT_OVERFLOW;
      report.count = static_cast<uint64_t>(head.number);
      return;
    case AnswerKind::kCount:
      break;
  }
  distrust();
}

void Connection::fill_completion(const AnswerRecord& record, gmesp_report& report) {
  const AnswerHead& head = record.head;
  report.kind = GMESP_COMPLETION;
  report.token = head.token;
  if (head.refused != 0) {
    if (head.refused > record.tail.size()) distrust();
    code_.assign(reinterpret_cast<const char*>(record.tail.data()), head.refused);
    report.code = code_.c_str();
    report.error = error_of(code_);
    return;
  }
  report.state = head.state;
  report.encrypted = head.encrypted;
  if (head.suite < kSuiteCount) {
    const SuiteInfo& suite = suite_info(Suite{head.suite});
    report.alg = name(suite.integrity).data();
    report.ealg = name(suite.encryption).data();
  }
  if (head.mechanisms > SecurityAgreement::kMaxMechanisms || head.handles > kMaxHandles) distrust();
  report.session = head.session;
  report.count = head.handles != 0 ? head.handles : head.count;
  std::memcpy(missing_.data(), record.tail.data(), head.handles * sizeof(uint64_t));
  report.missing = missing_.data();
  if (head.mechanisms == 0) return;
  SecurityAgreement ours;
  for (size_t i = 0; i < head.mechanisms; ++i) {
    WireMechanism wire;
    std::memcpy(&wire, record.tail.data() + i * sizeof wire, sizeof wire);
    if (!from_wire(wire, ours.mechanisms[ours.count++])) distrust();
  }
  security_ = format_security_agreement(
      ours, link_.header().padded_spis != 0 ? SpiFormat::padded : SpiFormat::plain);
  report.security = security_.c_str();
}

}  // namespace gmesp::client
