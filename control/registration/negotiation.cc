// SPDX-License-Identifier: BSD-3-Clause
#include "control/registration/negotiation.h"

#include <algorithm>

namespace gmesp {
namespace {

bool has_cipher(Suite suite) { return suite_info(suite).encryption != EncryptionAlgorithm::null; }

// SPEC 7.3: only esp is allowed in IMS; and this engine is transport mode only.
bool is_of(const SecurityMechanism& mechanism, Suite suite) {
  return mechanism.esp && mechanism.mode == EspMode::transport &&
         find_suite(mechanism.integrity, mechanism.encryption) == suite;
}

// Their first element of this suite.
const SecurityMechanism* find(const SecurityAgreement& theirs, Suite suite) {
  for (const SecurityMechanism& mechanism : theirs.all()) {
    if (is_of(mechanism, suite)) return &mechanism;
  }
  return nullptr;
}

SecurityMechanism mechanism_of(Suite suite, const OwnNumbers& own) {
  SecurityMechanism mechanism;
  mechanism.integrity = suite_info(suite).integrity;
  mechanism.encryption = suite_info(suite).encryption;
  mechanism.port_c = own.port_c;
  mechanism.port_s = own.port_s;
  mechanism.spi_c = own.spi_c;
  mechanism.spi_s = own.spi_s;
  return mechanism;
}

// No q is as good as 1, as everywhere in SIP.
uint16_t preference(const SecurityMechanism& mechanism) {
  return mechanism.q == SecurityMechanism::kNoQ ? uint16_t{1000} : mechanism.q;
}

}  // namespace

std::vector<Suite> in_order(const NegotiationPolicy& policy) {
  std::vector<Suite> order;
  const auto add = [&](bool with_cipher) {
    std::ranges::copy_if(policy.combinations, std::back_inserter(order),
                         [=](Suite suite) { return has_cipher(suite) == with_cipher; });
  };
  if (policy.encryption != EncryptionPolicy::off) add(true);
  if (policy.encryption != EncryptionPolicy::required) add(false);
  return order;
}

std::optional<Choice> choose_ours_first(const NegotiationPolicy& policy,
                                        const SecurityAgreement& theirs) {
  for (const Suite suite : in_order(policy)) {
    if (const SecurityMechanism* mechanism = find(theirs, suite)) return Choice{suite, *mechanism};
  }
  return std::nullopt;
}

std::optional<Choice> choose_theirs_first(const NegotiationPolicy& policy,
                                          const SecurityAgreement& theirs) {
  SecurityAgreement sorted = theirs;
  std::stable_sort(sorted.mechanisms.begin(), sorted.mechanisms.begin() + sorted.count,
                   [](const auto& a, const auto& b) { return preference(a) > preference(b); });
  const std::vector<Suite> ours = in_order(policy);
  for (const SecurityMechanism& mechanism : sorted.all()) {
    const auto found =
        std::ranges::find_if(ours, [&mechanism](Suite suite) { return is_of(mechanism, suite); });
    if (found != ours.end()) return Choice{*found, mechanism};
  }
  return std::nullopt;
}

SecurityAgreement security_server(const NegotiationPolicy& policy, const SecurityAgreement& theirs,
                                  Suite chosen, const OwnNumbers& own) {
  std::vector<Suite> suites{chosen};
  if (policy.list != ServerList::chosen) suites = in_order(policy);
  if (policy.list == ServerList::common) {
    std::erase_if(suites, [&theirs](Suite suite) { return find(theirs, suite) == nullptr; });
  }
  SecurityAgreement ours;
  for (const Suite suite : suites) {
    SecurityMechanism mechanism = mechanism_of(suite, own);
    // RFC 3329 2.2: all different.
    static_assert(kSuiteCount <= 10);
    if (suites.size() > 1) mechanism.q = static_cast<uint16_t>(1000 - 100 * ours.count);
    ours.add(mechanism);
  }
  return ours;
}

SecurityAgreement security_client(const NegotiationPolicy& policy, const OwnNumbers& own) {
  SecurityAgreement ours;
  for (const Suite suite : in_order(policy)) ours.add(mechanism_of(suite, own));
  return ours;
}

}  // namespace gmesp
