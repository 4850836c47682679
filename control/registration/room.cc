// SPDX-License-Identifier: BSD-3-Clause
// Who may have room for another set, and who makes way: of one IMPI (INT-43), and of all, where
// strangers must not keep out those who are registered.
#include <algorithm>
#include <vector>

#include "control/registration/registrar.h"

namespace gmesp {

// INT-43.
void Registrar::check_room(const Registration* registration, SetHandle over) const {
  if (registration != nullptr && staying_sets(*registration, over) >= config_.max_sets) {
    throw Refused(Refusal::too_many_sets);
  }
}

// Those with SAs that a challenge of what came over this set, or in clear, does not end.
size_t Registrar::staying_sets(const Registration& registration, SetHandle over) const {
  return static_cast<size_t>(std::ranges::count_if(registration.sets, [&](SetIndex index) {
    const SaSet& set = sets_[index];
    return is_lasting(set) || (is_begun(set) && !may_end(over, set));
  }));
}

bool Registrar::is_lasting(const SaSet& set) {
  return set.state == SetState::established || (set.state == SetState::old && set.authenticated);
}

// Challenged, and nobody was authenticated over it: also one that is old and carries an answer, a
// 401 or that to a failed authentication. PUB-01: the next challenge ends it.
bool Registrar::is_begun(const SaSet& set) {
  return set.state == SetState::temporary || set.step == SetStep::installing ||
         (set.state == SetState::old && !set.authenticated);
}

// In clear anybody can give anybody's IMPI: what comes so ends nothing that came over a set. What a
// UE sends itself is no stranger's.
bool Registrar::may_end(SetHandle over, const SaSet& earlier) const {
  return role_ == Role::ue || over != kNoSet || earlier.over == kNoSet;
}

// REGISTERs in clear cost nothing to send: an IMPI has as many offers as it may have sets, and the
// oldest makes way; those that came over a set are counted for themselves.
void Registrar::drop_oldest_offer(std::string_view impi, SetHandle over) {
  const Registration* const registration = sets_.find(impi);
  if (registration == nullptr) return;
  std::vector<SetIndex> offers;
  for (const SetIndex index : registration->sets) {
    const SaSet& set = sets_[index];
    const bool idle = set.state == SetState::offered && set.step == SetStep::none;
    if (idle && (set.over == kNoSet) == (over == kNoSet)) offers.push_back(index);
  }
  if (offers.size() >= config_.max_sets) begin_delete(offers.front(), SetEventKind::deleted);
}

// Nor may REGISTERs in clear under ever new names keep out those who are registered: in a full
// table offers in clear make way. The hand goes around, and what has made way is the place of the
// newest: in a flood it is the oldest that goes.
std::optional<SetIndex> Registrar::offer_to_drop() {
  constexpr size_t kLooks = 1024;              // of one call
  if (role_ == Role::ue) return std::nullopt;  // its own
  for (size_t i = 0; i < std::min(kLooks, sets_.places()); ++i) {
    const SetIndex index = offer_hand_;
    offer_hand_ = (offer_hand_ + 1) % static_cast<SetIndex>(sets_.places());
    const SaSet& set = sets_[index];
    const bool idle = set.registration != nullptr && set.step == SetStep::none;
    if (idle && set.state == SetState::offered && set.over == kNoSet) return index;
  }
  return std::nullopt;
}

bool Registrar::is_begun_in_clear(const SaSet& set) const {
  return role_ == Role::pcscf && set.over == kNoSet;
}

// Challenged strangers cost nothing but REGISTERs in clear, and keep their temporary SAs for
// reg-await-auth (PUB-02). They must not keep out those who register again over their set: not from
// a worker's SAs, here, nor from those of one pair of addresses (Spd::kMaxSasBegunInClear).
void Registrar::check_share(const SaSet& set, const SetPlan& plan) const {
  if (!is_begun_in_clear(set)) return;
  const size_t kept = sas_.limits().capacity / kKeptShare;
  const size_t needed = plan.sas().size() / 2;  // of each direction
  if (sas_.room_for(plan.sas().front().selector) < needed + kept) {
    throw Refused(Refusal::capacity_reached);
  }
}

}  // namespace gmesp
