// SPDX-License-Identifier: BSD-3-Clause
// [policy] of gmespd.toml: prefixes, rates, what is refused, what is warned of.
#include "control/policy_config.h"

#include <array>
#include <string>
#include <vector>

#include "control/rule_order.h"
#include "tests/config_file.h"

namespace gmesp {
namespace {

// Neither list is empty: no warning of its own.
const std::string kQuiet =
    kLeast + "[policy]\nown_prefixes = ['192.0.2.1']\nreachable = ['192.0.2.1']\n";

std::string rule(const std::string& name, const std::string& lines) {
  return "[[policy.rule]]\nname = '" + name + "'\n" + lines;
}

// With both rates, where it may have them: no warning of its own.
std::string limited_rule(const std::string& name, const std::string& lines) {
  const bool is_out = lines.find("'out'") != std::string::npos;
  const bool is_drop = lines.find("'drop'") != std::string::npos;
  return rule(name, lines + (is_out || is_drop ? "" : "rate = 9\nrate_per_source = 9\n"));
}

// Without the path of the temporary file.
std::vector<std::string> warnings_of(const std::string& text) {
  const ConfigFile file(text);
  std::vector<std::string> warnings;
  for (const std::string& warning : read_config(file.path()).notes.warnings) {
    EXPECT_TRUE(warning.starts_with(file.path() + ":")) << warning;
    warnings.push_back(warning.substr(file.path().size() + 1));
  }
  return warnings;
}

TEST(PolicyConfig, EveryKeyOfARuleIsTaken) {
  const Policy policy = read_text(kQuiet + rule("r", R"(match = "udp"
direction = "in"
local = ["192.0.2.0/24", "2001:db8::1"]
remote = ["0.0.0.0/0"]
local_ports = [5060]
rate = 10000000
rate_per_source = 1
)"))
                            .policy;
  ASSERT_EQ(policy.reachable.size(), 1u);
  EXPECT_EQ(to_string(policy.reachable[0]), "192.0.2.1");
  ASSERT_EQ(policy.rules.size(), 1u);
  const PolicyRule& one = policy.rules[0];
  ASSERT_EQ(one.local.size(), 2u);
  EXPECT_EQ(to_string(one.local[0]), "192.0.2.0/24");
  EXPECT_EQ(to_string(one.local[1]), "2001:db8::1");
  ASSERT_EQ(one.remote.size(), 1u);
  EXPECT_EQ(to_string(one.remote[0]), "0.0.0.0/0");
  EXPECT_EQ(one.rate, 10'000'000u);
  EXPECT_EQ(one.rate_per_source, 1u);
  EXPECT_EQ(to_string(*parse_prefix("2001:db8::/32")), "2001:db8::/32");
}

TEST(PolicyConfig, WhatCannotBeIsNamedWithItsPlace) {
  const std::string udp = "match = 'udp'\n";
  const std::string families =
      "expected prefixes of one family, local, remote and match alike: no packet has two";
  const std::string name = "10:8: key 'policy.rule.name': expected 1..64 visible ASCII characters";
  const struct {
    std::string text;
    std::string expected;
  } rows[] = {
      {rule("r", udp + "local = ['10.0.0.0/33']\n"),
       "12:10: key 'policy.rule.local': expected a list of prefixes: [\"192.0.2.0/24\", "
       "\"2001:db8::1\"]"},
      {rule("r", udp + "local = ['10.0.0.0/8']\nremote = ['2001:db8::/32']\n"),
       "13:10: key 'policy.rule.remote': " + families},
      {rule("r", "match = 'arp'\nremote = ['2001:db8::/32']\n"),
       "12:10: key 'policy.rule.remote': " + families},
      {rule("r", "match = 'nd'\nlocal = ['192.0.2.1']\n"),
       "12:9: key 'policy.rule.local': " + families},
      {rule("r", udp + "rate = -1\n"),
       "12:8: key 'policy.rule.rate': expected a whole number 0..10000000"},
      {rule("r", udp + "rate = 10\nrate_per_source = 11\n"),
       "13:19: key 'policy.rule.rate_per_source': expected at most the rate of the whole rule"},
      {rule("r", udp + "action = 'drop'\nrate = 10\n"),
       "13:8: key 'policy.rule.rate': expected no rate with action = \"drop\": nothing passes"},
      {rule("r", udp + "direction = 'out'\nrate_per_source = 10\n"),
       "13:19: key 'policy.rule.rate_per_source': expected no rate with direction = \"out\": rates "
       "are for what comes in"},
      {rule(std::string(65, 'x'), udp), name},
      {rule("r\u00e4", udp), name},
      {rule("a", udp) + rule("b", udp + "action = 'drop'\n"),
       "14:9: key 'policy.rule.match': expected other packets than rule \"a\" matches, which does "
       "the opposite with them"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(refusal_of(kQuiet + row.text), row.expected);
  }
}

TEST(PolicyConfig, NoMoreIsTakenThanAListShows) {
  std::string rules;
  for (int i = 0; i < 65; ++i) {
    const std::string n = std::to_string(i);
    rules += rule("r" + n, "match = 'udp'\nlocal_ports = [" + std::to_string(i + 1) + "]\n");
  }
  EXPECT_NE(refusal_of(kQuiet + rules).find("'policy.rule': expected at most 64 rules"),
            std::string::npos);
  const auto list = [](int count, const std::string& element) {
    std::string text = "[";
    for (int i = 0; i < count; ++i) text += element + ", ";
    return text + "]\n";
  };
  const auto prefixes = [&](int count) {
    return kQuiet + rule("r", "match = 'ip'\nremote = " + list(count, "'2001:db8::/32'"));
  };
  EXPECT_EQ(refusal_of(prefixes(254)), "accepted");
  EXPECT_NE(refusal_of(prefixes(255)).find("expected at most 256 prefixes"), std::string::npos);
  const auto ports = [&](int count) {
    return kQuiet + rule("r", "match = 'udp'\nremote_ports = " + list(count, "5060"));
  };
  EXPECT_EQ(refusal_of(ports(512)), "accepted");
  EXPECT_NE(refusal_of(ports(513)).find("expected at most 512 port ranges"), std::string::npos);
}

TEST(PolicyConfig, AnOpenAccessSideIsWarnedOf) {
  const auto open = warnings_of(kLeast);
  ASSERT_EQ(open.size(), 2u);
  EXPECT_TRUE(open[0].starts_with("1:1: warning: [policy] own_prefixes is empty:")) << open[0];
  EXPECT_TRUE(open[1].starts_with("1:1: warning: [policy] reachable is empty:")) << open[1];
  EXPECT_TRUE(warnings_of(kQuiet).empty());
  const auto all = warnings_of(kLeast + "[policy]\nown_prefixes = ['192.0.2.1']\nreachable = []\n");
  ASSERT_EQ(all.size(), 1u);
  EXPECT_TRUE(all[0].starts_with("8:13: warning: [policy] reachable is empty:")) << all[0];
  const auto other = warnings_of(
      kLeast +
      "[policy]\nown_prefixes = ['192.0.2.0/24']\nreachable = ['192.0.2.1', '10.1.1.1']\n");
  ASSERT_EQ(other.size(), 1u);
  EXPECT_TRUE(other[0].starts_with("8:13: warning: [policy] reachable has addresses that are not"))
      << other[0];
}

// PRV-20: what is behind the host port is not there for phones, unless somebody says so.
TEST(PolicyConfig, OnlyOwnHostsAreReachableUnlessSaidOtherwise) {
  const std::string own = "[policy]\nown_prefixes = ['192.0.2.0/24', '2001:db8::/32']\n";
  const Policy policy = read_text(kLeast + own).policy;
  ASSERT_EQ(policy.reachable.size(), 2u);
  EXPECT_EQ(to_string(policy.reachable[1]), "2001:db8::/32");
  EXPECT_TRUE(warnings_of(kLeast + own).empty());
  EXPECT_TRUE(read_text(kLeast + own + "reachable = []\n").policy.reachable.empty());
}

// R3: per source and in all. One warning, however many rules.
TEST(PolicyConfig, RulesThatPassAnyNumberAreWarnedOf) {
  const std::string udp = "match = 'udp'\n";
  const std::string port = "local_ports = [9]\n";
  const std::string others = limited_rule("limited", udp + "local_ports = [7]\n") +
                             rule("out", udp + port + "direction = 'out'\n") +
                             rule("dropped", udp + "local_ports = [8]\naction = 'drop'\n");
  EXPECT_TRUE(warnings_of(kQuiet + others).empty());
  const struct {
    std::string rules;
    std::string named;
  } rows[] = {
      {rule("a", udp), "\"a\""},
      {rule("a", udp + "direction = 'in'\n"), "\"a\""},
      {rule("a", udp + "rate = 9\n"), "\"a\""},
      {rule("a", udp + "rate_per_source = 9\n"), "\"a\""},
      {rule("a", udp + "rate = 9\nrate_per_source = 0\n"), "\"a\""},
      {others + rule("a", udp + port) + rule("b", "match = 'any'\n"), "\"a\", \"b\""},
  };
  for (const auto& row : rows) {
    const auto found = warnings_of(kQuiet + row.rules);
    ASSERT_EQ(found.size(), 1u) << row.rules;
    EXPECT_EQ(
        found[0],
        "9:1: warning: [policy] rules pass any number of packets from the access side, of one "
        "source or in all, for want of rate and rate_per_source: " +
            row.named);
  }
}

TEST(PolicyConfig, ARuleThatNeverMatchesIsWarnedOfWithItsPlace) {
  const std::string all_udp = "match = 'udp'\n", one_port = "match = 'udp'\nlocal_ports = [9]\n";
  const auto in = [](const std::string& lines) { return lines + "direction = 'in'\n"; };
  const auto out = [](const std::string& lines) { return lines + "direction = 'out'\n"; };
  const auto by = [](const std::string& names) {
    return "warning: rule \"dead\" never matches: before it, " + names + " takes all that it would";
  };
  const struct {
    std::string before;
    std::string dead;
    std::string warning;  // empty: it lives
  } rows[] = {
      {limited_rule("a", all_udp), one_port, by("rule \"a\"")},
      {limited_rule("a", "match = 'any'\naction = 'drop'\n"), "match = 'arp'\n", by("rule \"a\"")},
      {limited_rule("a", "match = 'ip'\n"), "match = 'icmp'\n", by("rule \"a\"")},
      {limited_rule("a", "match = 'icmp'\n"), "match = 'nd'\n", by("rule \"a\"")},
      {limited_rule("a", "match = 'icmp'\n"), "match = 'ip'\n", ""},
      {limited_rule("a", "match = 'ip'\n"), "match = 'arp'\n", ""},
      {limited_rule("a", one_port), all_udp, ""},
      {limited_rule("a", in(all_udp)), one_port, ""},
      {limited_rule("a", in(all_udp)), in(one_port), by("rule \"a\"")},
      {limited_rule("a", in(all_udp)) + limited_rule("b", out(all_udp)), one_port,
       by("rule \"a\" and rule \"b\"")},
      {limited_rule("a", "match = 'udp'\nlocal_ports = ['1-9', '10-20']\n"),
       "match = 'udp'\nlocal_ports = ['5-15']\n", by("rule \"a\"")},
      {limited_rule("a", "match = 'udp'\nlocal_ports = ['1-9', '11-20']\n"),
       "match = 'udp'\nlocal_ports = ['5-15']\n", ""},
      {limited_rule("a", "match = 'udp'\nremote = ['10.0.0.0/8']\n"),
       "match = 'udp'\nremote = ['10.1.0.0/16', '10.2.2.2']\n", by("rule \"a\"")},
      {limited_rule("a", "match = 'udp'\nremote = ['10.0.0.0/8']\n"),
       "match = 'udp'\nremote = ['10.1.0.0/16', '11.2.2.2']\n", ""},
      {limited_rule("a", "match = 'udp'\nremote = ['10.0.0.0/8']\n"), all_udp, ""},
      {limited_rule("a", "match = 'udp'\nlocal = ['::/0']\n"),
       "match = 'udp'\nlocal = ['10.0.0.1']\n", ""},
      {"", "match = 'udp'\nlocal_ports = [5062, '5063-5064']\n",
       "warning: rule \"dead\" never matches: all its local_ports are in protected_ports"},
      {"", "match = 'udp'\nlocal_ports = [5062, 5065]\n", ""},
  };
  for (const auto& row : rows) {
    const std::string before = kQuiet + row.before;
    const auto lines = static_cast<size_t>(std::count(before.begin(), before.end(), '\n'));
    const auto found = warnings_of(before + limited_rule("dead", row.dead));
    ASSERT_EQ(found.size(), row.warning.empty() ? 0u : 1u) << row.before << row.dead;
    if (row.warning.empty()) continue;
    const bool of_ports = row.before.empty();
    EXPECT_EQ(found[0], std::to_string(lines + (of_ports ? 4 : 2)) + (of_ports ? ":15: " : ":8: ") +
                            row.warning);
  }
}

// What of the file a running engine may take again, and the rest by name.
TEST(PolicyConfig, OnlyRulesAndPrefixesAreReloadable) {
  const auto differs = [](const std::string& before, const std::string& after) {
    return key_that_needs_restart(read_text(before).notes, read_text(after).notes).value_or("");
  };
  EXPECT_EQ(differs(kLeast, kLeast), "");
  EXPECT_EQ(differs(kLeast, kQuiet), "");
  EXPECT_EQ(differs(kQuiet + rule("a", "match = 'udp'\n"),
                    kQuiet + rule("b", "match = 'any'\naction = 'drop'\n")),
            "");
  EXPECT_EQ(differs(kLeast, kLeast + "[sa]\nwindow = 64\npadding = 'strict'\n"), "") << "defaults";
  EXPECT_EQ(differs(kLeast, kLeast + "[ims]\nue_ports = '32768-60999'\n"), "");
  EXPECT_EQ(differs(kLeast, kLeast + "[audit]\nenabled = true\nlog = false\n"), "");
  const struct {
    const char* text;
    const char* key;
  } rows[] = {{"[control]\nsocket = '/tmp/x'\n", "control.socket"},
              {"[control]\ngroup = 'sip'\n", "control.group"},
              {"[control]\nseccomp = false\n", "control.seccomp"},
              {"[audit]\nenabled = false\n", "audit.enabled"},
              {"[audit]\nlog = true\n", "audit.log"},
              {"[workers]\ncpus = [1]\n", "workers.cpus"},
              {"[workers]\nidle = 'poll'\n", "workers.idle"},
              {"[workers]\nmemory_mb = 9\n", "workers.memory_mb"},
              {"[workers]\nhugepages = 'never'\n", "workers.hugepages"},
              {"[sa]\ncapacity = 7\n", "sa.capacity"},
              {"[sa]\nwindow = 128\n", "sa.window"},
              {"[ims]\nform = 'single-pair'\n", "ims.form"},
              {"[ims]\nport_pc = [5062, 5064]\nport_ps = 5063\nt1_ms = 1000\n", "ims.port_pc"},
              {"[ims]\nt1_ms = 1000\n", "ims.spi_quarantine_s"},
              {"[policy]\nprotected_ports = ['5062-5065']\n", "policy.protected_ports"},
              {"[policy]\nprotected_port_hold_s = 1\n", "policy.protected_port_hold_s"}};
  for (const auto& row : rows) EXPECT_EQ(differs(kLeast, kLeast + row.text), row.key);
  std::string other_role = kLeast, other_device = kLeast, other_mtu = kLeast;
  other_role.replace(other_role.find("pcscf"), 5, "ue");
  other_device.replace(other_device.find("acc0"), 4, "acc1");
  other_mtu.replace(other_mtu.find("[host]"), 6, "mtu = 1400\n[host]");
  EXPECT_EQ(differs(kLeast, other_role), "role");
  EXPECT_EQ(differs(kLeast, other_device), "access.device");
  EXPECT_EQ(differs(kLeast, other_mtu), "access.mtu");
}

}  // namespace
}  // namespace gmesp
