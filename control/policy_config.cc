// SPDX-License-Identifier: BSD-3-Clause
#include "control/policy_config.h"

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <vector>

#include "control/rule_names.h"
#include "control/rule_order.h"

namespace gmesp {
namespace {

constexpr int64_t kMaxRate = 10'000'000;  // packets a second; beyond it, no rate is meant

std::string quoted(const PolicyRule& rule) { return '"' + rule.name + '"'; }

void read_name(ConfigTable& table, PolicyRule& rule) {
  rule.name = table.required_text("name", "a text in quotes");
  // It stands in tables and answers.
  if (rule.name.size() > kMaxRuleNameBytes ||
      !std::ranges::all_of(rule.name, [](char c) { return c >= ' ' && c <= '~'; })) {
    table.refuse("name", "1.." + std::to_string(kMaxRuleNameBytes) + " visible ASCII characters");
  }
}

// One family on both sides: that of ARP or ND, where the rule is about them. (Redirects, which
// nd-router is about too, are of both.)
void check_families(const ConfigTable& table, const PolicyRule& rule) {
  const auto has = [](const std::vector<Prefix>& prefixes, bool v4) {
    return prefixes.empty() || std::ranges::any_of(prefixes, [v4](const Prefix& prefix) {
             return prefix.address.is_v4() == v4;
           });
  };
  const bool v4 = rule.match != Match::nd && has(rule.local, true) && has(rule.remote, true);
  const bool v6 = rule.match != Match::arp && has(rule.local, false) && has(rule.remote, false);
  if (!v4 && !v6) {
    table.refuse(rule.remote.empty() ? "local" : "remote",
                 "prefixes of one family, local, remote and match alike: no packet has two");
  }
}

void read_rates(ConfigTable& table, PolicyRule& rule) {
  rule.rate = static_cast<uint32_t>(table.number("rate", 0, 0, kMaxRate));
  rule.rate_per_source = static_cast<uint32_t>(table.number("rate_per_source", 0, 0, kMaxRate));
  for (const std::string_view key : {"rate", "rate_per_source"}) {
    if (!table.has(key)) continue;
    if (!rule.pass) table.refuse(key, "no rate with action = \"drop\": nothing passes");
    if (!rule.in) {
      table.refuse(key, "no rate with direction = \"out\": rates are for what comes in");
    }
  }
  if (rule.rate != 0 && rule.rate_per_source > rule.rate) {
    table.refuse("rate_per_source", "at most the rate of the whole rule");
  }
}

PolicyRule read_rule(ConfigTable& table) {
  PolicyRule rule;
  read_name(table, rule);
  const size_t match = table.required_choice("match", kMatchNames);
  rule.match = kMatches[match];
  const size_t direction = table.choice("direction", 2, kDirectionNames);
  rule.in = direction != 1;
  rule.out = direction != 0;
  rule.local = table.prefixes("local");
  rule.remote = table.prefixes("remote");
  rule.local_ports = table.ports("local_ports");
  rule.remote_ports = table.ports("remote_ports");
  rule.pass = table.choice("action", 0, kActionNames) == 0;
  read_rates(table, rule);
  table.refuse_unknown_keys();
  for (const std::string_view key : {"local_ports", "remote_ports"}) {
    if (table.has(key) && rule.match != Match::udp && rule.match != Match::tcp) {
      table.refuse(key, "no ports with match = \"" + std::string(kMatchNames[match]) +
                            "\": only udp and tcp have them");
    }
  }
  check_families(table, rule);
  return rule;
}

// What the rule adds to those before it: nothing, or the opposite of one of them, is a mistake.
void check_order(ConfigTable& table, std::span<const PolicyRule> before, const PolicyRule& rule) {
  for (const PolicyRule& earlier : before) {
    if (earlier.name == rule.name) table.refuse("name", "a name that no rule before it has");
    if (earlier.pass != rule.pass && same_packets(earlier, rule)) {
      table.refuse("match", "other packets than rule " + quoted(earlier) +
                                " matches, which does the opposite with them");
    }
  }
  const auto in = first_cover(before, rule, Direction::in);
  const auto out = first_cover(before, rule, Direction::out);
  if ((rule.in && !in) || (rule.out && !out)) return;
  const PolicyRule& one = before[rule.in ? *in : *out];
  const PolicyRule& other = before[rule.out ? *out : *in];
  table.warn("name", "rule " + quoted(rule) + " never matches: before it, rule " + quoted(one) +
                         (one.name == other.name ? "" : " and rule " + quoted(other)) +
                         " takes all that it would");
}

// TS 33.203 7.1: these are dropped in clear before any rule.
void check_ports(ConfigTable& table, const Policy& policy, const PolicyRule& rule) {
  const auto is_protected = [&policy](const PortRange& range) {
    for (size_t port = range.first; port <= range.last; ++port) {
      if (!policy.protected_ports[port]) return false;
    }
    return true;
  };
  if (policy.role == Role::pcscf && !rule.local_ports.empty() &&
      std::ranges::all_of(rule.local_ports, is_protected)) {
    table.warn("local_ports", "rule " + quoted(rule) +
                                  " never matches: all its local_ports are in protected_ports");
  }
}

void read_prefixes(ConfigTable& table, Policy& policy) {
  policy.own_prefixes = table.prefixes("own_prefixes");
  policy.reachable = table.prefixes("reachable");
  if (!table.has("reachable")) policy.reachable = policy.own_prefixes;
  if (policy.own_prefixes.empty()) {
    table.warn("own_prefixes",
               "[policy] own_prefixes is empty: the access side may send cleartext, ARP and ND in "
               "the name of the SIP server (TS 33.203 Annex J)");
  }
  if (policy.reachable.empty()) {
    table.warn("reachable",
               "[policy] reachable is empty: what a rule passes from the access side may go to "
               "every host behind the host port (TS 33.203 Annex J)");
  }
  const bool all_own = std::ranges::all_of(policy.reachable, [&policy](const Prefix& prefix) {
    return any_contains(policy.own_prefixes, prefix);
  });
  if (!policy.own_prefixes.empty() && !all_own) {
    table.warn("reachable",
               "[policy] reachable has addresses that are not in own_prefixes: the access side may "
               "send in their name");
  }
}

// TS 33.203 Annex J: what comes in clear is bounded for each source and in all.
void check_rates(ConfigTable& table, const Policy& policy) {
  std::string unbounded;
  for (const PolicyRule& rule : policy.rules) {
    if (!rule.pass || !rule.in || (rule.rate != 0 && rule.rate_per_source != 0)) continue;
    unbounded += (unbounded.empty() ? "" : ", ") + quoted(rule);
  }
  if (unbounded.empty()) return;
  table.warn("rule",
             "[policy] rules pass any number of packets from the access side, of one source "
             "or in all, for want of rate and rate_per_source: " +
                 unbounded);
}

void check_sizes(const ConfigTable& table, const Policy& policy) {
  size_t prefixes = policy.own_prefixes.size();
  if (table.has("reachable")) prefixes += policy.reachable.size();
  size_t ranges = 0;
  for (const PolicyRule& rule : policy.rules) {
    prefixes += rule.local.size() + rule.remote.size();
    ranges += rule.local_ports.size() + rule.remote_ports.size();
  }
  if (policy.rules.size() > kMaxPolicyRules) {
    table.refuse("rule", "at most " + std::to_string(kMaxPolicyRules) + " rules");
  }
  if (prefixes > kMaxPrefixes) {
    table.refuse("rule", "at most " + std::to_string(kMaxPrefixes) +
                             " prefixes in all rules, own_prefixes and reachable");
  }
  if (ranges > kMaxPortRanges) {
    table.refuse("rule", "at most " + std::to_string(kMaxPortRanges) + " port ranges in all rules");
  }
}

}  // namespace

void read_policy(ConfigTable table, Policy& policy) {
  std::vector<PortRange> protected_ports = table.ports("protected_ports");
  if (protected_ports.empty()) protected_ports = {{5062, 5064}};
  for (const PortRange& range : protected_ports) {
    for (size_t port = range.first; port <= range.last; ++port) policy.protected_ports.set(port);
  }
  policy.protected_port_hold_s =
      static_cast<uint32_t>(table.number("protected_port_hold_s", 128, 0, 86400));
  read_prefixes(table, policy);
  for (ConfigTable& of_rule : table.tables("rule")) {
    const PolicyRule rule = read_rule(of_rule);
    check_order(of_rule, policy.rules, rule);
    check_ports(of_rule, policy, rule);
    policy.rules.push_back(rule);
  }
  check_sizes(table, policy);
  check_rates(table, policy);
  table.refuse_unknown_keys();
}

}  // namespace gmesp
