// SPDX-License-Identifier: BSD-3-Clause
// The administrator's side of auditing (RFC 4303 4): the switch, and the workers' records on their
// way to whoever listens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "control/worker_proxies.h"
#include "dataplane/audit.h"
#include "dataplane/thread_role.h"

namespace gmesp {

// As configured: what is audited while auditing is on.
struct AuditConfig {
  bool enabled = true;
  uint32_t per_second = 10;  // records of each worker and reason
  uint64_t reasons = kAuditableReasons;
  bool log = false;  // a log line for each record, as far as the log has room

  AuditSetting setting() const { return {enabled ? reasons : 0, per_second}; }
};

struct AuditNotice {
  AuditRecord record;
  size_t worker = 0;
  int64_t time_us = 0;  // since 1970, UTC
};

class Audit {
 public:
  // config: as the workers have begun with.
  Audit(const AuditConfig& config, uint64_t tsc_hz, WorkerProxies& workers);
  Audit(const Audit&) = delete;
  Audit& operator=(const Audit&) = delete;

  // done: from WorkerProxies::poll(), when every worker audits so.
  void turn(bool on, std::function<void()> done) ON(control_thread);
  void on_notice(std::function<void(const AuditNotice&)> handler) {
    on_notice_ = std::move(handler);
  }
  const AuditConfig& config() const { return config_; }

 private:
  AuditConfig config_;
  uint64_t tsc_hz_;
  WorkerProxies& workers_;
  std::function<void(const AuditNotice&)> on_notice_;
};

// The time of a moment of the time stamp counter, by what both clocks say now. One that seems to
// come is now: the counters of two CPUs may differ a little.
int64_t time_of_tsc(uint64_t tsc, uint64_t tsc_now, int64_t now_us, uint64_t tsc_hz);

// The time of an AuditNotice for people: RFC 3339, with milliseconds.
std::string utc_text(int64_t time_us);

}  // namespace gmesp
