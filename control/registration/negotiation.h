// SPDX-License-Identifier: BSD-3-Clause
// Which pair of algorithms protects a registration: the operator's ordered list of combinations
// (PRS-06, PRS-07; SPEC 6), the P-CSCF's choice (INT-52) and the UE's (INT-55). Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "control/registration/security_agreement.h"
#include "crypto/algorithm.h"

namespace gmesp {

enum class EncryptionPolicy : uint8_t {
  off,        // combinations without a cipher only
  preferred,  // those with a cipher first, each part in the operator's order (PRS-07)
  required,   // those with a cipher only (PRS-05)
};

// What Security-Server lists, best first.
enum class ServerList : uint8_t {
  common,  // our combinations that the UE has offered too: a UE that looks at the first only is
           // right
  chosen,  // the one chosen
  all,     // all our combinations (INT-54 to the letter)
};

struct NegotiationPolicy {
  std::vector<Suite> combinations{Suite::aes_gcm,   Suite::sha1_aes_cbc, Suite::md5_aes_cbc,
                                  Suite::sha1_des3, Suite::md5_des3,     Suite::aes_gmac,
                                  Suite::sha1_null, Suite::md5_null};
  EncryptionPolicy encryption = EncryptionPolicy::preferred;
  ServerList list = ServerList::common;
  SpiFormat spi_format = SpiFormat::plain;
};

// The combinations in the order in which they are tried.
std::vector<Suite> in_order(const NegotiationPolicy& policy);

// Our first combination that the other end's list has with prot=esp and mod=trans, and that
// element. Role pcscf: over Security-Client (INT-52).
struct Choice {
  Suite suite{};
  SecurityMechanism theirs;
};
std::optional<Choice> choose_ours_first(const NegotiationPolicy& policy,
                                        const SecurityAgreement& theirs);
// Role ue, over Security-Server: the first of *their* list (by q, then by position) that we have
// (INT-55).
std::optional<Choice> choose_theirs_first(const NegotiationPolicy& policy,
                                          const SecurityAgreement& theirs);

// Our header: role pcscf Security-Server by policy.list (theirs: Security-Client, chosen: of it);
// q descending where there is more than one. All elements with the same SPIs and ports (PRS-07).
struct OwnNumbers {
  uint32_t spi_c = 0, spi_s = 0;
  uint16_t port_c = 0, port_s = 0;
};
SecurityAgreement security_server(const NegotiationPolicy& policy, const SecurityAgreement& theirs,
                                  Suite chosen, const OwnNumbers& own);
// Role ue: Security-Client with every combination, ciphers always among them unless `off` (PRV-01).
SecurityAgreement security_client(const NegotiationPolicy& policy, const OwnNumbers& own);

}  // namespace gmesp
