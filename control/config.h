// SPDX-License-Identifier: BSD-3-Clause
// gmespd.toml as plain data. tools/gmespd.toml documents every key; this reads and judges them. A
// file is taken whole or not at all: the first thing wrong in it ends the reading.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "control/account.h"
#include "control/audit.h"
#include "control/config_notes.h"
#include "control/registration/registrar_config.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/policy.h"
#include "dataplane/worker.h"

namespace gmesp {

struct Config {
  std::string socket;
  std::string socket_group;     // empty: the group of the process
  std::optional<Account> user;  // whom to serve as; none: whoever started
  bool seccomp = true;
  std::vector<unsigned> cpus;
  size_t memory_mb = 0;  // 0: computed
  bool allow_hugepages = true;
  DeviceConfig access;
  DeviceConfig host;
  WorkerConfig worker;  // of every worker; its number is main's to give
  uint16_t window = 64;
  Policy policy;
  AuditConfig audit;    // of which worker.audit is what workers begin with
  RegistrarConfig ims;  // all but its capacity
  std::string file;     // where this was read, absolute; empty: nowhere
  ConfigNotes notes;
};

// "FILE:LINE:COLUMN: key 'x': expected ..."
class ConfigError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// By a gmespd that serves, the names of users are not looked up: they stay as they were, and who is
// asked about them (NSS) may take its time, or need system calls that are gone by then.
enum class Reading : uint8_t { at_start, again };

// Throws ConfigError.
Config read_config(const std::string& path, Reading reading = Reading::at_start);

// Keys that a running engine takes again (`config reload`); the last is every rule's.
inline constexpr std::array<std::string_view, 3> kReloadableKeys = {
    "policy.own_prefixes", "policy.reachable", "policy.rule"};
// The first other key that the file says differently than when the engine was started. Values are
// compared as they are written: [5062, 5063] differs from ["5062-5063"].
std::optional<std::string> key_that_needs_restart(const ConfigNotes& running,
                                                  const ConfigNotes& file);

}  // namespace gmesp
