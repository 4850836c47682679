// SPDX-License-Identifier: BSD-3-Clause
#include "control/policy_keeper.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "control/config.h"
#include "control/refusal.h"

namespace gmesp {
namespace {

Config read_again(const std::string& file) {
  if (file.empty()) throw Refused(Refusal::bad_configuration, "gmespd was started without a file");
  try {
    return read_config(file, Reading::again);
  } catch (const ConfigError& error) {
    throw Refused(Refusal::bad_configuration, error.what());
  }
}

}  // namespace

PolicyKeeper::PolicyKeeper(WorkerProxies& workers, const Policy& at_start, ConfigOrigin origin)
    : workers_(workers),
      at_start_(at_start),
      origin_(std::move(origin)),
      warnings_(origin_.notes.warnings) {}

void PolicyKeeper::reload(Done done) {
  Config config = read_again(origin_.file);
  if (const auto key = key_that_needs_restart(origin_.notes, config.notes)) {
    throw Refused(Refusal::needs_restart, *key);
  }
  if (config.policy == newest()) {
    if (next_.empty()) return done();
    return next_.back().done.push_back(std::move(done));
  }
  next_.push_back({std::make_unique<const Policy>(std::move(config.policy)),
                   std::move(config.notes.warnings),
                   {std::move(done)}});
  workers_.use_policy(*next_.back().policy, [this] { on_in_use(); });
}

// Workers take policies in the order in which they were sent: it is the first one's turn.
void PolicyKeeper::on_in_use() {
  Next next = std::move(next_.front());
  next_.pop_front();
  loaded_ = std::move(next.policy);  // frees the one before
  warnings_ = std::move(next.warnings);
  ++reloads_;
  log_reload();
  for (const Done& done : next.done) done();
}

void PolicyKeeper::log_reload() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_line_) return;
  next_line_ = now + kLogInterval;
  const uint64_t left_out = reloads_ - logged_reloads_ - 1;
  logged_reloads_ = reloads_;
  spdlog::info("policy reloaded: {} rules{}", loaded_->rules.size(),
               left_out == 0 ? "" : fmt::format(", {} reloads before left out", left_out));
  const size_t told = std::min(warnings_.size(), kWarningsLogged);
  for (size_t i = 0; i < told; ++i) spdlog::warn("{}", warnings_[i]);
  if (told < warnings_.size()) spdlog::warn("{} more warnings", warnings_.size() - told);
}

}  // namespace gmesp
