// SPDX-License-Identifier: BSD-3-Clause
// What the SIP layer may ask about sets, and what it tells of those it believes in.
#include <algorithm>
#include <utility>

#include "control/registration/registrar.h"

namespace gmesp {
namespace {

struct FailReasonName {
  FailReason reason;
  std::string_view name;
};
constexpr FailReasonName kFailReasons[] = {
    {FailReason::user_authentication, "user_authentication"},
    {FailReason::network_authentication, "network_authentication"},
    {FailReason::synchronisation, "synchronisation"},
    {FailReason::unacceptable, "unacceptable"},
    {FailReason::timeout, "timeout"},
    {FailReason::other, "other"},
};

// The legs of a set: its UE's client port with our server port, and the reverse (SPEC 0.1); in the
// other forms our one port with every port that an SA of the set has.
bool has_flow(const SaSet& set, const FlowEnds& flow) {
  const bool client = flow.ue_port == set.ue.port_c && set.form != SetForm::single_pair;
  const bool server = flow.ue_port == set.ue.port_s;
  const bool to_client = flow.pcscf_port == set.pcscf.port_c || flow.pcscf_port == 0;
  const bool to_server = flow.pcscf_port == set.pcscf.port_s || flow.pcscf_port == 0;
  const bool any_pair =
      set.selector == SelectorRule::ports_of_set || set.form != SetForm::published;
  if (any_pair) return (client || server) && (to_client || to_server);
  return (client && to_server) || (server && to_client);
}

// Which of several sets with one flow is meant: established before temporary before old. 0: none
// is, for an old set that never was authenticated carries a last answer and nothing else.
int rank(const SaSet& set) {
  switch (set.state) {
    case SetState::established:
      return 3;
    case SetState::temporary:
      return 2;
    case SetState::old:
      return set.authenticated ? 1 : 0;
    case SetState::offered:
      return 0;
  }
  return 0;
}

}  // namespace

std::string_view name(FailReason reason) { return kFailReasons[static_cast<size_t>(reason)].name; }

std::optional<FailReason> parse_fail_reason(std::string_view text) {
  for (const FailReasonName& row : kFailReasons) {
    if (row.name == text) return row.reason;
  }
  return std::nullopt;
}

size_t Registrar::registrations() const { return sets_.registrations(); }

// INT-42, INT-44, INT-49a. That the packet came over one of the set's SAs is the packet path's
// promise: no other reaches this port.
SetHandle Registrar::check(const FlowEnds& flow, std::string_view impi, std::string_view impu,
                           std::optional<Address> contact) const {
  const Registration* const registration = sets_.owner(flow.ue, flow.ue_port);
  if (registration == nullptr) throw Refused(Refusal::no_such_flow);
  std::optional<SetIndex> found;
  for (const SetIndex index : registration->sets) {
    const SaSet& set = sets_[index];
    if (rank(set) == 0 || !(set.ue.address == flow.ue) || !has_flow(set, flow)) continue;
    if (!found || rank(set) >= rank(sets_[*found])) found = index;
  }
  if (!found) throw Refused(Refusal::no_such_flow);
  if (!impi.empty() && impi != registration->impi) throw Refused(Refusal::other_impi);
  if (!impu.empty() && std::ranges::find(sets_[*found].impus, impu) == sets_[*found].impus.end()) {
    throw Refused(Refusal::unknown_impu);
  }
  if (contact && !(*contact == flow.ue)) throw Refused(Refusal::contact_differs);
  return sets_.handle(*found);
}

SetView Registrar::view(SetHandle handle) const { return view_of(find(handle)); }

SetView Registrar::view_of(SetIndex index) const {
  const SaSet& set = sets_[index];
  SetView view{.handle = sets_.handle(index),
               .state = set.state,
               .installing = set.step == SetStep::installing,
               .in_use = set.in_use,
               .form = set.form,
               .selector = set.selector,
               .suite = set.suite,
               .ue = set.ue,
               .pcscf = set.pcscf,
               .impi = set.registration->impi,
               .impus = {set.impus.begin(), set.impus.end()},
               .over = set.over,
               .age = Milliseconds(now() - set.created_ms),
               .left = Milliseconds(set.deadline_ms - now()),
               .sas = {},
               .ours = {}};
  if (set.state != SetState::offered)
    view.sas.assign(set.sas.begin(), set.sas.begin() + set.sa_count);
  for (const SecurityMechanism& mechanism : set.ours) view.ours.add(mechanism);
  return view;
}

std::optional<uint32_t> Registrar::list(const Filter& filter, uint32_t from,
                                        const std::function<bool(const SetView&)>& visit) const {
  for (SetIndex index = from; index < sets_.places(); ++index) {
    if (index - from >= kScanLimit) return index;
    const SaSet& set = sets_[index];
    if (set.registration == nullptr) continue;
    if (filter.ue && !(*filter.ue == set.ue.address)) continue;
    if (filter.impi && *filter.impi != set.registration->impi) continue;
    if (filter.state && *filter.state != set.state) continue;
    if (!visit(view_of(index))) return index;
  }
  return std::nullopt;
}

uint32_t Registrar::reconcile(uint32_t session, std::span<const SetHandle> believed,
                              std::vector<SetHandle>& missing) {
  if (session == 0) {
    reconcile_session_ = ++reconcile_sessions_;
    if (const auto other = std::exchange(reconciling_, std::nullopt)) {
      other->done(Refusal::stale_session, other->orphans);
    }
  } else if (session != reconcile_session_) {
    throw Refused(Refusal::stale_session);
  }
  for (const SetHandle handle : believed) {
    const std::optional<SetIndex> index = sets_.find(handle);
    if (index) {
      sets_[*index].reconciled = reconcile_session_;
    } else {
      missing.push_back(handle);
    }
  }
  return reconcile_session_;
}

void Registrar::finish_reconcile(uint32_t session, Milliseconds grace, Reconciled done) {
  if (session == 0 || session != reconcile_session_) throw Refused(Refusal::stale_session);
  reconcile_session_ = 0;
  reconciling_ = Reconciling{.session = session, .grace = grace, .done = std::move(done)};
}

// All at once a million would stop everything for a tenth of a second. True: there are more.
bool Registrar::look_for_orphans() {
  constexpr size_t kLooksPerTick = 4096;
  if (!reconciling_) return false;
  for (size_t i = 0; i < kLooksPerTick && reconciling_->next < sets_.places(); ++i) {
    const SetIndex index = reconciling_->next++;
    const SaSet& set = sets_[index];
    if (set.registration == nullptr || set.reconciled == reconciling_->session) continue;
    if (set.state == SetState::offered) continue;
    cut_deadline(index, reconciling_->grace);
    ++reconciling_->orphans;
  }
  if (reconciling_->next < sets_.places()) return true;
  const Reconciling over = *std::exchange(reconciling_, std::nullopt);
  over.done(std::nullopt, over.orphans);
  return false;
}

}  // namespace gmesp
