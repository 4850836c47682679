// SPDX-License-Identifier: BSD-3-Clause
#include "control/registration/set_table.h"

#include <algorithm>
#include <random>
#include <span>
#include <utility>

#include "control/random_numbers.h"

namespace gmesp {

void answer(CompletionRef& completion, std::optional<Refusal> refusal) {
  if (!completion) return;
  if (refusal) completion->refusal = refusal;
  const CompletionRef last = std::exchange(completion, nullptr);
  if (last.use_count() == 1) last->done(last->refusal);
}

// Random: handles of an engine that ran before mean nothing to this one.
SetTable::SetTable(size_t capacity)
    // Growing at a million would stop everything for a tenth of a second.
    : capacity_(capacity),
      first_generation_(std::random_device{}() | 1),
      registrations_(capacity / 2, TextHash{random_hash_key()}),
      ports_(capacity, UePortHash{random_hash_key()}) {}

SetIndex SetTable::add(std::string_view impi) {
  SetIndex index;
  if (!free_.empty()) {
    index = free_.back();
    free_.pop_back();
  } else {
    index = static_cast<SetIndex>(sets_.size());
    sets_.emplace_back().generation = first_generation_;
  }
  auto found = registrations_.find(impi);
  if (found == registrations_.end()) {
    found = registrations_.try_emplace(std::string(impi)).first;
    found->second.impi = found->first;
  }
  SaSet& set = sets_[index];
  set.registration = &found->second;
  found->second.sets.push_back(index);
  return index;
}

void SetTable::detach(SetIndex index) {
  SaSet& set = sets_[index];
  if (set.owns_ports) {
    give_up({set.ue.address, set.ue.port_c});
    give_up({set.ue.address, set.ue.port_s});
    set.owns_ports = false;
  }
  Registration& registration = *std::exchange(set.registration, nullptr);
  std::erase(registration.sets, index);
  if (registration.sets.empty()) registrations_.erase(registrations_.find(registration.impi));
}

void SetTable::erase(SetIndex index) {
  const uint32_t generation = sets_[index].generation + 1;
  sets_[index] = SaSet{};
  sets_[index].generation = generation != 0 ? generation : 1;  // handle 0 is no set
  free_.push_back(index);
}

std::optional<SetIndex> SetTable::find(SetHandle handle) const {
  const auto index = static_cast<SetIndex>(handle);
  if (index >= sets_.size()) return std::nullopt;
  const SaSet& set = sets_[index];
  if (set.registration == nullptr || this->handle(index) != handle) return std::nullopt;
  return index;
}

const Registration* SetTable::find(std::string_view impi) const {
  const auto found = registrations_.find(impi);
  return found == registrations_.end() ? nullptr : &found->second;
}

void SetTable::claim_ports(SetIndex index) {
  SaSet& set = sets_[index];
  claim({set.ue.address, set.ue.port_c}, *set.registration);
  claim({set.ue.address, set.ue.port_s}, *set.registration);
  set.owns_ports = true;
}

const Registration* SetTable::owner(const Address& ue, uint16_t port) const {
  const auto found = ports_.find({ue, port});
  return found == ports_.end() ? nullptr : found->second.registration;
}

void SetTable::claim(const UePort& key, const Registration& registration) {
  PortOwner& owner = ports_[key];
  owner.registration = &registration;
  ++owner.sets;
}

void SetTable::give_up(const UePort& key) {
  const auto found = ports_.find(key);
  if (--found->second.sets == 0) ports_.erase(found);
}

size_t SetTable::fullest_bucket() const {
  const auto fullest = [](const auto& table) {
    size_t most = 0;
    for (size_t i = 0; i < table.bucket_count(); ++i) most = std::max(most, table.bucket_size(i));
    return most;
  };
  return std::max(fullest(registrations_), fullest(ports_));
}

size_t SetTable::TextHash::operator()(std::string_view text) const {
  return sip_hash(key, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

size_t SetTable::UePortHash::operator()(const UePort& port) const {
  SipHash hash(key);
  hash.add(port.address.bytes);
  return hash.finish({{static_cast<uint8_t>(port.port >> 8), static_cast<uint8_t>(port.port)}});
}

}  // namespace gmesp
