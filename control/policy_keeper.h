// SPDX-License-Identifier: BSD-3-Clause
// The policy in use, and how another takes its place under traffic (`config reload`). The file is
// read and judged whole, as at the start; then every worker is sent the new policy and goes on with
// it between two bursts. The old one is freed when the last worker has said so: until then somebody
// may read it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/config_notes.h"
#include "control/worker_proxies.h"
#include "dataplane/policy.h"
#include "dataplane/thread_role.h"

namespace gmesp {

// Where the configuration came from, and what it said then.
struct ConfigOrigin {
  std::string file;  // empty: from nowhere, and there is nothing to read again
  ConfigNotes notes;
};

// Goes after the workers have stopped.
class PolicyKeeper {
 public:
  using Done = std::function<void()>;
  // A client that asks in a loop fills no log. Whatever is left out, the answer and `status` tell.
  static constexpr std::chrono::seconds kLogInterval{1};
  static constexpr size_t kWarningsLogged = 4;

  // at_start: as the workers have begun with; it outlives the object.
  PolicyKeeper(WorkerProxies& workers, const Policy& at_start, ConfigOrigin origin);
  PolicyKeeper(const PolicyKeeper&) = delete;
  PolicyKeeper& operator=(const PolicyKeeper&) = delete;

  // Throws Refused, with the sentence that says what is wrong and where; nothing has changed then.
  // done: from WorkerProxies::poll(), when every worker uses the policy of the file; at once, when
  // they do already. Then nothing is replaced: counters and rates are nobody's to set back by
  // asking.
  void reload(Done done) ON(control_thread);

  const Policy& in_use() const { return loaded_ ? *loaded_ : at_start_; }
  const std::vector<std::string>& warnings() const { return warnings_; }  // of the policy in use
  uint64_t reloads() const { return reloads_; }

 private:
  struct Next {
    std::unique_ptr<const Policy> policy;
    std::vector<std::string> warnings;
    std::vector<Done> done;
  };
  const Policy& newest() const { return next_.empty() ? in_use() : *next_.back().policy; }
  void on_in_use();
  void log_reload();

  WorkerProxies& workers_;
  const Policy& at_start_;
  const ConfigOrigin origin_;
  std::unique_ptr<const Policy> loaded_;  // null: the one of the start is in use
  std::vector<std::string> warnings_;
  std::deque<Next> next_;  // on their way to the workers, in order
  uint64_t reloads_ = 0;
  uint64_t logged_reloads_ = 0;  // of those, up to the last line
  std::chrono::steady_clock::time_point next_line_{};
};

}  // namespace gmesp
