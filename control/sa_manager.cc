// SPDX-License-Identifier: BSD-3-Clause
#include "control/sa_manager.h"

#include <utility>

namespace gmesp {
namespace {

// What needs no look at the engine's state.
void check(const NewSa& sa) {
  const uint32_t least = sa.direction == Direction::in ? 256 : 1;
  if (static_cast<uint32_t>(sa.spi) < least) throw Refused(Refusal::reserved_spi);
  if (sa.selector.source.is_v4() != sa.selector.destination.is_v4()) {
    throw Refused(Refusal::address_families_differ);
  }
  if (sa.window && sa.direction == Direction::out) {
    throw Refused(Refusal::invalid_value, "an outbound SA has no window");
  }
  if (sa.window && *sa.window != ReplayWindow::kOff &&
      (*sa.window < ReplayWindow::kMinSize || *sa.window > ReplayWindow::kMaxSize)) {
    throw Refused(Refusal::out_of_range, "window is 0 or 32..1024");
  }
  const KeyError error = check_keys(sa.suite, sa.keys);
  if (error == KeyError::weak_des_key) throw Refused(Refusal::weak_des_key);
  if (error != KeyError::none) throw Refused(Refusal::wrong_key_length);
}

}  // namespace

SaManager::SaManager(const SaLimits& limits, const Policy& policy, const Steering& steering,
                     KeyStore& keys, const std::vector<WorkerChannel*>& channels)
    : limits_(limits),
      policy_(policy),
      steering_(steering),
      keys_(keys),
      unsent_(channels.size()),
      inbound_(Direction::in, channels.size(), limits.capacity),
      outbound_(Direction::out, channels.size(), limits.capacity) {
  for (WorkerChannel* channel : channels) proxies_.emplace_back(*channel);
}

void SaManager::add(const NewSa& sa, Done done) {
  check(sa);
  const SaPlace place = take_place(sa);
  SaInventory& inventory = this->inventory(sa.direction);
  set_state(sa.direction, inventory[place], SaState::installing);
  if (inventory[place].window == ReplayWindow::kOff && sa.direction == Direction::in) {
    ++with_window_off_;
  }
  if (local_port_is_unprotected(sa.direction, sa.selector)) ++with_unprotected_port_;
  waiting_.emplace(handle(sa.direction, place), std::move(done));
  submit(inventory.worker(place), install_command(sa, place));
}

// Refuses on identity and room; after that the SA has its place, key slot and window.
SaPlace SaManager::take_place(const NewSa& sa) {
  SaInventory& inventory = this->inventory(sa.direction);
  if (inventory.find(sa.spi, sa.selector.destination)) throw Refused(Refusal::spi_in_use);
  SaEntry entry;
  entry.selector = sa.selector;
  entry.spi = sa.spi;
  entry.suite = sa.suite;
  if (sa.direction == Direction::in) entry.window = sa.window.value_or(limits_.window);
  const size_t worker = steering_.owner(sa.selector.source, sa.selector.destination);
  const std::optional<SaPlace> place = inventory.insert(worker, entry);
  if (!place) throw Refused(Refusal::capacity_reached);
  const std::optional<KeySlot> key = keys_.store(sa.suite, sa.direction, sa.keys, worker);
  if (!key) {
    inventory.erase(*place);
    throw Refused(Refusal::key_store_full);
  }
  inventory[*place].key = *key;
  return *place;
}

SaCommand SaManager::install_command(const NewSa& sa, SaPlace place) const {
  const SaInventory& inventory = this->inventory(sa.direction);
  const SaEntry& entry = inventory[place];
  const SaIndex index = inventory.index(place);
  if (sa.direction == Direction::in) {
    return InstallInbound{index,        entry.spi,   entry.key,          entry.suite,
                          entry.window, sa.sequence, entry.window_words, entry.selector};
  }
  return InstallOutbound{index, entry.spi, entry.key, entry.suite, sa.sequence, entry.selector};
}

void SaManager::remove(const SaName& name, Done done) {
  const SaPlace place = find_live(name);
  SaInventory& inventory = this->inventory(name.direction);
  set_state(name.direction, inventory[place], SaState::deleting);
  waiting_.emplace(handle(name.direction, place), std::move(done));
  submit(inventory.worker(place), DeleteSa{name.direction, inventory.index(place)});
}

void SaManager::query(const SaName& name, StatusDone done) {
  const SaPlace place = find_live(name);
  queries_.emplace(handle(name.direction, place), std::move(done));
  const SaInventory& inventory = this->inventory(name.direction);
  submit(inventory.worker(place), QuerySa{name.direction, inventory.index(place)});
}

void SaManager::flush(FlushDone done) {
  size_t deleted = 0;
  for (const Direction direction : {Direction::in, Direction::out}) {
    SaInventory& inventory = this->inventory(direction);
    for (std::optional<SaPlace> place = inventory.next(0); place;
         place = inventory.next(static_cast<size_t>(*place) + 1)) {
      SaEntry& entry = inventory[*place];
      if (entry.state != SaState::live) continue;
      set_state(direction, entry, SaState::deleting);
      entry.flushed = true;
      unsent_[inventory.worker(*place)].flushed.push_back(handle(direction, *place));
      ++deleted;
    }
  }
  flush_left_ += deleted;
  flushes_.emplace_back([done = std::move(done), deleted] { done(deleted); });
}

std::optional<ListCursor> SaManager::list(const SaFilter& filter, ListCursor from,
                                          const Visitor& visit) const {
  size_t scanned = 0;
  for (const Direction direction : {Direction::in, Direction::out}) {
    if (filter.direction && *filter.direction != direction) continue;
    if (direction < direction_of(from)) continue;
    const SaInventory& inventory = this->inventory(direction);
    size_t at = direction == direction_of(from) ? static_cast<size_t>(place_of(from)) : 0;
    for (std::optional<SaPlace> place = inventory.next(at); place; place = inventory.next(at)) {
      at = static_cast<size_t>(*place) + 1;
      if (++scanned > kScanLimit) return handle(direction, *place);
      const SaEntry& entry = inventory[*place];
      if (!passes(filter, direction, entry)) continue;
      if (!visit(direction, inventory.worker(*place), entry)) return handle(direction, *place);
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

// Walks all outbound SAs: the convenience of leaving out dst is for people and small tests.
SaPlace SaManager::find_by_spi_alone(Spi spi) const {
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
