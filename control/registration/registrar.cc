// SPDX-License-Identifier: BSD-3-Clause
// The calls of the SIP layer: what each one checks, and what it begins. What follows from it, and
// what happens by itself, is in set_life.cc.
#include "control/registration/registrar.h"

#include <algorithm>
#include <utility>

namespace gmesp {
namespace {

void check_identity(std::string_view identity) {
  if (identity.empty() || identity.size() > kMaxIdentityBytes) {
    throw Refused(Refusal::too_many_identities);
  }
  // What RFC 3261 25.1 lets into a URI; and what lists and events can repeat as it is.
  const auto visible = [](char c) { return c > ' ' && c < 0x7f; };
  if (!std::ranges::all_of(identity, visible)) {
    throw Refused(Refusal::invalid_value, "an identity is visible ASCII");
  }
}

void check_identities(std::span<const std::string_view> impus) {
  if (impus.size() > kMaxImpus) throw Refused(Refusal::too_many_identities);
  for (const std::string_view impu : impus) check_identity(impu);
}

SetEnd end_of(const Address& address, const SecurityMechanism& mechanism) {
  return {address, mechanism.port_c, mechanism.port_s, Spi{mechanism.spi_c}, Spi{mechanism.spi_s}};
}

SecurityAgreement agreement(const std::vector<SecurityMechanism>& mechanisms) {
  SecurityAgreement agreement;
  for (const SecurityMechanism& mechanism : mechanisms) agreement.add(mechanism);
  return agreement;
}

std::vector<SecurityMechanism> elements(const SecurityAgreement& agreement) {
  return {agreement.all().begin(), agreement.all().end()};
}

std::vector<std::string> texts(std::span<const std::string_view> views) {
  return {views.begin(), views.end()};
}

CompletionRef completion(Registrar::Done done) {
  return std::make_shared<Completion>(Completion{std::move(done), std::nullopt});
}

Refused wrong_state(const SaSet& set) {
  const bool failed = set.state == SetState::old && !set.authenticated;
  return Refused(Refusal::wrong_state,
                 "it is " + std::string(name(set.state)) + (failed ? ", never authenticated" : ""));
}

}  // namespace

Registrar::Registrar(const RegistrarConfig& config, SaManager& sas, Clock clock)
    : config_(config),
      role_(sas.policy().role),
      sas_(sas),
      clock_(std::move(clock)),
      sets_(config.capacity),
      spis_(
          config.spis.value_or(spi_range(role_)), std::chrono::seconds(config.spi_quarantine_s),
          [&sas](Spi spi) { return sas.has_inbound(spi); }, 2 * config.capacity,
          SpiAllocator::kMaxQuarantined),
      used_keys_(2 * config.capacity, config.capacity),
      timers_(config.capacity, clock_().count()) {
  sas_.on_set_news([this](SetIndex set, SaHandle sa, SaNews news)
                       ON(control_thread) { on_news(set, sa, news); });
}

SetIndex Registrar::find(SetHandle handle) const {
  const std::optional<SetIndex> index = sets_.find(handle);
  if (!index) throw Refused(Refusal::unknown_handle);
  return *index;
}

// SM1, at the P-CSCF when it has come, at the UE before it leaves.
RegisterAnswer Registrar::registered(const RegisterCall& call) {
  check_call(call);
  std::optional<Choice> choice;
  SetEnd peer{.address = role_ == Role::ue ? call.pcscf : call.ue};
  if (role_ == Role::pcscf) {
    choice = choose_ours_first(config_.negotiation, *call.client);
    if (!choice) throw Refused(Refusal::unacceptable_proposal);
    peer = end_of(call.ue, choice->theirs);
    check_peer(peer, {});
    check_ports_free(call.impi, peer);
  }
  const SetHandle over = first_over(call.over);
  check_room(sets_.find(call.impi), over);
  const std::optional<SetIndex> spare = sets_.full() ? offer_to_drop() : std::nullopt;
  if (sets_.full() && !spare) throw Refused(Refusal::registrations_full);
  const SetEnd own = own_end(call, peer);

  drop_oldest_offer(call.impi, over);
  if (sets_.full()) begin_delete(*spare, SetEventKind::deleted);
  const SetIndex index = sets_.add(call.impi);
  fill(index, call, own, peer);
  SaSet& set = sets_[index];
  const OwnNumbers numbers{static_cast<uint32_t>(own.spi_c), static_cast<uint32_t>(own.spi_s),
                           own.port_c, own.port_s};
  if (role_ == Role::ue) {
    set.ours = elements(security_client(config_.negotiation, numbers));
    sets_.claim_ports(index);
  } else {
    set.suite = choice->suite;
    set.theirs = elements(*call.client);
    set.ours = elements(security_server(config_.negotiation, *call.client, choice->suite, numbers));
  }
  return {sets_.handle(index), agreement(set.ours), set.suite};
}

void Registrar::check_call(const RegisterCall& call) const {
  check_identity(call.impi);
  check_identities(call.impus);
  if (call.ue.is_v4() != call.pcscf.is_v4()) throw Refused(Refusal::address_families_differ);
  if (call.contact && !(*call.contact == call.ue)) throw Refused(Refusal::contact_differs);
  if (call.over != kNoSet) check_over(call);
  if ((role_ == Role::ue) == (call.client != nullptr)) {
    throw Refused(Refusal::not_for_role, "role pcscf takes Security-Client, role ue makes it");
  }
}

// INT-51. The other end's answer may take timer F.
void Registrar::fill(SetIndex index, const RegisterCall& call, const SetEnd& own,
                     const SetEnd& peer) {
  SaSet& set = sets_[index];
  set.ue = role_ == Role::ue ? own : peer;
  set.pcscf = role_ == Role::ue ? peer : own;
  set.form = config_.form;
  set.selector = call.selector.value_or(config_.selector);
  set.carrier = call.over;
  set.over = first_over(call.over);
  set.impus = texts(call.impus);
  set.created_ms = now();
  set.reconciled = reconcile_sessions_;  // who has listed his sets by now cannot know it
  ++counts_[static_cast<size_t>(SetState::offered)];
  set_deadline(index, set.created_ms + config_.grace().count());
}

// A second challenge to SM7: the authentication began with the set that SM1 went over.
SetHandle Registrar::first_over(SetHandle carrier) const {
  if (carrier == kNoSet) return kNoSet;
  const SaSet& set = sets_[find(carrier)];
  return set.state == SetState::temporary ? set.over : carrier;
}

// INT-31, INT-49a: what comes over a set is its registration's and from its address. JNT-5.
void Registrar::check_over(const RegisterCall& call) const {
  const SaSet& set = sets_[find(call.over)];
  if (set.state == SetState::offered || (set.state == SetState::old && !set.authenticated)) {
    throw wrong_state(set);
  }
  if (set.registration->impi != call.impi) throw Refused(Refusal::other_impi);
  if (!(set.ue.address == call.ue) || !(set.pcscf.address == call.pcscf)) {
    throw Refused(Refusal::address_differs);
  }
  if (call.verify != nullptr && !repeats(*call.verify, agreement(set.ours))) {
    throw Refused(Refusal::verify_mismatch);
  }
}

// R17. One transport's port may be the other's (INT-35), and a single pair has but one.
void Registrar::check_peer(const SetEnd& peer, const SetEnd& own) const {
  for (const Spi spi : {peer.spi_c, peer.spi_s}) {
    if (spi == Spi{} || spi == own.spi_c || spi == own.spi_s) throw Refused(Refusal::spi_clash);
  }
  if (peer.spi_c == peer.spi_s && config_.form != SetForm::single_pair) {
    throw Refused(Refusal::spi_clash);
  }
  if (peer.port_c == peer.port_s && config_.form == SetForm::published) {
    throw Refused(Refusal::port_clash);
  }
  for (const uint16_t port : {peer.port_c, peer.port_s}) {
    if (is_sip_port(port)) throw Refused(Refusal::port_clash);
  }
}

// INT-43, as SPEC 6 has it: one IMPI's sets may share ports, two IMPIs' never.
void Registrar::check_ports_free(std::string_view impi, const SetEnd& ue) const {
  for (const uint16_t port : {ue.port_c, ue.port_s}) {
    const Registration* const owner = sets_.owner(ue.address, port);
    if (owner != nullptr && owner->impi != impi) throw Refused(Refusal::ue_port_in_use);
  }
}

// SM6, at the P-CSCF before the 401 leaves (INT-53), at the UE when it has come.
void Registrar::challenge(SetHandle handle, ImsKey ck, ImsKey ik, const SecurityAgreement* server,
                          Done done) {
  const SetIndex index = find(handle);
  SaSet& set = sets_[index];
  if (set.state != SetState::offered || set.step != SetStep::none) throw wrong_state(set);
  if ((server != nullptr) != (role_ == Role::ue)) {
    throw Refused(Refusal::not_for_role, "role ue takes Security-Server, role pcscf makes it");
  }
  Agreed agreed{set.suite, set.pcscf};
  if (server != nullptr) agreed = accept_server(index, *server);
  check_ports_free(set.registration->impi, set.ue);
  check_room(set.registration, set.over);
  const std::optional<KeyPrint> print = used_keys_.take(ck, ik);
  if (!print) throw Refused(Refusal::key_already_used);
  try {
    install(index, agreed, ck, ik);
  } catch (const Refused&) {
    used_keys_.forget(*print);
    throw;
  }
  set.key_print = *print;
  if (server != nullptr) set.theirs = elements(*server);
  set.waiting = completion(std::move(done));
  if (!set.owns_ports) sets_.claim_ports(index);
  end_earlier_challenges(index);
}

// Role ue: the P-CSCF's numbers and its choice (INT-55).
Registrar::Agreed Registrar::accept_server(SetIndex index, const SecurityAgreement& server) {
  const SaSet& set = sets_[index];
  const std::optional<Choice> choice = choose_theirs_first(config_.negotiation, server);
  if (!choice) {
    begin_delete(index, SetEventKind::deleted);  // INT-66
    throw Refused(Refusal::unacceptable_proposal);
  }
  const SetEnd peer = end_of(set.pcscf.address, choice->theirs);
  check_peer(peer, set.ue);
  return {choice->suite, peer};
}

void Registrar::install(SetIndex index, const Agreed& agreed, ImsKey ck, ImsKey ik) {
  SaSet& set = sets_[index];
  const SetPlan plan(set.form, set.selector, role_, set.ue, agreed.pcscf);
  check_share(set, plan);
  const EspKeys keys = expand(*agreed.suite, ck, ik, config_.sha1_key);
  const size_t count = plan.sas().size();
  set.keys = sas_.install_set(plan.sas(), *agreed.suite, keys, index,
                              std::span(set.sas).first(count), is_begun_in_clear(set));
  set.suite = agreed.suite;
  set.pcscf = agreed.pcscf;
  set.sa_count = set.unanswered = static_cast<uint8_t>(count);
  set.step = SetStep::installing;
}

// PUB-01: a new challenge ends what an earlier one of this UE has left behind. The set that its
// REGISTER came over carries the 401 first, if that leaves no more sets than there may be.
void Registrar::end_earlier_challenges(SetIndex index) {
  const SaSet& set = sets_[index];
  const bool room_for_carrier = staying_sets(*set.registration, set.over) + 2 <= config_.max_sets;
  const std::vector<SetIndex> all = set.registration->sets;
  for (const SetIndex other : all) {
    const SaSet& earlier = sets_[other];
    if (other == index || !is_begun(earlier) || !may_end(set.over, earlier)) continue;
    const bool carries = sets_.handle(other) == set.carrier && room_for_carrier;
    carries ? retire(other) : begin_delete(other, SetEventKind::deleted);
  }
}

// SM7 (INT-57, PRS-10): bidding down shows here.
bool Registrar::response(SetHandle handle, const SecurityAgreement* verify,
                         const SecurityAgreement* client) {
  const SetIndex index = find(handle);
  SaSet& set = sets_[index];
  if (role_ != Role::pcscf) throw Refused(Refusal::not_for_role, "SM7 comes to the P-CSCF");
  if (set.state != SetState::temporary) throw wrong_state(set);
  const bool verified = verify != nullptr && repeats(*verify, agreement(set.ours));
  const bool same_client = client != nullptr && repeats(*client, agreement(set.theirs));
  if (!verified || !same_client) {
    begin_delete(index, SetEventKind::deleted);  // INT-67
    throw Refused(verified ? Refusal::client_mismatch : Refusal::verify_mismatch);
  }
  set.response_checked = true;
  return suite_info(*set.suite).encryption != EncryptionAlgorithm::null;
}

// PUB-03, JNT-3.
void Registrar::ok(SetHandle handle, uint32_t expires_s, Done done,
                   std::span<const std::string_view> impus) {
  const SetIndex index = find(handle);
  SaSet& set = sets_[index];
  if (set.state != SetState::temporary) throw wrong_state(set);
  if (role_ == Role::pcscf && !set.response_checked) {
    throw Refused(Refusal::wrong_state, "no response has been checked");
  }
  check_identities(impus);
  if (!impus.empty()) set.impus = texts(impus);
  set.theirs.clear();
  set.authenticated = true;
  if (expires_s == 0) {
    end_all(index, nullptr, false);
  } else {
    establish(index, expires_s);
  }
  // The 200 OK goes over this set in any case.
  set.waiting = completion(std::move(done));
  set.step = SetStep::promoting;
  set.unanswered = set.sa_count;
  for (size_t i = 0; i < set.sa_count; ++i) sas_.promote(set.sas[i]);
}

void Registrar::establish(SetIndex index, uint32_t expires_s) {
  SaSet& set = sets_[index];
  When lifetime = registered_until(expires_s);
  const std::vector<SetIndex> all = set.registration->sets;
  for (const SetIndex other : all) {
    const SaSet& earlier = sets_[other];
    if (earlier.state == SetState::established) lifetime = std::max(lifetime, earlier.deadline_ms);
    const bool challenged = earlier.state != SetState::offered;
    const bool protected_the_first = sets_.handle(other) == set.over;
    if (other != index && challenged && !protected_the_first) {
      begin_delete(other, SetEventKind::deleted);
    }
  }
  set_state(set, SetState::established);
  set_deadline(index, lifetime);
}

Registrar::When Registrar::registered_until(uint32_t expires_s) const {
  return now() + (int64_t{expires_s} + config_.registration_grace_s) * 1000;
}

// INT-62 to 67, INT-75.
void Registrar::fail(SetHandle handle, FailReason reason, Done done) {
  const SetIndex index = find(handle);
  SaSet& set = sets_[index];
  const bool challenged = set.state == SetState::temporary;
  if (set.state != SetState::offered && !challenged) throw wrong_state(set);
  // PUB-08: something has come over it that has no other way to be answered.
  const bool heard = role_ == Role::ue || set.response_checked || set.temporary_used;
  const bool over_another = sets_.find(set.over).has_value();
  if (challenged && heard && !over_another && reason == FailReason::user_authentication) {
    retire(index);
    return done(std::nullopt);
  }
  set.removing = completion(std::move(done));
  begin_delete(index, SetEventKind::deleted);
}

// PUB-06; JNT cases 4 (without a new authentication) and 5.
void Registrar::refresh(SetHandle handle, uint32_t expires_s) {
  const SetIndex index = find(handle);
  SaSet& set = sets_[index];
  if (!set.authenticated) throw wrong_state(set);
  if (expires_s == 0) throw Refused(Refusal::out_of_range, "expires is above 0: use ue delete");
  const When lifetime = registered_until(expires_s);
  set_deadline(index, set.state == SetState::old ? lifetime : std::max(lifetime, set.deadline_ms));
  set_state(set, SetState::established);
  if (!set.in_use) take_into_use(index);
  const std::vector<SetIndex> all = set.registration->sets;
  bool newer = false;
  for (const SetIndex other : all) {
    if (other == index) {
      newer = true;
    } else if (sets_[other].state == SetState::established) {
      newer ? begin_delete(other, SetEventKind::deleted) : retire(other);
    }
  }
}

// PUB-07.
void Registrar::remove(SetHandle handle, bool only, bool now, Done done) {
  const SetIndex index = find(handle);
  CompletionRef removing = completion(std::move(done));
  only ? end_one(index, removing, now) : end_all(index, removing, now);
  answer(removing);
}

void Registrar::end_all(SetIndex of, const CompletionRef& removing, bool now) {
  const std::vector<SetIndex> all = sets_[of].registration->sets;
  for (const SetIndex one : all) end_one(one, removing, now);
}

// What nobody was authenticated over carries nothing that could still be on its way.
void Registrar::end_one(SetIndex index, const CompletionRef& removing, bool now) {
  now || !sets_[index].authenticated ? begin_remove(index, removing) : retire(index);
}

void Registrar::remove_all(Done done) {
  CompletionRef removing = completion(std::move(done));
  for (SetIndex index = 0; index < sets_.places(); ++index) {
    if (sets_[index].registration != nullptr) begin_remove(index, removing);
  }
  answer(removing);
}

}  // namespace gmesp
