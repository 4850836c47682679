// SPDX-License-Identifier: BSD-3-Clause
#include "control/ue_request.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>

#include "control/ue_text.h"

namespace gmesp {
namespace {

std::string_view reason_of(AgreementError error) {
  switch (error) {
    case AgreementError::missing_parameter:
      return "an ipsec-3gpp element lacks alg, an SPI or a port";
    case AgreementError::duplicate_parameter:
      return "an ipsec-3gpp element has a parameter twice";
    case AgreementError::number_out_of_range:
      return "an SPI, a port or q is out of range";
    case AgreementError::too_many_mechanisms:
      return "too many ipsec-3gpp elements";
    default:
      return "not the grammar of RFC 3329 2.2";
  }
}

std::optional<SetHandle> handle_in(const Request& request, std::string_view key) {
  const auto number = request.number(key, 1, std::numeric_limits<uint64_t>::max());
  if (!number) return std::nullopt;
  return SetHandle{*number};
}

uint16_t port(const Request& request, std::string_view key) {
  return static_cast<uint16_t>(request.number(key, 1, 65535).value_or(0));
}

// To leave an identity out and to give an empty one is not the same.
std::string_view identity(const Request& request, std::string_view key) {
  const auto text = request.text(key);
  if (text && text->empty()) throw Refused(Refusal::too_many_identities, key);
  return text.value_or("");
}

std::string_view trimmed(std::string_view text) {
  const size_t from = text.find_first_not_of(" \t\r\n");
  if (from == std::string_view::npos) return "";
  return text.substr(from, text.find_last_not_of(" \t\r\n") - from + 1);
}

// The value of a header on one line; empty when there are several.
std::string_view value_on_one_line(std::string_view header) {
  constexpr std::string_view kName = "security-server";
  header = trimmed(header);
  if (header.find('\n') != std::string_view::npos) return "";
  const bool named = header.size() >= kName.size() &&
                     std::equal(kName.begin(), kName.end(), header.begin(), [](char a, char b) {
                       return a == std::tolower(static_cast<unsigned char>(b));
                     });
  if (!named) return header;
  const std::string_view rest = trimmed(header.substr(kName.size()));
  return rest.starts_with(':') ? trimmed(rest.substr(1)) : header;
}

void only_for(Role wanted, Role role, std::string_view key) {
  if (role == wanted) return;
  throw Refused(Refusal::not_for_role,
                std::string(key) + " is for role " + std::string(name(wanted)));
}

void needed_by(Role role, std::string_view key) {
  throw Refused(Refusal::not_for_role,
                "role " + std::string(name(role)) + " needs " + std::string(key));
}

void add_handles(std::string_view text, std::vector<SetHandle>& handles) {
  for (text = trimmed(text); !text.empty(); text = trimmed(text)) {
    const size_t end = std::min(text.find_first_of(" \t\r\n"), text.size());
    std::string_view digits = text.substr(0, end);
    text.remove_prefix(end);
    uint64_t number = 0;
    const bool prefixed = digits.starts_with("0x");
    if (prefixed) digits.remove_prefix(2);
    const auto [stop, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
    const bool whole = error == std::errc() && stop == digits.data() + digits.size();
    if (!prefixed || !whole || number == 0) {
      throw Refused(Refusal::invalid_value, "handles are as answers have them: 0x...");
    }
    handles.push_back(SetHandle{number});
  }
}

}  // namespace

SetHandle set_handle(const Request& request) { return *handle_in(request, "handle"); }

std::optional<SecurityAgreement> security_agreement(const Request& request, std::string_view key) {
  const auto text = request.text(key);
  if (!text) return std::nullopt;
  SecurityAgreement agreement;
  const AgreementError error = read_security_header(*text, agreement);
  if (error != AgreementError::none) {
    throw Refused(Refusal::bad_security_header,
                  std::string(key) + ": " + std::string(reason_of(error)));
  }
  return agreement;
}

RegisterRequest::RegisterRequest(const Request& request, Role role)
    : impus_(request.list("impu")),
      client_(security_agreement(request, "security-client")),
      verify_(security_agreement(request, "security-verify")) {
  if (client_) only_for(Role::pcscf, role, "security-client");
  if (verify_) only_for(Role::pcscf, role, "security-verify");
  if (!client_ && role == Role::pcscf) needed_by(role, "security-client");
  call_.ue = unicast_address(request, "ue");
  call_.pcscf = unicast_address(request, "pcscf");
  if (call_.ue.is_v4() != call_.pcscf.is_v4()) {
    throw Refused(Refusal::address_families_differ, "ue and pcscf");
  }
  call_.impi = identity(request, "impi");
  call_.impus = impus_;
  call_.contact = address(request, "contact");
  call_.over = handle_in(request, "over").value_or(kNoSet);
  if (const auto rule = request.text("selector")) {
    call_.selector = parse_selector_rule(*rule);
    if (!call_.selector) {
      throw Refused(Refusal::invalid_value, "selector is strict or ports-of-set");
    }
  }
  call_.client = client_ ? &*client_ : nullptr;
  call_.verify = verify_ ? &*verify_ : nullptr;
}

ChallengeRequest::ChallengeRequest(const Request& request, Role role)
    : handle(set_handle(request)), server(security_agreement(request, "security-server")) {
  if (server) only_for(Role::ue, role, "security-server");
  if (!server && role == Role::ue) needed_by(role, "security-server");
  read_key(required_text(request, "ck"), "ck", ck.bytes);
  read_key(required_text(request, "ik"), "ik", ik.bytes);
  if (server) verify = value_on_one_line(*request.text("security-server"));
}

CheckRequest::CheckRequest(const Request& request)
    : flow{unicast_address(request, "ue"), port(request, "ue-port"), port(request, "pcscf-port")},
      impi(identity(request, "impi")),
      impu(identity(request, "impu")),
      contact(address(request, "contact")) {}

ReconcileRequest::ReconcileRequest(const Request& request) : finish(request.flag("finish")) {
  constexpr uint32_t kMost = std::numeric_limits<uint32_t>::max();
  session = static_cast<uint32_t>(request.number("session", 1, kMost).value_or(0));
  if (const auto seconds = request.number("grace", 0, kMost)) {
    if (!finish) throw Refused(Refusal::invalid_value, "grace goes with finish");
    grace_s = static_cast<uint32_t>(*seconds);
  }
  for (const std::string_view text : request.list("handles")) add_handles(text, handles);
  if (handles.size() > kMaxHandlesInRequest) {
    throw Refused(Refusal::out_of_range,
                  "handles are at most " + std::to_string(kMaxHandlesInRequest) + " at a time");
  }
}

Registrar::Filter set_filter(const Request& request) {
  Registrar::Filter filter;
  filter.ue = address(request, "ue");
  filter.impi = request.text("impi");
  if (const auto state = request.text("state")) {
    filter.state = parse_set_state(*state);
    if (!filter.state) {
      throw Refused(Refusal::invalid_value, "state is offered, temporary, established or old");
    }
  }
  return filter;
}

FailReason fail_reason(const Request& request) {
  const auto reason = parse_fail_reason(required_text(request, "reason"));
  if (!reason) {
    throw Refused(Refusal::invalid_value,
                  "reason is user_authentication, network_authentication, synchronisation, "
                  "unacceptable, timeout or other");
  }
  return *reason;
}

}  // namespace gmesp
