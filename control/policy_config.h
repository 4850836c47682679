// SPDX-License-Identifier: BSD-3-Clause
// [policy] of gmespd.toml.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "control/config_table.h"
#include "dataplane/policy.h"

namespace gmesp {

// Throws ConfigError.
void read_policy(ConfigTable table, Policy& policy);

// What bounds the answer to `policy list` to one record: of all rules, of own_prefixes and
// reachable.
inline constexpr size_t kMaxPrefixes = 256;
inline constexpr size_t kMaxPortRanges = 512;
inline constexpr size_t kMaxRuleNameBytes = 64;

}  // namespace gmesp
