// SPDX-License-Identifier: BSD-3-Clause
#include "control/ims_config.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

namespace gmesp {
namespace {

// Each in the order of its enumeration.
constexpr std::array<std::string_view, 3> kEncryption = {"off", "preferred", "required"};
constexpr std::array<std::string_view, 3> kServerLists = {"common", "chosen", "all"};
constexpr std::array<std::string_view, 2> kSpiFormats = {"plain", "padded"};
constexpr std::array<std::string_view, 2> kSha1Keys = {"zeros", "msb"};

constexpr int64_t kDay = 86400;
// Three sets of a UE have six ports; an attacker who guesses them is to have more to do (INT-46).
constexpr size_t kLeastUePorts = 64;

template <typename Choice, size_t N>
void read_choice(ConfigTable& table, std::string_view key,
                 const std::array<std::string_view, N>& names, Choice& choice) {
  choice = static_cast<Choice>(table.choice(key, static_cast<size_t>(choice), names));
}

// "hmac-sha-1-96/aes-cbc"
std::optional<Suite> parse_combination(const toml::node& node) {
  const auto text = node.value_exact<std::string_view>();
  const size_t slash = text ? text->find('/') : std::string_view::npos;
  if (slash == std::string_view::npos) return std::nullopt;
  const auto integrity = parse_integrity_algorithm(text->substr(0, slash));
  const auto encryption = parse_encryption_algorithm(text->substr(slash + 1));
  return integrity && encryption ? find_suite(*integrity, *encryption) : std::nullopt;
}

void read_negotiation(ConfigTable& table, NegotiationPolicy& policy) {
  constexpr std::string_view kExpected =
      "a list of different pairs \"alg/ealg\" of TS 33.203 Annex H, best first: "
      "[\"null/aes-gcm\", \"hmac-sha-1-96/aes-cbc\", \"hmac-sha-1-96/null\"]";
  const auto nodes = table.array("combinations", kExpected);
  if (table.has("combinations")) policy.combinations.clear();
  for (const toml::node* node : nodes) {
    const auto suite = parse_combination(*node);
    if (!suite || std::ranges::count(policy.combinations, *suite) != 0) {
      table.refuse("combinations", kExpected, *node);
    }
    policy.combinations.push_back(*suite);
  }
  if (policy.combinations.empty()) table.refuse("combinations", kExpected);

  read_choice(table, "encryption", kEncryption, policy.encryption);
  if (in_order(policy).empty()) {
    table.refuse("encryption", policy.encryption == EncryptionPolicy::off
                                   ? "a combination without a cipher, where there is to be none"
                                   : "a combination with a cipher, where there has to be one");
  }
  read_choice(table, "security_server", kServerLists, policy.list);
  read_choice(table, "spi_format", kSpiFormats, policy.spi_format);
}

// SPEC 7.1: none is 5060 or 5061, and no cleartext on any of them.
void read_pcscf_ports(ConfigTable& table, const Policy& policy, RegistrarConfig& config) {
  const auto usable = [&policy](size_t port) {
    return !is_sip_port(static_cast<uint16_t>(port)) &&
           (policy.role == Role::ue || policy.protected_ports[port]);
  };
  config.port_ps = static_cast<uint16_t>(table.number("port_ps", config.port_ps, 1, 65535));
  if (!usable(config.port_ps)) {
    table.refuse("port_ps", "a port of [policy] protected_ports, not 5060 or 5061");
  }
  const std::vector<PortRange> ranges = table.ports("port_pc");
  if (!ranges.empty()) config.port_pc.clear();
  for (const PortRange& range : ranges) {
    for (size_t port = range.first; port <= range.last; ++port) {
      config.port_pc.push_back(static_cast<uint16_t>(port));
    }
  }
  std::vector<uint16_t> sorted = config.port_pc;
  std::ranges::sort(sorted);
  if (sorted.size() < 2 || std::ranges::adjacent_find(sorted) != sorted.end() ||
      std::ranges::binary_search(sorted, config.port_ps) || !std::ranges::all_of(sorted, usable)) {
    table.refuse("port_pc",
                 "two or more different ports of [policy] protected_ports, without port_ps, 5060 "
                 "and 5061");
  }
}

void read_ue_ports(ConfigTable& table, RegistrarConfig& config) {
  const PortRange ports = table.port_range("ue_ports", {config.ue_port_first, config.ue_port_last});
  if (size_t{ports.last} - ports.first + 1 < kLeastUePorts ||
      (ports.first <= 5061 && ports.last >= 5060)) {
    table.refuse("ue_ports", "at least " + std::to_string(kLeastUePorts) +
                                 " ports, without 5060 and 5061: \"32768-60999\"");
  }
  config.ue_port_first = ports.first;
  config.ue_port_last = ports.last;
}

uint32_t read_number(ConfigTable& table, std::string_view key, int64_t default_number,
                     int64_t least, int64_t most) {
  return static_cast<uint32_t>(table.number(key, default_number, least, most));
}

}  // namespace

RegistrarConfig read_ims(ConfigTable table, const Policy& policy) {
  RegistrarConfig config;
  read_choice(table, "form", kSetFormNames, config.form);
  read_choice(table, "selector", kSelectorRuleNames, config.selector);
  read_negotiation(table, config.negotiation);
  read_choice(table, "sha1_key", kSha1Keys, config.sha1_key);
  read_pcscf_ports(table, policy, config);
  read_ue_ports(table, config);
  config.await_auth_s = read_number(table, "await_auth_s", config.await_auth_s, 1, kDay);
  config.registration_grace_s =
      read_number(table, "registration_grace_s", config.registration_grace_s, 0, kDay);
  config.t1_ms = read_number(table, "t1_ms", config.t1_ms, 100, 60000);
  // R19: a packet that was sent while the SA lived arrives after it and before its SPI is given
  // again.
  const int64_t twice_grace_s = (2 * config.grace().count() + 999) / 1000;
  config.spi_quarantine_s =
      read_number(table, "spi_quarantine_s", twice_grace_s, twice_grace_s, kDay);
  config.max_sets = read_number(table, "max_sets_per_impi", 3, 2, 16);
  table.refuse_unknown_keys();
  return config;
}

}  // namespace gmesp
