// SPDX-License-Identifier: BSD-3-Clause
// What an operator decides about registrations: the table [ims] of gmespd.toml as plain data.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "control/registration/negotiation.h"
#include "control/registration/spi_allocator.h"
#include "crypto/key_material.h"

namespace gmesp {

// Never protected ports (SPEC 7.1): SIP and SIPS in clear.
constexpr bool is_sip_port(uint16_t port) { return port == 5060 || port == 5061; }

enum class SetForm : uint8_t {
  published,        // 4 SAs by client and server port, UDP and TCP share them (SPEC 0.1)
  transport_pairs,  // the change request of 2002 (INT-08): spi-c and port-c are TCP's, -s are UDP's
  single_pair,      // one pair, by spi-s and port-s (PRS-04)
};
inline constexpr std::array<std::string_view, 3> kSetFormNames = {  // in its order
    "published", "transport-pairs", "single-pair"};
constexpr std::string_view name(SetForm form) { return kSetFormNames[static_cast<size_t>(form)]; }

enum class SelectorRule : uint8_t {
  strict,        // the ports of each SA (INT-30)
  ports_of_set,  // any port of the one end with any of the other (SPEC 6, 9.1 weakness 2)
};
inline constexpr std::array<std::string_view, 2> kSelectorRuleNames = {  // in its order
    "strict", "ports-of-set"};
constexpr std::string_view name(SelectorRule rule) {
  return kSelectorRuleNames[static_cast<size_t>(rule)];
}

struct RegistrarConfig {
  SetForm form = SetForm::published;
  SelectorRule selector = SelectorRule::strict;
  Sha1KeyRule sha1_key = Sha1KeyRule::zero_bits;
  NegotiationPolicy negotiation;
  uint16_t port_ps = 5063;                    // role pcscf, fixed (SPEC 7.1)
  std::vector<uint16_t> port_pc{5062, 5064};  // role pcscf, taken in turn
  uint16_t ue_port_first = 32768;             // role ue: ports are random from this range (INT-46)
  uint16_t ue_port_last = 60999;
  uint32_t await_auth_s = 240;         // reg-await-auth (PUB-02)
  uint32_t registration_grace_s = 30;  // on top of a registration's expiry (PUB-03)
  uint32_t t1_ms = 2000;               // 64*T1 is what an old set lives (PUB-10)
  uint32_t spi_quarantine_s = 256;     // at least twice 64*T1 (R19)
  size_t max_sets = 3;                 // of one IMPI (INT-43)
  size_t capacity = 65536;             // sets in all
  std::optional<SpiRange> spis = {};   // else the role's; no key of the file: fewer help nobody

  std::chrono::milliseconds grace() const { return std::chrono::milliseconds(64 * int64_t{t1_ms}); }
};

}  // namespace gmesp
