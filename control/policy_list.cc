// SPDX-License-Identifier: BSD-3-Clause
#include "control/policy_list.h"

#include <string_view>
#include <vector>

#include "control/json_writer.h"
#include "control/rule_names.h"

namespace gmesp {
namespace {

struct Check {
  Drop drop;
  std::string_view direction;
};

// In the order of Cleartext::check.
constexpr Check kChecks[] = {{Drop::spoofed_source, "in"},
                             {Drop::martian_source, "in"},
                             {Drop::unreachable_host, "in"},
                             {Drop::icmp_quotes_protected, "both"},
                             {Drop::cleartext_on_protected_port, "both"}};

void write_prefixes(JsonWriter& json, std::string_view key, const std::vector<Prefix>& prefixes) {
  if (prefixes.empty()) return;
  json.start_array(key);
  for (const Prefix& prefix : prefixes) json.element(to_string(prefix));
  json.end_array();
}

void write_ports(JsonWriter& json, std::string_view key, const std::vector<PortRange>& ranges) {
  if (ranges.empty()) return;
  json.start_array(key);
  for (const PortRange& range : ranges) {
    std::string text = std::to_string(range.first);
    if (range.last != range.first) text.append("-").append(std::to_string(range.last));
    json.element(text);
  }
  json.end_array();
}

void write_checks(JsonWriter& json, const Counters& total) {
  json.start_array("checks");
  for (const Check& check : kChecks) {
    json.start_object();
    json.field("check", drop_info(check.drop).name).field("direction", check.direction);
    json.field("hits", total[check.drop]);
    json.end_object();
  }
  json.end_array();
}

void write_rule(JsonWriter& json, const PolicyRule& rule, const RuleCounters& counters) {
  json.start_object();
  json.field("name", rule.name).field("match", match_name(rule.match));
  json.field("direction", direction_name(rule));
  write_prefixes(json, "local", rule.local);
  write_prefixes(json, "remote", rule.remote);
  write_ports(json, "local_ports", rule.local_ports);
  write_ports(json, "remote_ports", rule.remote_ports);
  if (rule.rate != 0) json.field("rate", rule.rate);
  if (rule.rate_per_source != 0) json.field("rate_per_source", rule.rate_per_source);
  json.field("action", kActionNames[rule.pass ? 0 : 1]);
  json.field("hits", counters.hits).field("limited", counters.limited);
  json.end_object();
}

}  // namespace

std::string policy_list(const WorkerProxies& workers, const PolicyKeeper& keeper) {
  const Policy& policy = keeper.in_use();
  const Counters total = workers.counters();
  JsonWriter json;
  write_prefixes(json, "own_prefixes", policy.own_prefixes);
  write_prefixes(json, "reachable", policy.reachable);
  write_checks(json, total);
  json.start_array("rules");
  for (size_t i = 0; i < policy.rules.size(); ++i) {
    write_rule(json, policy.rules[i], total.rules[i]);
  }
  json.end_array();
  json.start_object("default");
  json.field("action", kActionNames[1]).field("hits", total[Drop::policy_default]);
  json.end_object();
  json.field("reloads", keeper.reloads());
  return json.finish();
}

std::string reload_answer(const PolicyKeeper& keeper) {
  JsonWriter json;
  json.field("done", "reloaded").field("rules", keeper.in_use().rules.size());
  json.start_array("warnings");
  for (const std::string& warning : keeper.warnings()) json.element(warning);
  json.end_array();
  return json.finish();
}

}  // namespace gmesp
