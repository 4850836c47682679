// SPDX-License-Identifier: BSD-3-Clause
#include "control/sa_manager.h"

#include <utility>

namespace gmesp {
namespace {

void check_window(const NewSa& sa) {
  if (sa.window && sa.direction == Direction::out) {
    throw Refused(Refusal::invalid_value, "an outbound SA has no window");
  }
  if (sa.window && *sa.window != ReplayWindow::kOff &&
      (*sa.window < ReplayWindow::kMinSize || *sa.window > ReplayWindow::kMaxSize)) {
    throw Refused(Refusal::out_of_range, "window is 0 or 32..1024");
  }
}

}  // namespace

SaManager::SaManager(const SaLimits& limits, const Policy& policy, const Steering& steering,
                     KeyStore& keys, WorkerProxies& workers)
    : limits_(limits),
      policy_(policy),
      steering_(steering),
      keys_(keys),
      workers_(workers),
      inbound_(Direction::in, workers.size(), limits.capacity),
      outbound_(Direction::out, workers.size(), limits.capacity),
      flushed_(workers.size()) {
  workers_.on_sa_event([this](size_t worker, const SaEvent& event) { on_event(worker, event); });
  workers_.on_room([this](size_t worker) {
    const AssumeRole role(control_thread);
    return send_flushed(worker);
  });
}

void SaManager::add(const NewSa& sa, Done done) {
  check_identity(sa.direction, sa.spi, sa.selector);
  check_window(sa);
  check_key_material(sa.suite, sa.keys);
  SaEntry entry;
  entry.selector = sa.selector;
  entry.spi = sa.spi;
  entry.suite = sa.suite;
  if (sa.direction == Direction::in) entry.window = sa.window.value_or(limits_.window);
  const SaPlace place = take_place(sa.direction, entry);
  SaInventory& inventory = this->inventory(sa.direction);
  try {
    inventory[place].key = store_key(sa.suite, sa.direction, sa.keys, inventory.worker(place));
  } catch (...) {
    inventory.erase(place);
    throw;
  }
  waiting_.emplace(sa_handle(sa.direction, place), std::move(done));
  install(sa.direction, place, {.sequence = sa.sequence, .alternate = {}});
}

// Both need no look at the engine's state.
void SaManager::check_identity(Direction direction, Spi spi, const Selector& selector) {
  const uint32_t least = direction == Direction::in ? 256 : 1;
  if (static_cast<uint32_t>(spi) < least) throw Refused(Refusal::reserved_spi);
  if (selector.source.is_v4() != selector.destination.is_v4()) {
    throw Refused(Refusal::address_families_differ);
  }
}

void SaManager::check_key_material(Suite suite, const EspKeys& keys) {
  const KeyError error = check_keys(suite, keys);
  if (error == KeyError::weak_des_key) throw Refused(Refusal::weak_des_key);
  if (error != KeyError::none) throw Refused(Refusal::wrong_key_length);
}

// Refuses on identity and room; after that the SA has its place and window.
SaPlace SaManager::take_place(Direction direction, const SaEntry& entry) {
  SaInventory& inventory = this->inventory(direction);
  // A UE that has lost its memory registers again with the SPIs that it had, while the sets of
  // before are still there (they go at its 200 OK): outbound no packet needs them to differ.
  const bool may_recur = direction == Direction::out && entry.owner != kNoOwner;
  if (!may_recur && inventory.find(entry.spi, entry.selector.destination)) {
    throw Refused(Refusal::spi_in_use);
  }
  const std::optional<SaPlace> place = inventory.insert(owner_worker(entry.selector), entry);
  if (!place) throw Refused(Refusal::capacity_reached);
  return *place;
}

KeySlot SaManager::store_key(Suite suite, Direction direction, const EspKeys& keys, size_t worker) {
  const std::optional<KeySlot> slot = keys_.store(suite, direction, keys, worker);
  if (!slot) throw Refused(Refusal::key_store_full);
  return *slot;
}

// Has place and key; from here on it counts.
void SaManager::install(Direction direction, SaPlace place, const HowToInstall& how) {
  SaEntry& entry = inventory(direction)[place];
  set_state(direction, entry, SaState::installing);
  if (direction == Direction::in && entry.window == ReplayWindow::kOff) ++with_window_off_;
  if (local_port_is_unprotected(direction, entry.selector)) ++with_unprotected_port_;
  workers_.submit(inventory(direction).worker(place), install_command(direction, place, how));
}

SaCommand SaManager::install_command(Direction direction, SaPlace place,
                                     const HowToInstall& how) const {
  const SaInventory& inventory = this->inventory(direction);
  const SaEntry& entry = inventory[place];
  const SaIndex index = inventory.index(place);
  if (direction == Direction::in) {
    return InstallInbound{index,        entry.spi,    entry.key,          entry.suite,
                          entry.window, how.sequence, entry.window_words, entry.selector,
                          how.alternate};
  }
  return InstallOutbound{index,         entry.spi,    entry.key,
                         entry.suite,   how.sequence, entry.selector,
                         how.alternate, how.standby,  how.begun_in_clear};
}

void SaManager::remove(const SaName& name, Done done) {
  const SaPlace place = find_live(name);
  SaInventory& inventory = this->inventory(name.direction);
  if (inventory[place].owner != kNoOwner) throw Refused(Refusal::sa_of_set);
  set_state(name.direction, inventory[place], SaState::deleting);
  waiting_.emplace(sa_handle(name.direction, place), std::move(done));
  workers_.submit(inventory.worker(place), DeleteSa{name.direction, inventory.index(place)});
}

void SaManager::query(const SaName& name, StatusDone done) {
  query(sa_handle(name.direction, find_live(name)), std::move(done));
}

void SaManager::query(SaHandle sa, StatusDone done) {
  queries_.emplace(sa, std::move(done));
  const SaInventory& inventory = this->inventory(direction_of(sa));
  const SaPlace place = place_of(sa);
  workers_.submit(inventory.worker(place), QuerySa{direction_of(sa), inventory.index(place)});
}

void SaManager::flush(FlushDone done) {
  size_t deleted = 0;
  for (const Direction direction : {Direction::in, Direction::out}) {
    SaInventory& inventory = this->inventory(direction);
    for (std::optional<SaPlace> place = inventory.next(0); place;
         place = inventory.next(static_cast<size_t>(*place) + 1)) {
      SaEntry& entry = inventory[*place];
      if (entry.state != SaState::live || entry.owner != kNoOwner) continue;
      set_state(direction, entry, SaState::deleting);
      entry.flushed = true;
      flushed_[inventory.worker(*place)].push_back(sa_handle(direction, *place));
      ++deleted;
    }
  }
  flush_left_ += deleted;
  if (flush_left_ == 0) return done(0);
  flushes_.emplace_back([done = std::move(done), deleted] { done(deleted); });
  for (size_t worker = 0; worker < flushed_.size(); ++worker) send_flushed(worker);
}

// Behind all that was submitted: a query that waits must reach the worker while the SA is there.
bool SaManager::send_flushed(size_t worker) {
  std::vector<SaHandle>& flushed = flushed_[worker];
  bool sent = false;
  while (!flushed.empty()) {
    const Direction direction = direction_of(flushed.back());
    const SaIndex index = inventory(direction).index(place_of(flushed.back()));
    if (!workers_.send(worker, DeleteSa{direction, index})) break;
    flushed.pop_back();
    sent = true;
  }
  return sent;
}

std::optional<SaHandle> SaManager::list(const SaFilter& filter, SaHandle from,
                                        const Visitor& visit) const {
  size_t scanned = 0;
  for (const Direction direction : {Direction::in, Direction::out}) {
    if (filter.direction && *filter.direction != direction) continue;
    if (direction < direction_of(from)) continue;
    const SaInventory& inventory = this->inventory(direction);
    size_t at = direction == direction_of(from) ? static_cast<size_t>(place_of(from)) : 0;
    for (std::optional<SaPlace> place = inventory.next(at); place; place = inventory.next(at)) {
      at = static_cast<size_t>(*place) + 1;
      if (++scanned > kScanLimit) return sa_handle(direction, *place);
      const SaEntry& entry = inventory[*place];
      if (!passes(filter, direction, entry)) continue;
      if (!visit(direction, inventory.worker(*place), entry)) return sa_handle(direction, *place);
    }
  }
  return std::nullopt;
}

bool SaManager::passes(const SaFilter& filter, Direction direction, const SaEntry& entry) const {
  return (!filter.spi || *filter.spi == entry.spi) &&
         (!filter.ue || *filter.ue == ue_of(direction, entry.selector));
}

// `in` arrives on the access port: at the P-CSCF from the UE, at the UE from the P-CSCF.
const Address& SaManager::ue_of(Direction direction, const Selector& selector) const {
  const bool ue_is_source = (direction == Direction::in) == (policy_.role == Role::pcscf);
  return ue_is_source ? selector.source : selector.destination;
}

bool SaManager::local_port_is_unprotected(Direction direction, const Selector& selector) const {
  const uint16_t local =
      direction == Direction::in ? selector.destination_port : selector.source_port;
  return policy_.role == Role::pcscf && !policy_.protected_ports[local];
}

SaPlace SaManager::find_live(const SaName& name) const {
  const SaPlace place = find(name);
  if (inventory(name.direction)[place].state != SaState::live) throw Refused(Refusal::sa_busy);
  return place;
}

SaPlace SaManager::find(const SaName& name) const {
  if (name.direction == Direction::out && !name.destination) return find_by_spi_alone(name.spi);
  const SaInventory& inventory = this->inventory(name.direction);
  const std::optional<SaPlace> place =
      inventory.find(name.spi, name.destination.value_or(Address{}));
  if (!place ||
      (name.destination && !(inventory[*place].selector.destination == *name.destination))) {
    throw Refused(Refusal::sa_not_found);
  }
  return *place;
}

// Walks all outbound SAs: the convenience of leaving out dst is for people and small tests. Where
// there are too many to walk, it does not matter whether another has it.
SaPlace SaManager::find_by_spi_alone(Spi spi) const {
  if (outbound_.size() > kScanLimit) throw Refused(Refusal::ambiguous_spi);
  std::optional<SaPlace> found;
  for (std::optional<SaPlace> place = outbound_.next(0); place;
       place = outbound_.next(static_cast<size_t>(*place) + 1)) {
    if (outbound_[*place].spi != spi) continue;
    if (found) throw Refused(Refusal::ambiguous_spi);
    found = place;
  }
  if (!found) throw Refused(Refusal::sa_not_found);
  return *found;
}

}  // namespace gmesp
