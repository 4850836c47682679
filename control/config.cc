// SPDX-License-Identifier: BSD-3-Clause
#include "control/config.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "control/command_rules.h"
#include "control/config_table.h"
#include "control/ims_config.h"
#include "control/policy_config.h"
#include "dataplane/dpdk/device_string.h"
#include "dataplane/steering.h"

namespace gmesp {
namespace {

constexpr int64_t kMaxCpu = 1023;
constexpr size_t kMaxSocketPathBytes = 107;  // sun_path and its end (unix(7))
constexpr std::array<std::string_view, 2> kPollAdaptive = {"poll", "adaptive"};
constexpr std::array<std::string_view, 2> kAutoNever = {"auto", "never"};
constexpr std::array<std::string_view, 3> kAutoYesNo = {"auto", "yes", "no"};
constexpr std::array<std::string_view, 2> kFragmentTooBig = {"fragment", "too-big"};
constexpr std::array<std::string_view, 2> kStrictIgnore = {"strict", "ignore"};

void read_control(ConfigTable table, Reading reading, Config& config) {
  config.socket = table.text("socket", std::string(kDefaultSocket));
  if (config.socket.empty() || config.socket.size() > kMaxSocketPathBytes) {
    table.refuse("socket", "a path of 1.." + std::to_string(kMaxSocketPathBytes) + " bytes");
  }
  config.socket_group = table.text("group", "");
  const std::string user = table.text("user", "");
  if (!user.empty() && reading == Reading::at_start) {
    config.user = find_account(user);
    if (!config.user) table.refuse("user", "a user of this machine (useradd -r NAME makes one)");
  }
  config.seccomp = table.flag("seccomp", true);
  table.refuse_unknown_keys();
}

std::vector<unsigned> read_cpus(ConfigTable& table) {
  const std::string expected =
      "a list of different CPU numbers 0.." + std::to_string(kMaxCpu) + ", one worker each: [2, 3]";
  std::vector<unsigned> cpus;
  for (const toml::node* node : table.array("cpus", expected)) {
    const auto cpu = node->value_exact<int64_t>();
    if (!cpu || *cpu < 0 || *cpu > kMaxCpu ||
        std::find(cpus.begin(), cpus.end(), static_cast<unsigned>(*cpu)) != cpus.end()) {
      table.refuse("cpus", expected, *node);
    }
    cpus.push_back(static_cast<unsigned>(*cpu));
  }
  if (!table.has("cpus")) return {0};
  if (cpus.empty()) table.refuse("cpus", expected);
  if (cpus.size() > Steering::kMaxWorkers) {
    table.refuse("cpus", "at most " + std::to_string(Steering::kMaxWorkers) + " CPUs");
  }
  return cpus;
}

void read_workers(ConfigTable table, Config& config) {
  config.cpus = read_cpus(table);
  config.worker.idle = table.choice("idle", 1, kPollAdaptive) == 0 ? Idle::poll : Idle::adaptive;
  config.memory_mb = static_cast<size_t>(table.number("memory_mb", 0, 0, 1 << 20));
  config.allow_hugepages = table.choice("hugepages", 0, kAutoNever) == 0;
  table.refuse_unknown_keys();
}

bool is_pci_address(std::string_view text) {
  constexpr std::string_view kForm = "xxxx:xx:xx.x";
  if (text.size() != kForm.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool digit = std::isxdigit(static_cast<unsigned char>(text[i])) != 0;
    if (kForm[i] == 'x' ? !digit : text[i] != kForm[i]) return false;
  }
  return true;
}

bool is_device(std::string_view name) {
  if (is_pci_address(name)) return true;
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789_";
  return (name.starts_with("net_") || name.starts_with("virtio_user")) &&
         name.find_first_not_of(kLetters) == std::string_view::npos;
}

DeviceConfig read_device(ConfigTable& table, const std::string& name, size_t workers) {
  constexpr std::string_view kExpected =
      "a PCI address (\"0000:01:00.0\") or a DPDK virtual device (\"net_tap0,iface=gm0\")";
  DeviceConfig device;
  device.name = name;
  device.device = table.required_text("device", kExpected);
  if (!is_device(DeviceString(device.device).name())) table.refuse("device", kExpected);
  // 576: what every IPv4 host must take (RFC 791 3.1).
  device.mtu = static_cast<uint16_t>(table.number("mtu", 1500, 576, 9600));
  device.workers = workers;
  return device;
}

void read_ports(ConfigTable access, ConfigTable host, Config& config) {
  config.access = read_device(access, "access", config.cpus.size());
  config.worker.path.answer_too_big = access.choice("oversize", 0, kFragmentTooBig) == 1;
  access.refuse_unknown_keys();
  config.host = read_device(host, "host", config.cpus.size());
  const size_t verify = host.choice("verify_checksums", 0, kAutoYesNo);
  host.refuse_unknown_keys();

  const DeviceString one(config.access.device);
  const DeviceString other(config.host.device);
  if (one.name() == other.name()) {
    host.refuse("device", "another device than [access] has; virtual ones differ in their number");
  }
  if (one.argument("iface") && one.argument("iface") == other.argument("iface")) {
    host.refuse("device", "another interface (iface=) than [access] has");
  }
  config.worker.path.access_mtu = config.access.mtu;
  config.worker.path.host_mtu = config.host.mtu;
  config.worker.path.verify_checksums = verify == 1 || (verify == 0 && other.is_af_packet());
  // NICs judge checksums for nothing; a TAP's driver sums like us, only where we would have to.
  config.host.transport_checksums = verify == 1 || (verify == 0 && other.is_pci());
}

void read_sa(ConfigTable table, Config& config) {
  config.worker.sa_capacity =
      static_cast<size_t>(table.number("capacity", 65536, 1, int64_t{1} << 24));
  config.window = static_cast<uint16_t>(
      table.number("window", 64, ReplayWindow::kMinSize, ReplayWindow::kMaxSize));
  config.worker.path.check_padding = table.choice("padding", 0, kStrictIgnore) == 0;
  table.refuse_unknown_keys();
}

void read_fragments(ConfigTable table, ReassemblyConfig& reassembly) {
  reassembly.fragments = static_cast<uint32_t>(
      table.number("held", reassembly.fragments, 2 * Reassembler::kMaxPieces, 65536));
  reassembly.per_source = static_cast<uint32_t>(
      table.number("per_source", reassembly.per_source, 2, reassembly.fragments));
  reassembly.timeout_ms =
      static_cast<uint32_t>(table.number("timeout_ms", reassembly.timeout_ms, 100, 60'000));
  // RFC 8200 5: what every host must take.
  reassembly.max_datagram_bytes = static_cast<uint16_t>(
      table.number("max_datagram", reassembly.max_datagram_bytes, 1500, kMaxDatagramBytes));
  table.refuse_unknown_keys();
}

uint64_t read_reasons(ConfigTable& table) {
  constexpr std::string_view kExpected =
      "a list of drop reasons, as `gmespctl drops` names them: [\"unknown_spi\"]";
  if (!table.has("reasons")) {
    table.array("reasons", kExpected);
    return kAuditableReasons;
  }
  uint64_t reasons = 0;
  for (const toml::node* node : table.array("reasons", kExpected)) {
    const auto name = node->value_exact<std::string_view>();
    const auto info = std::find_if(kDropInfo.begin(), kDropInfo.end(), [&](const DropInfo& known) {
      return name && known.name == *name;
    });
    if (info == kDropInfo.end()) table.refuse("reasons", kExpected, *node);
    if ((audit_bit(info->drop) & kNeverTold) != 0) {
      table.refuse("reasons",
                   "a reason of which there are records: a port drops and counts \"" +
                       std::string(info->name) + "\" before anything reads the packet",
                   *node);
    }
    reasons |= audit_bit(info->drop);
  }
  return reasons;
}

void read_audit(ConfigTable table, Config& config) {
  constexpr int64_t kMostPerSecond = 10000;
  config.audit.enabled = table.flag("enabled", true);
  config.audit.per_second =
      static_cast<uint32_t>(table.number("per_second", 10, 1, kMostPerSecond));
  config.audit.reasons = read_reasons(table);
  config.audit.log = table.flag("log", false);
  table.refuse_unknown_keys();
  config.worker.audit = config.audit.setting();
}

// What the parser does not tell: a file that root could read at the start may be closed to the user
// that gmespd has become since.
std::string why_unreadable(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  const int error = errno;
  if (file >= 0) {
    close(file);
    return "cannot be read";
  }
  const std::string why = "cannot be read: " + std::generic_category().message(error);
  if (error != EACCES) return why;
  return why + " for the user that gmespd runs as (uid " + std::to_string(geteuid()) + ")";
}

toml::table parse(const std::string& path) {
  try {
    return toml::parse_file(path);
  } catch (const toml::parse_error& error) {
    const toml::source_position at = error.source().begin;
    if (at.line == 0) throw ConfigError(path + ": " + why_unreadable(path));
    throw ConfigError(path + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) +
                      ": expected TOML: " + std::string(error.description()));
  }
}

bool is_reloadable(const std::string& key) {
  return std::any_of(kReloadableKeys.begin(), kReloadableKeys.end(),
                     [&key](std::string_view name) { return key.starts_with(name); });
}

}  // namespace

Config read_config(const std::string& path, Reading reading) {
  const toml::table root = parse(path);
  Config config;
  ConfigTable file(path, "", root, config.notes);
  config.policy.role = static_cast<Role>(file.required_choice("role", kRoleNames));
  read_control(file.table("control"), reading, config);
  read_workers(file.table("workers"), config);
  ConfigTable access = file.table("access");
  ConfigTable host = file.table("host");
  read_sa(file.table("sa"), config);
  read_fragments(file.table("fragments"), config.worker.path.reassembly);
  read_policy(file.table("policy"), config.policy);
  read_audit(file.table("audit"), config);
  config.ims = read_ims(file.table("ims"), config.policy);
  file.refuse_unknown_keys();
  read_ports(access, host, config);
  config.file = std::filesystem::absolute(path);
  return config;
}

std::optional<std::string> key_that_needs_restart(const ConfigNotes& running,
                                                  const ConfigNotes& file) {
  for (const auto& [key, value] : running.settings) {
    const auto now = file.settings.find(key);
    if (!is_reloadable(key) && now != file.settings.end() && now->second != value) return key;
  }
  return std::nullopt;
}

}  // namespace gmesp
