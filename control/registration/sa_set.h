// SPDX-License-Identifier: BSD-3-Clause
// A set: the SAs of one registration, installed, promoted, retired and deleted as one (TS 33.203
// 7.1; SPEC 0.1). Which SAs those are, given both ends' ports and SPIs, is here; their life is the
// Registrar's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "control/registration/registrar_config.h"
#include "control/sa_manager.h"
#include "dataplane/address.h"
#include "dataplane/policy.h"
#include "dataplane/security_association.h"

namespace gmesp {

// Names a set for as long as gmespd runs, and no other after it; 0 is no set.
enum class SetHandle : uint64_t {};
inline constexpr SetHandle kNoSet{0};

enum class SetState : uint8_t {
  offered,      // SM1 seen, no SA yet
  temporary,    // SAs live, user not authenticated (PUB-01)
  established,  // 200 OK has come (PUB-03)
  old,          // replaced or deregistered: lives 64*T1 at most (PUB-04, PUB-07)
};
std::string_view name(SetState state);

// One end's numbers: SPIs of the SAs that arrive there (INT-22).
struct SetEnd {
  Address address;
  uint16_t port_c = 0;
  uint16_t port_s = 0;
  Spi spi_c{};
  Spi spi_s{};
};

// direction of each as this engine sees it: by role.
class SetPlan {
 public:
  static constexpr size_t kMaxSas = 4;
  SetPlan(SetForm form, SelectorRule rule, Role role, const SetEnd& ue, const SetEnd& pcscf);
  std::span<const SaOfSet> sas() const { return {sas_.data(), count_}; }

 private:
  std::array<SaOfSet, kMaxSas> sas_{};
  size_t count_ = 0;
};

}  // namespace gmesp
