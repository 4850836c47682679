// SPDX-License-Identifier: BSD-3-Clause
#include "control/audit.h"

#include <x86intrin.h>

#include <chrono>
#include <cstdio>
#include <ctime>

namespace gmesp {
namespace {

// RFC 4303 4: an entry has the date and time, so this is the clock on the wall, the only place
// where it is asked.
int64_t wall_clock_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

int64_t time_of_tsc(uint64_t tsc, uint64_t tsc_now, int64_t now_us, uint64_t tsc_hz) {
  if (tsc >= tsc_now) return now_us;
  const uint64_t ago = tsc_now - tsc;
  return now_us -
         static_cast<int64_t>(ago / tsc_hz * 1'000'000 + ago % tsc_hz * 1'000'000 / tsc_hz);
}

std::string utc_text(int64_t time_us) {
  const std::time_t second = time_us / 1'000'000;
  std::tm utc{};
  gmtime_r(&second, &utc);
  char text[40];
  const size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text + length, sizeof text - length, ".%03dZ",
                static_cast<int>(time_us / 1000 % 1000));
  return text;
}

Audit::Audit(const AuditConfig& config, uint64_t tsc_hz, WorkerProxies& workers)
    : config_(config), tsc_hz_(tsc_hz), workers_(workers) {
  workers_.on_audit([this](size_t worker, const AuditRecord& record) {
    if (!on_notice_) return;
    on_notice_({record, worker, time_of_tsc(record.tsc, __rdtsc(), wall_clock_us(), tsc_hz_)});
  });
}

void Audit::turn(bool on, std::function<void()> done) {
  config_.enabled = on;
  workers_.set_audit(config_.setting(), std::move(done));
}

}  // namespace gmesp
