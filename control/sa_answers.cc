// SPDX-License-Identifier: BSD-3-Clause
// The half of SaManager that faces the workers: commands on their way out, answers on their way in.
#include <utility>

#include "control/sa_manager.h"

namespace gmesp {
namespace {

SaNews news_of(SaEventKind kind) {
  switch (kind) {
    case SaEventKind::first_use:
      return SaNews::first_use;
    case SaEventKind::sequence_soft_limit:
      return SaNews::sequence_soft_limit;
    case SaEventKind::sequence_exhausted:
      return SaNews::sequence_exhausted;
    case SaEventKind::icv_failures:
      break;
  }
  return SaNews::icv_failures;
}

}  // namespace

bool SaManager::poll() {
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
  if (flush_left_ == 0 && !flushes_.empty()) {
    for (const auto& done : std::exchange(flushes_, {})) done();
    progress = true;
  }
  return progress;
}

bool SaManager::waiting() const {
  for (size_t worker = 0; worker < proxies_.size(); ++worker) {
    if (proxies_[worker].unanswered() != 0) return true;
  }
  // Commands not sent yet wait behind unanswered ones, but for those of a flush that began just
  // now.
  return !flushes_.empty();
}

template <typename Setting>
void SaManager::ask_all(Setting command, std::function<void()> done) {
  command.number = next_number_++;
  asked_of_all_[command.number] = {proxies_.size(), std::move(done)};
  for (size_t worker = 0; worker < proxies_.size(); ++worker) submit(worker, command);
}

void SaManager::set_audit(const AuditSetting& setting, std::function<void()> done) {
  ask_all(SetAudit{.setting = setting}, std::move(done));
}

void SaManager::use_policy(const Policy& policy, std::function<void()> done) {
  ask_all(UsePolicy{.policy = &policy}, std::move(done));
}

void SaManager::on_setting_in_use(const SettingInUse& event) {
  const auto asked = asked_of_all_.find(event.number);
  if (--asked->second.unanswered != 0) return;
  const std::function<void()> done = std::move(asked->second.done);
  asked_of_all_.erase(asked);
  done();
}

void SaManager::submit(size_t worker, const SaCommand& command) {
  std::deque<SaCommand>& unsent = unsent_[worker].commands;
  if (!unsent.empty() || !proxies_[worker].send(command)) unsent.push_back(command);
}

// Single commands before the deletes of a flush: a query that waits here must reach the worker
// while the SA is still there.
bool SaManager::send_unsent(size_t worker) {
  Unsent& unsent = unsent_[worker];
  bool sent = false;
  while (!unsent.commands.empty()) {
    if (!proxies_[worker].send(unsent.commands.front())) return sent;
    unsent.commands.pop_front();
    sent = true;
  }
  while (!unsent.flushed.empty()) {
    const SaHandle sa = unsent.flushed.back();
    const Direction direction = direction_of(sa);
    const SaIndex index = inventory(direction).index(place_of(sa));
    if (!proxies_[worker].send(DeleteSa{direction, index})) break;
    unsent.flushed.pop_back();
    sent = true;
  }
  return sent;
}

void SaManager::on_event(size_t worker, const SaEvent& event) {
  if (const auto* installed = std::get_if<Installed>(&event)) {
    on_installed(*installed, worker);
  } else if (const auto* rejected = std::get_if<Rejected>(&event)) {
    const SaPlace place = inventory(rejected->direction).place(worker, rejected->index);
    const SetIndex owner = inventory(rejected->direction)[place].owner;
    forget(rejected->direction, place);
    tell(rejected->direction, place, owner, SaNews::rejected);
  } else if (const auto* promoted = std::get_if<Promoted>(&event)) {
    const SaPlace place = inventory(promoted->direction).place(worker, promoted->index);
    tell(promoted->direction, place, inventory(promoted->direction)[place].owner, SaNews::promoted);
  } else if (const auto* deleted = std::get_if<Deleted>(&event)) {
    on_deleted(deleted->direction, inventory(deleted->direction).place(worker, deleted->index));
  } else if (const auto* status = std::get_if<SaStatus>(&event)) {
    on_status(*status, worker);
  } else if (const auto* setting = std::get_if<SettingInUse>(&event)) {
    on_setting_in_use(*setting);
  } else {
    on_state_event(std::get<SaStateEvent>(event), worker);
  }
}

void SaManager::on_installed(const Installed& event, size_t worker) {
  SaInventory& inventory = this->inventory(event.direction);
  const SaPlace place = inventory.place(worker, event.index);
  set_state(event.direction, inventory[place], SaState::live);
  tell(event.direction, place, inventory[place].owner, SaNews::installed);
}

void SaManager::on_deleted(Direction direction, SaPlace place) {
  const bool flushed = inventory(direction)[place].flushed;
  const SetIndex owner = inventory(direction)[place].owner;
  forget(direction, place);
  if (flushed) {
    --flush_left_;
  } else {
    tell(direction, place, owner, SaNews::deleted);
  }
}

void SaManager::on_status(const SaStatus& event, size_t worker) {
  SaInventory& inventory = this->inventory(event.direction);
  const SaPlace place = inventory.place(worker, event.index);
  const auto query = queries_.find(sa_handle(event.direction, place));
  const StatusDone done = std::move(query->second);
  queries_.erase(query);
  done(inventory[place], worker, event);
}

void SaManager::on_state_event(const SaStateEvent& event, size_t worker) {
  SaInventory& inventory = this->inventory(event.direction);
  const SaPlace place = inventory.place(worker, event.index);
  SaEntry& entry = inventory[place];
  entry.events = static_cast<uint8_t>(entry.events | static_cast<uint8_t>(event.kind));
  if (entry.owner != kNoOwner) {
    tell(event.direction, place, entry.owner, news_of(event.kind));
  } else if (on_use_) {
    on_use_({event.direction, entry.spi, event.kind});
  }
}

void SaManager::set_state(Direction direction, SaEntry& entry, SaState state) {
  auto& counts = counts_[static_cast<size_t>(direction)];
  if (entry.state != SaState::none) --counts[static_cast<size_t>(entry.state)];
  if (state != SaState::none) ++counts[static_cast<size_t>(state)];
  entry.state = state;
}

// The worker holds nothing of this SA: its key is wiped, its place and identity are free. Other SAs
// of a set may still have the key.
void SaManager::forget(Direction direction, SaPlace place) {
  SaInventory& inventory = this->inventory(direction);
  SaEntry& entry = inventory[place];
  if (direction == Direction::in && entry.window == ReplayWindow::kOff) --with_window_off_;
  if (local_port_is_unprotected(direction, entry.selector)) --with_unprotected_port_;
  if (entry.owner == kNoOwner) keys_.release(entry.key, entry.suite);
  set_state(direction, entry, SaState::none);
  inventory.erase(place);
}

void SaManager::tell(Direction direction, SaPlace place, SetIndex owner, SaNews news) {
  const SaHandle sa = sa_handle(direction, place);
  if (owner != kNoOwner) return on_set_news_(owner, sa, news);
  const auto waiting = waiting_.find(sa);
  const Done done = std::move(waiting->second);
  waiting_.erase(waiting);
  done(news == SaNews::rejected ? std::optional(Refusal::rejected_by_worker) : std::nullopt);
}

}  // namespace gmesp
