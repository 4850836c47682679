// SPDX-License-Identifier: BSD-3-Clause
// The part of SaManager that takes the workers' answers.
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
  if (!flushed) return tell(direction, place, owner, SaNews::deleted);
  if (--flush_left_ != 0) return;
  for (const auto& done : std::exchange(flushes_, {})) done();
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
