// SPDX-License-Identifier: BSD-3-Clause
#include "control/worker_proxies.h"

#include <variant>

namespace gmesp {

WorkerProxies::WorkerProxies(const std::vector<WorkerChannel*>& channels)
    : unsent_(channels.size()) {
  for (WorkerChannel* channel : channels) proxies_.emplace_back(*channel);
}

void WorkerProxies::submit(size_t worker, const SaCommand& command) {
  if (!send(worker, command)) unsent_[worker].push_back(command);
}

bool WorkerProxies::send(size_t worker, const SaCommand& command) {
  return unsent_[worker].empty() && proxies_[worker].send(command);
}

void WorkerProxies::use_policy(const Policy& policy, std::function<void()> done) {
  ask_all(UsePolicy{.policy = &policy}, std::move(done));
}

void WorkerProxies::set_audit(const AuditSetting& setting, std::function<void()> done) {
  ask_all(SetAudit{.setting = setting}, std::move(done));
}

template <typename Setting>
void WorkerProxies::ask_all(Setting command, std::function<void()> done) {
  command.number = next_number_++;
  asked_of_all_[command.number] = {proxies_.size(), std::move(done)};
  for (size_t worker = 0; worker < proxies_.size(); ++worker) submit(worker, command);
}

bool WorkerProxies::poll() {
  bool progress = false;
  for (size_t worker = 0; worker < proxies_.size(); ++worker) {
    const size_t events =
        proxies_[worker].poll([&](const SaEvent& event) { on_event(worker, event); });
    proxies_[worker].poll_audit([&](const AuditRecord& record) {
      if (on_audit_) on_audit_(worker, record);
    });
    progress |= events != 0;
    progress |= send_unsent(worker);
  }
  return progress;
}

bool WorkerProxies::waiting() const {
  // What is not sent yet waits behind what is not answered yet.
  for (size_t worker = 0; worker < proxies_.size(); ++worker) {
    if (proxies_[worker].unanswered() != 0) return true;
  }
  return false;
}

void WorkerProxies::on_event(size_t worker, const SaEvent& event) {
  if (const auto* setting = std::get_if<SettingInUse>(&event)) return on_setting_in_use(*setting);
  if (on_sa_event_) on_sa_event_(worker, event);
}

void WorkerProxies::on_setting_in_use(const SettingInUse& event) {
  const auto asked = asked_of_all_.find(event.number);
  if (--asked->second.unanswered != 0) return;
  const std::function<void()> done = std::move(asked->second.done);
  asked_of_all_.erase(asked);
  done();
}

bool WorkerProxies::send_unsent(size_t worker) {
  std::deque<SaCommand>& unsent = unsent_[worker];
  bool sent = false;
  while (!unsent.empty()) {
    if (!proxies_[worker].send(unsent.front())) return sent;
    unsent.pop_front();
    sent = true;
  }
  if (on_room_) sent |= on_room_(worker);
  return sent;
}

Counters WorkerProxies::counters() const {
  Counters total;
  for (const WorkerProxy& proxy : proxies_) total += proxy.counters();
  return total;
}

}  // namespace gmesp
