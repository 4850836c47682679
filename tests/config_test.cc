// SPDX-License-Identifier: BSD-3-Clause
// gmespd.toml: what a file means, and every way in which one is refused, with its place.
#include "control/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <string>

#include "tests/config_file.h"

namespace gmesp {
namespace {

void expect_equal(const RegistrarConfig& a, const RegistrarConfig& b) {
  EXPECT_EQ(a.form, b.form);
  EXPECT_EQ(a.selector, b.selector);
  EXPECT_EQ(a.sha1_key, b.sha1_key);
  EXPECT_EQ(a.negotiation.combinations, b.negotiation.combinations);
  EXPECT_EQ(a.negotiation.encryption, b.negotiation.encryption);
  EXPECT_EQ(a.negotiation.list, b.negotiation.list);
  EXPECT_EQ(a.negotiation.spi_format, b.negotiation.spi_format);
  EXPECT_EQ(a.port_ps, b.port_ps);
  EXPECT_EQ(a.port_pc, b.port_pc);
  EXPECT_EQ(a.ue_port_first, b.ue_port_first);
  EXPECT_EQ(a.ue_port_last, b.ue_port_last);
  EXPECT_EQ(a.await_auth_s, b.await_auth_s);
  EXPECT_EQ(a.registration_grace_s, b.registration_grace_s);
  EXPECT_EQ(a.t1_ms, b.t1_ms);
  EXPECT_EQ(a.spi_quarantine_s, b.spi_quarantine_s);
  EXPECT_EQ(a.max_sets, b.max_sets);
}

void expect_equal(const ReassemblyConfig& a, const ReassemblyConfig& b) {
  EXPECT_EQ(a.fragments, b.fragments);
  EXPECT_EQ(a.per_source, b.per_source);
  EXPECT_EQ(a.timeout_ms, b.timeout_ms);
  EXPECT_EQ(a.max_datagram_bytes, b.max_datagram_bytes);
}

void expect_equal(const Config& a, const Config& b) {
  EXPECT_EQ(a.socket, b.socket);
  EXPECT_EQ(a.socket_group, b.socket_group);
  EXPECT_EQ(a.user.has_value(), b.user.has_value());
  EXPECT_EQ(a.seccomp, b.seccomp);
  EXPECT_EQ(a.cpus, b.cpus);
  EXPECT_EQ(a.memory_mb, b.memory_mb);
  EXPECT_EQ(a.allow_hugepages, b.allow_hugepages);
  EXPECT_EQ(a.access.mtu, b.access.mtu);
  EXPECT_EQ(a.host.mtu, b.host.mtu);
  EXPECT_EQ(a.worker.idle, b.worker.idle);
  EXPECT_EQ(a.worker.sa_capacity, b.worker.sa_capacity);
  EXPECT_EQ(a.worker.path.access_mtu, b.worker.path.access_mtu);
  EXPECT_EQ(a.worker.path.answer_too_big, b.worker.path.answer_too_big);
  EXPECT_EQ(a.worker.path.check_padding, b.worker.path.check_padding);
  EXPECT_EQ(a.worker.path.verify_checksums, b.worker.path.verify_checksums);
  expect_equal(a.worker.path.reassembly, b.worker.path.reassembly);
  EXPECT_EQ(a.window, b.window);
  EXPECT_EQ(a.policy.role, b.policy.role);
  EXPECT_EQ(a.policy.protected_ports, b.policy.protected_ports);
  EXPECT_EQ(a.policy.protected_port_hold_s, b.policy.protected_port_hold_s);
  EXPECT_EQ(a.policy.own_prefixes.size(), b.policy.own_prefixes.size());
  expect_equal(a.ims, b.ims);
}

TEST(Config, TheExampleStatesTheDefaults) {
  const Config example = read_config(GMESP_EXAMPLE_CONFIG);
  expect_equal(example, read_text(kLeast));
  const RegistrarConfig defaults;
  expect_equal(example.ims, defaults);
  expect_equal(example.worker.path.reassembly, ReassemblyConfig{});
  EXPECT_EQ(example.access.device, "net_af_packet0,iface=acc0");
  EXPECT_EQ(example.host.device, "net_tap0,iface=gm0");
}

TEST(Config, TheExamplePassesArpNdEchoAndTheFirstRegister) {
  const std::vector<PolicyRule> rules = read_config(GMESP_EXAMPLE_CONFIG).policy.rules;
  ASSERT_EQ(rules.size(), 5u);
  EXPECT_EQ(rules[0].match, Match::arp);
  EXPECT_EQ(rules[1].match, Match::nd);
  EXPECT_EQ(rules[2].match, Match::icmp_echo);
  EXPECT_EQ(rules[3].match, Match::udp);
  EXPECT_EQ(rules[4].match, Match::tcp);
  for (const PolicyRule& rule : rules) {
    EXPECT_TRUE(rule.pass && rule.in && rule.out) << rule.name;
    EXPECT_FALSE(covers(rule.match, Match::nd_router)) << "a phone is nobody's router";
  }
  ASSERT_EQ(rules[3].local_ports.size(), 1u);
  EXPECT_EQ(rules[3].local_ports[0].first, 5060);
  EXPECT_EQ(rules[3].local_ports[0].last, 5060);
  EXPECT_TRUE(rules[3].remote_ports.empty());
}

TEST(Config, EveryKeyIsTaken) {
  const Config config = read_text(R"(role = "ue"
[control]
socket = "/tmp/s"
group = "sip"
user = "root"
seccomp = false
[workers]
cpus = [3, 1]
idle = "poll"
memory_mb = 512
hugepages = "never"
[access]
device = "0000:01:00.0"
mtu = 1400
oversize = "too-big"
[host]
device = "net_null0"
mtu = 1450
verify_checksums = "yes"
[sa]
capacity = 1000000
window = 1024
padding = "ignore"
[fragments]
held = 65536
per_source = 9
timeout_ms = 100
max_datagram = 65330
[policy]
protected_ports = [5070, "6000-6001"]
protected_port_hold_s = 0
own_prefixes = ["192.0.2.0/24", "2001:db8::1"]
[[policy.rule]]
name = "r"
match = "udp"
direction = "in"
local_ports = ["1-2", 9]
remote_ports = [65535]
action = "drop"
)");
  EXPECT_EQ(config.policy.role, Role::ue);
  EXPECT_EQ(config.socket, "/tmp/s");
  EXPECT_EQ(config.socket_group, "sip");
  ASSERT_TRUE(config.user);
  EXPECT_EQ(config.user->uid, 0u);
  EXPECT_FALSE(config.seccomp);
  EXPECT_EQ(config.cpus, (std::vector<unsigned>{3, 1}));
  EXPECT_EQ(config.worker.idle, Idle::poll);
  EXPECT_EQ(config.memory_mb, 512u);
  EXPECT_FALSE(config.allow_hugepages);
  EXPECT_EQ(config.access.device, "0000:01:00.0");
  EXPECT_EQ(config.access.workers, 2u);
  EXPECT_EQ(config.access.mtu, 1400);
  EXPECT_EQ(config.worker.path.access_mtu, 1400);
  EXPECT_TRUE(config.worker.path.answer_too_big);
  EXPECT_EQ(config.host.mtu, 1450);
  EXPECT_TRUE(config.worker.path.verify_checksums);
  EXPECT_EQ(config.worker.sa_capacity, 1000000u);
  EXPECT_EQ(config.window, 1024);
  EXPECT_FALSE(config.worker.path.check_padding);
  expect_equal(config.worker.path.reassembly, {65536, 9, 100, kMaxDatagramBytes});
  EXPECT_EQ(config.policy.protected_ports.count(), 3u);
  EXPECT_TRUE(config.policy.protected_ports[5070] && config.policy.protected_ports[6000] &&
              config.policy.protected_ports[6001]);
  EXPECT_EQ(config.policy.protected_port_hold_s, 0u);
  ASSERT_EQ(config.policy.own_prefixes.size(), 2u);
  EXPECT_EQ(config.policy.own_prefixes[0].bits, 120);
  EXPECT_TRUE(config.policy.own_prefixes[1].contains(*parse_address("2001:db8::1")));
  ASSERT_EQ(config.policy.rules.size(), 1u);
  const PolicyRule& rule = config.policy.rules[0];
  EXPECT_TRUE(rule.in && !rule.out && !rule.pass);
  ASSERT_EQ(rule.local_ports.size(), 2u);
  EXPECT_EQ(rule.local_ports[0].last, 2);
  ASSERT_EQ(rule.remote_ports.size(), 1u);
  EXPECT_EQ(rule.remote_ports[0].first, 65535);
}

// Unfinished checksums come from af_packet only (DESIGN 3), so `auto` looks at them only there.
TEST(Config, ChecksumsAreVerifiedByDefaultOnlyBehindAfPacket) {
  EXPECT_FALSE(read_text(kLeast).worker.path.verify_checksums);
  EXPECT_TRUE(read_text("role = 'ue'\n[access]\ndevice = 'net_null0'\n"
                        "[host]\ndevice = 'net_af_packet0,iface=h'\n")
                  .worker.path.verify_checksums);
  EXPECT_FALSE(read_text("role = 'ue'\n[access]\ndevice = 'net_null0'\n"
                         "[host]\ndevice = 'net_af_packet0,iface=h'\nverify_checksums = 'no'\n")
                   .worker.path.verify_checksums);
}

// NICs and virtio judge checksums for nothing; a TAP's driver sums them like us, so only where
// asked.
TEST(Config, TheHostsDeviceIsAskedForChecksumsWhereThatIsFree) {
  struct {
    const char* host;
    bool asked;
  } const rows[] = {
      {"device = '0000:01:00.0'\n", true},
      {"device = 'net_vhost0,iface=/tmp/s'\n", false},
      {"device = '0000:01:00.0'\nverify_checksums = 'no'\n", false},
      {"device = 'net_tap0,iface=gm0'\n", false},
      {"device = 'net_tap0,iface=gm0'\nverify_checksums = 'yes'\n", true},
  };
  for (const auto& row : rows) {
    const Config config =
        read_text(std::string("role = 'ue'\n[access]\ndevice = 'net_null0'\n[host]\n") + row.host);
    EXPECT_EQ(config.host.transport_checksums, row.asked) << row.host;
    EXPECT_FALSE(config.access.transport_checksums) << "ESP has none that a device could see";
  }
}

TEST(Config, AMissingOrWrongFirstNecessityIsNamed) {
  const std::string devices = kLeast.substr(kLeast.find('\n') + 1);
  const std::string device_forms =
      "expected a PCI address (\"0000:01:00.0\") or a DPDK virtual device "
      "(\"net_tap0,iface=gm0\")";
  const RefusedText rows[] = {
      {devices, "1:1: key 'role': missing, expected \"pcscf\" or \"ue\""},
      {"role = 'scscf'\n" + devices, "1:8: key 'role': expected \"pcscf\" or \"ue\""},
      {"role = 1\n" + devices, "1:8: key 'role': expected \"pcscf\" or \"ue\""},
      {"role = 'ue'\n[access]\ndevice = 'net_null0'\n",
       "1:1: key 'host.device': missing, " + device_forms},
      {"role = 'ue'\n[host]\ndevice = 'net_null0'\n",
       "1:1: key 'access.device': missing, " + device_forms},
      {"role = 'ue'\n[access]\nmtu = 1500\n[host]\ndevice = 'net_null0'\n",
       "2:1: key 'access.device': missing, " + device_forms},
      {"role = 'ue'\n[access]\ndevice = 'eth0'\n", "3:10: key 'access.device': " + device_forms},
      {"role = 'ue'\n[access]\ndevice = '01:00.0'\n", "3:10: key 'access.device': " + device_forms},
      {"role = 'ue'\n[access]\ndevice = 'net null0'\n",
       "3:10: key 'access.device': " + device_forms},
      {"role = 'ue'\n[access]\ndevice = ''\n", "3:10: key 'access.device': " + device_forms},
      {"role = 'ue'\naccess = 3\n", "2:10: key 'access': expected a table: [access]"},
      {"role = 'ue'\n[access]\ndevice = \"net_null0\\u0000,x=1\"\n",
       "3:10: key 'access.device': expected a text without the character \\u0000"},
      {"role = 'ue'\n[access]\ndevice = 'net_null0'\nmtu = 575\n",
       "4:7: key 'access.mtu': expected a whole number 576..9600"},
      {"role = 'ue'\n[access]\ndevice = 'net_null0'\nmtu = 9601\n",
       "4:7: key 'access.mtu': expected a whole number 576..9600"},
      {"role = 'ue'\n[access]\ndevice = 'net_null0'\nmtu = 1500.0\n",
       "4:7: key 'access.mtu': expected a whole number 576..9600"},
      {"role = 'ue'\n[access]\ndevice = 'net_null0'\nspeed = 1\n",
       "4:1: key 'access.speed': unknown, expected one of device, mtu, oversize"},
      {"role = 'ue'\n[access]\ndevice = 'net_null0'\noversize = 'drop'\n",
       "4:12: key 'access.oversize': expected \"fragment\" or \"too-big\""},
      {"role = 'ue'\n[access]\ndevice = 'net_null0'\n[host]\ndevice = 'net_null0,size=9'\n",
       "5:10: key 'host.device': expected another device than [access] has; virtual ones differ in "
       "their number"},
      {"role = 'ue'\n[access]\ndevice = '0000:AB:00.0'\n[host]\ndevice = '0000:ab:00.0,x=1'\n",
       "5:10: key 'host.device': expected another device than [access] has; virtual ones differ in "
       "their number"},
      {"role = 'ue'\n[access]\ndevice = 'net_af_packet0,iface=a'\n"
       "[host]\ndevice = 'net_tap0,iface=a'\n",
       "5:10: key 'host.device': expected another interface (iface=) than [access] has"},
  };
  for (const RefusedText& row : rows) EXPECT_EQ(refusal_of(row.text), row.expected) << row.text;
}

std::string numbers_below(unsigned end) {
  std::string list = "0";
  for (unsigned i = 1; i < end; ++i) list += ", " + std::to_string(i);
  return list;
}

TEST(Config, EveryWrongValueIsNamedWithItsPlace) {
  const std::string cpus =
      "key 'workers.cpus': expected a list of different CPU numbers 0..1023, one worker each: "
      "[2, 3]";
  const RefusedText rows[] = {
      {"mtu = 0\n", "6:7: key 'host.mtu': expected a whole number 576..9600"},
      {"verify_checksums = true\n",
       "6:20: key 'host.verify_checksums': expected \"auto\", \"yes\" or \"no\""},
      {"[control]\nsocket = 7\n", "7:10: key 'control.socket': expected a text in quotes"},
      {"[control]\nsocket = ''\n", "7:10: key 'control.socket': expected a path of 1..107 bytes"},
      {"[control]\nsocket = '" + std::string(108, 's') + "'\n",
       "7:10: key 'control.socket': expected a path of 1..107 bytes"},
      {"[control]\nsocket = \"/run/a\\u0000b\"\n",
       "7:10: key 'control.socket': expected a text without the character \\u0000"},
      {"[control]\ngroup = \"\\u0000\"\n",
       "7:9: key 'control.group': expected a text without the character \\u0000"},
      {"[control]\ngroup = []\n", "7:9: key 'control.group': expected a text in quotes"},
      {"[control]\nport = 1\n",
       "7:1: key 'control.port': unknown, expected one of socket, group, "
       "user, seccomp"},
      {"[control]\nuser = 'no-such-user'\n",
       "7:8: key 'control.user': expected a user of this machine (useradd -r NAME makes one)"},
      {"[control]\nseccomp = 'no'\n", "7:11: key 'control.seccomp': expected true or false"},
      {"[workers]\ncpus = []\n", "7:8: " + cpus},
      {"[workers]\ncpus = 2\n", "7:8: " + cpus},
      {"[workers]\ncpus = '0-3'\n", "7:8: " + cpus},
      {"[workers]\ncpus = [0, '1']\n", "7:12: " + cpus},
      {"[workers]\ncpus = [1, 2, 1]\n", "7:15: " + cpus},
      {"[workers]\ncpus = [-1]\n", "7:9: " + cpus},
      {"[workers]\ncpus = [1024]\n", "7:9: " + cpus},
      {"[workers]\ncpus = [" + numbers_below(65) + "]\n",
       "7:8: key 'workers.cpus': expected at most 64 CPUs"},
      {"[workers]\nidle = 'sleep'\n", "7:8: key 'workers.idle': expected \"poll\" or \"adaptive\""},
      {"[workers]\nmemory_mb = -1\n",
       "7:13: key 'workers.memory_mb': expected a whole number 0..1048576"},
      {"[workers]\nhugepages = 'always'\n",
       "7:13: key 'workers.hugepages': expected \"auto\" or \"never\""},
      {"[workers]\ncores = [0]\n",
       "7:1: key 'workers.cores': unknown, expected one of cpus, idle, memory_mb, hugepages"},
      {"[sa]\ncapacity = 0\n", "7:12: key 'sa.capacity': expected a whole number 1..16777216"},
      {"[sa]\nwindow = 31\n", "7:10: key 'sa.window': expected a whole number 32..1024"},
      {"[sa]\nwindow = 1025\n", "7:10: key 'sa.window': expected a whole number 32..1024"},
      {"[sa]\npadding = 'lax'\n", "7:11: key 'sa.padding': expected \"strict\" or \"ignore\""},
      {"[sa]\nspi = 1\n", "7:1: key 'sa.spi': unknown, expected one of capacity, window, padding"},
      {"[log]\nlevel = 1\n",
       "6:2: key 'log': unknown, expected one of role, control, workers, access, host, sa, "
       "fragments, policy, audit, "
       "ims"},
      {"[fragments]\nheld = 127\n",
       "7:8: key 'fragments.held': expected a whole number 128..65536"},
      {"[fragments]\nheld = 200\nper_source = 201\n",
       "8:14: key 'fragments.per_source': expected a whole number 2..200"},
      {"[fragments]\ntimeout_ms = 99\n",
       "7:14: key 'fragments.timeout_ms': expected a whole number 100..60000"},
      {"[fragments]\nmax_datagram = 1499\n",
       "7:16: key 'fragments.max_datagram': expected a whole number 1500..65330"},
      {"[fragments]\nmax_datagram = 65331\n",
       "7:16: key 'fragments.max_datagram': expected a whole number 1500..65330"},
      {"[fragments]\nmax = 1\n",
       "7:1: key 'fragments.max': unknown, expected one of held, per_source, timeout_ms, "
       "max_datagram"},
      {"[[sa]]\nwindow = 64\n", "6:1: key 'sa': expected a table: [sa]"},
  };
  for (const RefusedText& row : rows) EXPECT_EQ(refusal_of(kLeast + row.text), row.expected);
}

TEST(Config, EveryWrongPolicyIsNamedWithItsPlace) {
  const std::string ports =
      "expected a list of ports 1..65535, numbers or ranges \"A-B\": [5060, \"6000-6010\"]";
  const std::string prefixes =
      "key 'policy.own_prefixes': expected a list of prefixes: [\"192.0.2.0/24\", \"2001:db8::1\"]";
  const std::string udp = "[[policy.rule]]\nname = 'a'\nmatch = 'udp'\n";
  const RefusedText rows[] = {
      {"[policy]\nprotected_ports = []\n", "7:19: key 'policy.protected_ports': " + ports},
      {"[policy]\nprotected_ports = 5062\n", "7:19: key 'policy.protected_ports': " + ports},
      {"[policy]\nprotected_ports = [0]\n", "7:20: key 'policy.protected_ports': " + ports},
      {"[policy]\nprotected_ports = [65536]\n", "7:20: key 'policy.protected_ports': " + ports},
      {"[policy]\nprotected_ports = [1, '9-8']\n", "7:23: key 'policy.protected_ports': " + ports},
      {"[policy]\nprotected_ports = ['8-']\n", "7:20: key 'policy.protected_ports': " + ports},
      {"[policy]\nprotected_ports = ['8 - 9']\n", "7:20: key 'policy.protected_ports': " + ports},
      {"[policy]\nprotected_ports = ['-9']\n", "7:20: key 'policy.protected_ports': " + ports},
      {"[policy]\nprotected_port_hold_s = 86401\n",
       "7:25: key 'policy.protected_port_hold_s': expected a whole number 0..86400"},
      {"[policy]\nown_prefixes = '10.0.0.0/8'\n", "7:16: " + prefixes},
      {"[policy]\nown_prefixes = ['10.0.0.0/33']\n", "7:17: " + prefixes},
      {"[policy]\nown_prefixes = ['::1', 10]\n", "7:24: " + prefixes},
      {"[policy]\nown_prefixes = ['sip.example']\n", "7:17: " + prefixes},
      {"[policy]\nrules = []\n",
       "7:1: key 'policy.rules': unknown, expected one of protected_ports, protected_port_hold_s, "
       "own_prefixes, reachable, rule"},
      {"[policy]\nrule = [1]\n", "7:9: key 'policy.rule': expected tables: [[policy.rule]]"},
      {"[policy.rule]\nname = 'a'\n", "6:1: key 'policy.rule': expected tables: [[policy.rule]]"},
      {"[[policy.rule]]\nmatch = 'arp'\n",
       "6:1: key 'policy.rule.name': missing, expected a text in quotes"},
      {"[[policy.rule]]\nname = 'a'\n",
       "6:1: key 'policy.rule.match': missing, expected \"arp\", \"nd\", \"nd-router\", "
       "\"icmp-echo\", \"icmp-error\", \"icmp\", \"udp\", \"tcp\", \"ip\" or \"any\""},
      {"[[policy.rule]]\nname = 'a'\nmatch = 'esp'\n",
       "8:9: key 'policy.rule.match': expected \"arp\", \"nd\", \"nd-router\", \"icmp-echo\", "
       "\"icmp-error\", \"icmp\", \"udp\", \"tcp\", \"ip\" or \"any\""},
      {udp + "direction = 'up'\n",
       "9:13: key 'policy.rule.direction': expected \"in\", \"out\" or \"both\""},
      {udp + "action = 'reject'\n",
       "9:10: key 'policy.rule.action': expected \"pass\" or \"drop\""},
      {udp + "remote_ports = [true]\n", "9:17: key 'policy.rule.remote_ports': " + ports},
      {udp + "port = 5060\n",
       "9:1: key 'policy.rule.port': unknown, expected one of name, match, direction, local, "
       "remote, local_ports, remote_ports, action, rate, rate_per_source"},
      {"[[policy.rule]]\nname = 'a'\nmatch = 'icmp'\nlocal_ports = [1]\n",
       "9:15: key 'policy.rule.local_ports': expected no ports with match = \"icmp\": only udp and "
       "tcp have them"},
      {"[[policy.rule]]\nname = 'a'\nmatch = 'any'\nremote_ports = [1]\n",
       "9:16: key 'policy.rule.remote_ports': expected no ports with match = \"any\": only udp and "
       "tcp have them"},
      {udp + udp, "10:8: key 'policy.rule.name': expected a name that no rule before it has"},
  };
  for (const RefusedText& row : rows) EXPECT_EQ(refusal_of(kLeast + row.text), row.expected);
}

// ESP-21: switched by the administrator, by default as RFC 4303 lists it.
TEST(Config, AuditsWhatTheStandardsNameUnlessToldOtherwise) {
  const auto audit_of = [](const std::string& table) {
    const Config config = read_text(kLeast + table);
    EXPECT_EQ(config.worker.audit.reasons, config.audit.setting().reasons);
    EXPECT_EQ(config.worker.audit.per_second, config.audit.per_second);
    return config.audit;
  };
  EXPECT_TRUE(audit_of("").enabled);
  EXPECT_EQ(audit_of("").per_second, 10u);
  EXPECT_EQ(audit_of("").setting().reasons, kAuditableReasons);
  EXPECT_FALSE(audit_of("").log);
  EXPECT_EQ(audit_of("[audit]\nenabled = false\n").setting().reasons, 0u);
  const AuditConfig all =
      audit_of("[audit]\nlog = true\nper_second = 7\nreasons = ['runt', 'replayed']\n");
  EXPECT_EQ(all.setting().reasons, audit_bits({Drop::runt, Drop::replayed}));
  EXPECT_EQ(all.setting().per_second, 7u);
  EXPECT_TRUE(all.log);
  EXPECT_EQ(audit_of("[audit]\nreasons = []\n").setting().reasons, 0u);
}

TEST(Config, EveryWrongValueOfAuditIsNamedWithItsPlace) {
  const std::string reasons =
      "a list of drop reasons, as `gmespctl drops` names them: [\"unknown_spi\"]";
  const RefusedText rows[] = {
      {"[audit]\nenabled = 'yes'\n", "7:11: key 'audit.enabled': expected true or false"},
      {"[audit]\nper_second = 0\n",
       "7:14: key 'audit.per_second': expected a whole number 1..10000"},
      {"[audit]\nreasons = 'runt'\n", "7:11: key 'audit.reasons': expected " + reasons},
      {"[audit]\nreasons = ['runt', 'rnt']\n", "7:20: key 'audit.reasons': expected " + reasons},
      {"[audit]\nreasons = [1]\n", "7:12: key 'audit.reasons': expected " + reasons},
      {"[audit]\nreasons = ['runt', 'shared_buffer']\n",
       "7:20: key 'audit.reasons': expected a reason of which there are records: a port drops and "
       "counts \"shared_buffer\" before anything reads the packet"},
      {"[audit]\nrate = 1\n",
       "7:1: key 'audit.rate': unknown, expected one of enabled, per_second, reasons, log"},
  };
  for (const RefusedText& row : rows) EXPECT_EQ(refusal_of(kLeast + row.text), row.expected);
}

// A reason is either recorded when it is asked for, or refused.
TEST(Config, EveryReasonThatIsEverToldMayBeAudited) {
  for (const DropInfo& info : kDropInfo) {
    const std::string text = kLeast + "[audit]\nreasons = ['" + std::string(info.name) + "']\n";
    if ((audit_bit(info.drop) & kNeverTold) != 0) {
      EXPECT_TRUE(refusal_of(text).starts_with("7:12: key 'audit.reasons': ")) << info.name;
    } else {
      EXPECT_EQ(read_text(text).audit.setting().reasons, audit_bit(info.drop)) << info.name;
    }
  }
}

TEST(Config, WhatIsNoTomlIsRefusedAtItsPlace) {
  EXPECT_TRUE(refusal_of("role = pcscf\n").starts_with("1:8: expected TOML: "));
  EXPECT_TRUE(refusal_of("role = 'ue'\nrole = 'ue'\n").starts_with("2:"));
  EXPECT_TRUE(refusal_of(std::string("\x7f"
                                     "ELF\0\0\0",
                                     7))
                  .starts_with("1:1: expected TOML: "));
}

TEST(Config, AFileThatIsNotThereIsNamed) {
  try {
    read_config("/nonexistent/gmespd.toml");
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with("/nonexistent/gmespd.toml: "))
        << error.what();
  }
}

}  // namespace
}  // namespace gmesp
