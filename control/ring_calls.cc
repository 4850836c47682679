// SPDX-License-Identifier: BSD-3-Clause
#include "control/ring_calls.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "control/client/gmesp.h"
#include "control/unicast.h"

namespace gmesp {
namespace {

using client::AnswerRecord;
using client::CommandHead;
using client::CommandKind;
using client::CommandRecord;
using client::WireMechanism;

// gmesp.h has numbers of its own, for callers in C.
constexpr bool is_event(SetEventKind kind, int number) {
  return static_cast<int>(kind) + GMESP_EVENT_TEMPORARY_USED == number;
}
static_assert(is_event(SetEventKind::temporary_used, GMESP_EVENT_TEMPORARY_USED) &&
              is_event(SetEventKind::taken_into_use, GMESP_EVENT_TAKEN_INTO_USE) &&
              is_event(SetEventKind::retired, GMESP_EVENT_RETIRED) &&
              is_event(SetEventKind::authentication_timeout, GMESP_EVENT_AUTHENTICATION_TIMEOUT) &&
              is_event(SetEventKind::expired, GMESP_EVENT_EXPIRED) &&
              is_event(SetEventKind::deleted, GMESP_EVENT_DELETED) &&
              is_event(SetEventKind::sequence_soft_limit, GMESP_EVENT_SEQUENCE_SOFT_LIMIT) &&
              is_event(SetEventKind::sequence_exhausted, GMESP_EVENT_SEQUENCE_EXHAUSTED) &&
              is_event(SetEventKind::icv_failures, GMESP_EVENT_ICV_FAILURES));
static_assert(static_cast<int>(SetState::offered) == GMESP_OFFERED &&
              static_cast<int>(SetState::temporary) == GMESP_TEMPORARY &&
              static_cast<int>(SetState::established) == GMESP_ESTABLISHED &&
              static_cast<int>(SetState::old) == GMESP_OLD);
static_assert(static_cast<int>(SelectorRule::strict) + 1 == GMESP_STRICT &&
              static_cast<int>(SelectorRule::ports_of_set) + 1 == GMESP_PORTS_OF_SET);
static_assert(static_cast<int>(FailReason::user_authentication) == GMESP_FAIL_USER_AUTHENTICATION &&
              static_cast<int>(FailReason::network_authentication) ==
                  GMESP_FAIL_NETWORK_AUTHENTICATION &&
              static_cast<int>(FailReason::synchronisation) == GMESP_FAIL_SYNCHRONISATION &&
              static_cast<int>(FailReason::unacceptable) == GMESP_FAIL_UNACCEPTABLE &&
              static_cast<int>(FailReason::timeout) == GMESP_FAIL_TIMEOUT &&
              static_cast<int>(FailReason::other) == GMESP_FAIL_OTHER);
static_assert(client::kMaxIdentities == kMaxImpus + 1 && kMaxIdentityBytes == UINT8_MAX);

// What a command may have of flags, options, identities and handles, which are nonsense where they
// do not belong; other members of the head that a kind has no use for are not looked at, except
// `reserved`, which is zero so that it can mean something one day.
struct KindRule {
  CommandKind kind;
  uint8_t flags = 0;
  uint8_t least_identities = 0;
  uint8_t most_identities = 0;
  uint8_t most_option = 0;
  uint16_t most_handles = 0;
};
constexpr std::array<KindRule, static_cast<size_t>(CommandKind::kCount)> kRules{{
    {.kind = CommandKind::registered,
     .flags = client::kHasContact | client::kHasFirst | client::kHasSecond,
     .least_identities = 1,
     .most_identities = client::kMaxIdentities,
     .most_option = GMESP_PORTS_OF_SET},
    {.kind = CommandKind::challenge, .flags = client::kHasFirst},
    {.kind = CommandKind::response, .flags = client::kHasFirst | client::kHasSecond},
    {.kind = CommandKind::ok, .most_identities = kMaxImpus},
    {.kind = CommandKind::fail, .most_option = GMESP_FAIL_OTHER},
    {.kind = CommandKind::refresh},
    {.kind = CommandKind::remove, .flags = client::kOnlyThisSet | client::kAtOnce},
    {.kind = CommandKind::check,
     .flags = client::kHasContact,
     .least_identities = 2,  // an empty one: not asked
     .most_identities = 2},
    {.kind = CommandKind::subscribe},
    {.kind = CommandKind::reconcile, .most_handles = client::kMaxHandles},
    {.kind = CommandKind::finish_reconcile},
}};
constexpr bool rules_are_in_order() {
  for (size_t i = 0; i < kRules.size(); ++i) {
    if (static_cast<size_t>(kRules[i].kind) != i) return false;
  }
  return true;
}
static_assert(rules_are_in_order(), "kRules is indexed by CommandKind");

void require(bool condition) {
  if (!condition) throw Refused(Refusal::invalid_value);
}

const KindRule& rule_of(const CommandHead& head) {
  require(head.kind < kRules.size());
  const KindRule& rule = kRules[head.kind];
  require((head.flags & ~rule.flags) == 0 && head.option <= rule.most_option);
  require(head.identities >= rule.least_identities && head.identities <= rule.most_identities);
  require(head.handles <= rule.most_handles && head.reserved == 0);
  return rule;
}

Address unicast(const uint8_t (&bytes)[16]) {
  const Address address = Address::v6(bytes);
  require(is_unicast(address));
  return address;
}

// The parts of a record behind its head, each judged as it is taken.
class Tail {
 public:
  explicit Tail(const CommandRecord& record)
      : rest_(record.tail.data(), record.head.bytes - sizeof(CommandHead)) {}

  // The record has nothing behind what was taken.
  void end() const { require(rest_.empty()); }

  const SecurityAgreement* agreement(bool present, uint8_t count, SecurityAgreement& agreement) {
    require(present ? count <= SecurityAgreement::kMaxMechanisms : count == 0);
    for (uint8_t i = 0; i < count; ++i) {
      WireMechanism wire;
      std::memcpy(&wire, take(sizeof wire), sizeof wire);
      require(from_wire(wire, agreement.mechanisms[i]));
    }
    agreement.count = count;
    return present ? &agreement : nullptr;
  }
  std::span<const SetHandle> handles(uint16_t count,
                                     std::array<SetHandle, client::kMaxHandles>& handles) {
    std::memcpy(handles.data(), take(count * sizeof(SetHandle)), count * sizeof(SetHandle));
    return {handles.data(), count};
  }
  // Visible ASCII, as in NAIs and URIs: it is shown to people and in JSON.
  std::string_view identity() {
    const auto bytes = static_cast<uint8_t>(*take(1));
    const auto* text = reinterpret_cast<const char*>(take(bytes));
    const std::string_view identity(text, bytes);
    require(std::ranges::all_of(identity, [](char c) { return c > ' ' && c <= '~'; }));
    return identity;
  }

 private:
  const std::byte* take(size_t bytes) {
    require(bytes <= rest_.size());
    const std::byte* taken = rest_.data();
    rest_ = rest_.subspan(bytes);
    return taken;
  }

  std::span<const std::byte> rest_;
};

// A record, taken apart.
struct Parts {
  SecurityAgreement first_agreement;
  SecurityAgreement second_agreement;
  const SecurityAgreement* first = nullptr;
  const SecurityAgreement* second = nullptr;
  std::array<SetHandle, client::kMaxHandles> all_handles{};
  std::span<const SetHandle> handles;
  std::array<std::string_view, client::kMaxIdentities> all_identities;
  std::span<const std::string_view> identities;
  std::optional<Address> contact;

  explicit Parts(const CommandRecord& record) {
    const CommandHead& head = record.head;
    require(head.bytes >= sizeof(CommandHead) && head.bytes <= client::kCommandBytes);
    rule_of(head);
    Tail tail(record);
    first = tail.agreement((head.flags & client::kHasFirst) != 0, head.first, first_agreement);
    second = tail.agreement((head.flags & client::kHasSecond) != 0, head.second, second_agreement);
    handles = tail.handles(head.handles, all_handles);
    for (uint8_t i = 0; i < head.identities; ++i) all_identities[i] = tail.identity();
    identities = {all_identities.data(), head.identities};
    tail.end();
    if ((head.flags & client::kHasContact) != 0) contact = Address::v6(head.contact);
  }
};

void put(const SecurityAgreement& agreement, AnswerRecord& answer) {
  answer.head.mechanisms = static_cast<uint8_t>(agreement.count);
  for (size_t i = 0; i < agreement.count; ++i) {
    const WireMechanism wire = client::to_wire(agreement.mechanisms[i]);
    std::memcpy(answer.tail.data() + i * sizeof wire, &wire, sizeof wire);
  }
}

void run_registered(const CommandHead& head, const Parts& parts, Registrar& registrar,
                    AnswerRecord& answer) ON(control_thread) {
  RegisterCall call;
  call.ue = unicast(head.ue);
  call.pcscf = unicast(head.pcscf);
  call.impi = parts.identities.front();
  call.impus = parts.identities.subspan(1);
  call.contact = parts.contact;
  call.over = SetHandle{head.handle};
  if (head.option != GMESP_AS_CONFIGURED) {
    call.selector = SelectorRule{static_cast<uint8_t>(head.option - 1)};
  }
  call.client = parts.first;
  call.verify = parts.second;
  const RegisterAnswer offered = registrar.registered(call);
  answer.head.handle = static_cast<uint64_t>(offered.handle);
  if (offered.suite) answer.head.suite = static_cast<uint8_t>(*offered.suite);
  put(offered.ours, answer);
}

void run_check(const CommandHead& head, const Parts& parts, const Registrar& registrar,
               AnswerRecord& answer) ON(control_thread) {
  const FlowEnds flow{unicast(head.ue), head.ue_port, head.pcscf_port};
  const SetHandle handle =
      registrar.check(flow, parts.identities[0], parts.identities[1], parts.contact);
  answer.head.handle = static_cast<uint64_t>(handle);
  const SetView view = registrar.view(handle);
  answer.head.state = static_cast<uint8_t>(view.state);
  if (!view.suite) return;
  answer.head.suite = static_cast<uint8_t>(*view.suite);
  answer.head.encrypted = suite_info(*view.suite).encryption != EncryptionAlgorithm::null ? 1 : 0;
}

void run_reconcile(const CommandHead& head, const Parts& parts, Registrar& registrar,
                   AnswerRecord& answer) ON(control_thread) {
  std::vector<SetHandle> missing;
  answer.head.session = registrar.reconcile(head.number, parts.handles, missing);
  answer.head.handles = static_cast<uint8_t>(missing.size());
  if (missing.empty()) return;
  std::memcpy(answer.tail.data(), missing.data(), missing.size() * sizeof(SetHandle));
}

}  // namespace

bool run_ring_command(const CommandRecord& record, Registrar& registrar, uint32_t& events,
                      Registrar::Done done, Registrar::Reconciled reconciled,
                      AnswerRecord& answer) {
  const Parts parts(record);
  const CommandHead& head = record.head;
  const SetHandle handle{head.handle};
  answer.head.handle = head.handle;
  switch (CommandKind{head.kind}) {
    case CommandKind::registered:
      run_registered(head, parts, registrar, answer);
      return true;
    case CommandKind::challenge:
      registrar.challenge(handle, ImsKey(head.ck), ImsKey(head.ik), parts.first, std::move(done));
      return false;
    case CommandKind::response:
      answer.head.encrypted = registrar.response(handle, parts.first, parts.second) ? 1 : 0;
      return true;
    case CommandKind::ok:
      registrar.ok(handle, head.number, std::move(done), parts.identities);
      return false;
    case CommandKind::fail:
      registrar.fail(handle, FailReason{head.option}, std::move(done));
      return false;
    case CommandKind::refresh:
      registrar.refresh(handle, head.number);
      return true;
    case CommandKind::remove:
      registrar.remove(handle, (head.flags & client::kOnlyThisSet) != 0,
                       (head.flags & client::kAtOnce) != 0, std::move(done));
      return false;
    case CommandKind::check:
      run_check(head, parts, registrar, answer);
      return true;
    case CommandKind::subscribe:
      events = head.number;
      return true;
    case CommandKind::reconcile:
      run_reconcile(head, parts, registrar, answer);
      return true;
    case CommandKind::finish_reconcile:
      registrar.finish_reconcile(head.number, std::chrono::milliseconds(head.grace_ms),
                                 std::move(reconciled));
      return false;
    case CommandKind::kCount:
      break;  // rule_of() has refused it
  }
  throw Refused(Refusal::invalid_value);
}

void refuse(Refusal refusal, AnswerRecord& answer) {
  const std::string_view code = refusal_info(refusal).code;
  answer.head.refused = static_cast<uint8_t>(code.size());
  std::memcpy(answer.tail.data(), code.data(), code.size());
}

}  // namespace gmesp
