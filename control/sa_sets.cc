// SPDX-License-Identifier: BSD-3-Clause
// The part of SaManager that is for sets: all SAs or none, one key slot per direction.
#include <algorithm>
#include <cstddef>

#include "control/sa_manager.h"

namespace gmesp {

SetKeys SaManager::install_set(std::span<const SaOfSet> sas, Suite suite, const EspKeys& keys,
                               SetIndex owner, std::span<SaHandle> handles, bool begun_in_clear) {
  check_set(sas, suite, keys);
  SetKeys slots{.suite = suite};
  size_t taken = 0;
  try {
    for (const SaOfSet& sa : sas) {
      SaEntry entry;
      entry.selector = sa.selector;
      entry.spi = sa.spi;
      entry.suite = suite;
      entry.owner = owner;
      if (sa.direction == Direction::in) entry.window = limits_.window;
      const SaPlace place = take_place(sa.direction, entry);
      handles[taken++] = sa_handle(sa.direction, place);
    }
    slots.in = store_set_key(sas, suite, Direction::in, keys);
    slots.out = store_set_key(sas, suite, Direction::out, keys);
  } catch (...) {
    release_keys(slots);
    while (taken-- > 0) inventory(direction_of(handles[taken])).erase(place_of(handles[taken]));
    throw;
  }
  for (size_t i = 0; i < sas.size(); ++i) {
    const Direction direction = sas[i].direction;
    const SaPlace place = place_of(handles[i]);
    inventory(direction)[place].key = direction == Direction::in ? slots.in : slots.out;
    install(direction, place,
            {.alternate = sas[i].alternate, .standby = true, .begun_in_clear = begun_in_clear});
  }
  return slots;
}

void SaManager::check_set(std::span<const SaOfSet> sas, Suite suite, const EspKeys& keys) {
  for (const SaOfSet& sa : sas) {
    check_identity(sa.direction, sa.spi, sa.selector);
    for (const SaOfSet& other : sas) {
      if (&other != &sa && other.direction == sa.direction && other.spi == sa.spi) {
        throw Refused(Refusal::spi_clash);
      }
    }
  }
  check_key_material(suite, keys);
}

// Near the worker of the first SA of this direction: sets have one address pair.
KeySlot SaManager::store_set_key(std::span<const SaOfSet> sas, Suite suite, Direction direction,
                                 const EspKeys& keys) {
  for (const SaOfSet& sa : sas) {
    if (sa.direction == direction) {
      return store_key(suite, direction, keys, owner_worker(sa.selector));
    }
  }
  return kNoKeySlot;
}

void SaManager::release_keys(const SetKeys& keys) {
  if (keys.in != kNoKeySlot) keys_.release(keys.in, keys.suite);
  if (keys.out != kNoKeySlot) keys_.release(keys.out, keys.suite);
}

void SaManager::promote(SaHandle sa) {
  const SaInventory& inventory = this->inventory(direction_of(sa));
  const SaPlace place = place_of(sa);
  workers_.submit(inventory.worker(place), PromoteSa{direction_of(sa), inventory.index(place)});
}

void SaManager::remove_sa(SaHandle sa) {
  SaInventory& inventory = this->inventory(direction_of(sa));
  const SaPlace place = place_of(sa);
  set_state(direction_of(sa), inventory[place], SaState::deleting);
  workers_.submit(inventory.worker(place), DeleteSa{direction_of(sa), inventory.index(place)});
}

size_t SaManager::room_for(const Selector& selector) const {
  const size_t worker = owner_worker(selector);
  return std::min(inbound_.free_places(worker), outbound_.free_places(worker));
}

bool SaManager::has_inbound(Spi spi) const { return inbound_.find(spi, Address{}).has_value(); }

}  // namespace gmesp
