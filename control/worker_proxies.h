// SPDX-License-Identifier: BSD-3-Clause
// All workers, each behind its proxy: commands to one of them or to all, and what they answer. What
// finds no room on its way waits here, in order. What commands and answers about SAs mean is the
// SaManager's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/worker_proxy.h"
#include "dataplane/audit.h"
#include "dataplane/command.h"
#include "dataplane/counters.h"
#include "dataplane/policy.h"
#include "dataplane/thread_role.h"

namespace gmesp {

// Goes after the workers have stopped.
class WorkerProxies {
 public:
  using SaHandler = std::function<void(size_t worker, const SaEvent&)>;
  using RoomHandler = std::function<bool(size_t worker)>;
  using AuditHandler = std::function<void(size_t worker, const AuditRecord&)>;

  // channels: one per worker, in the order of Steering. They outlive the object.
  explicit WorkerProxies(const std::vector<WorkerChannel*>& channels);
  WorkerProxies(const WorkerProxies&) = delete;
  WorkerProxies& operator=(const WorkerProxies&) = delete;

  void submit(size_t worker, const SaCommand& command) ON(control_thread);
  // False: not now, something submitted is still to go.
  bool send(size_t worker, const SaCommand& command) ON(control_thread);

  // To every worker; done, from poll(), when all of them do so. A policy outlives their use of it.
  void use_policy(const Policy& policy, std::function<void()> done) ON(control_thread);
  void set_audit(const AuditSetting& setting, std::function<void()> done) ON(control_thread);

  // Takes in what the workers have answered and sends what found no room before. False: nothing to
  // do.
  bool poll() ON(control_thread);
  // A worker owes an answer.
  bool waiting() const ON(control_thread);

  // All from poll(). Of SAs: whatever no command of use_policy() or set_audit() has asked for.
  void on_sa_event(SaHandler handler) { on_sa_event_ = std::move(handler); }
  // Nothing submitted waits for this worker: what can wait longest may be sent. Answers whether it
  // was.
  void on_room(RoomHandler handler) { on_room_ = std::move(handler); }
  void on_audit(AuditHandler handler) { on_audit_ = std::move(handler); }

  size_t size() const { return proxies_.size(); }
  const WorkerProxy& operator[](size_t worker) const { return proxies_[worker]; }
  Counters counters() const;  // of all together

 private:
  struct AskedOfAll {
    size_t unanswered = 0;
    std::function<void()> done;
  };

  // Each worker answers in order, so no setting is in use everywhere before one that was sent
  // earlier.
  template <typename Setting>
  void ask_all(Setting command, std::function<void()> done) ON(control_thread);
  void on_event(size_t worker, const SaEvent& event);
  void on_setting_in_use(const SettingInUse& event);
  bool send_unsent(size_t worker) ON(control_thread);

  std::deque<WorkerProxy> proxies_;
  std::vector<std::deque<SaCommand>> unsent_;              // by worker
  std::unordered_map<uint32_t, AskedOfAll> asked_of_all_;  // by number
  uint32_t next_number_ = 0;
  SaHandler on_sa_event_;
  RoomHandler on_room_;
  AuditHandler on_audit_;
};

}  // namespace gmesp
