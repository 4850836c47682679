// SPDX-License-Identifier: BSD-3-Clause
// What a request says about a registration, checked value by value. Views are into the request.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/registration/registrar.h"
#include "control/request.h"
#include "control/request_values.h"
#include "dataplane/policy.h"

namespace gmesp {

// More would not leave room in the answer for all of them to be missing.
inline constexpr size_t kMaxHandlesInRequest = 2500;

// All throw Refused.
SetHandle set_handle(const Request& request);
// Nothing: the key is not there. A message without the header ("") and one without any ipsec-3gpp
// element in it agree to nothing.
std::optional<SecurityAgreement> security_agreement(const Request& request, std::string_view key);

// `ue register`. call() is good as long as the object.
class RegisterRequest {
 public:
  RegisterRequest(const Request& request, Role role);
  RegisterRequest(const RegisterRequest&) = delete;
  RegisterRequest& operator=(const RegisterRequest&) = delete;

  const RegisterCall& call() const { return call_; }

 private:
  std::vector<std::string_view> impus_;
  std::optional<SecurityAgreement> client_;
  std::optional<SecurityAgreement> verify_;
  RegisterCall call_;
};

struct ChallengeRequest {
  ChallengeRequest(const Request& request, Role role);

  SetHandle handle;
  KeyBytes<16> ck;
  KeyBytes<16> ik;
  std::optional<SecurityAgreement> server;  // role ue
  // Role ue: what Security-Verify is to say (RFC 3329 2.3.1, JNT-6). Empty: not on one line, to be
  // written anew from `server`.
  std::string verify;
};

struct CheckRequest {
  explicit CheckRequest(const Request& request);

  FlowEnds flow;
  std::string_view impi;  // empty: not asked
  std::string_view impu;  // empty: not asked
  std::optional<Address> contact;
};

struct ReconcileRequest {
  explicit ReconcileRequest(const Request& request);

  uint32_t session = 0;
  std::vector<SetHandle> handles;
  bool finish = false;
  std::optional<uint32_t> grace_s;
};

Registrar::Filter set_filter(const Request& request);
FailReason fail_reason(const Request& request);

}  // namespace gmesp
