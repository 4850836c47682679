// SPDX-License-Identifier: BSD-3-Clause
// What the order of rules means: the first that matches decides, so a rule behind one that matches
// everything it would is dead.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "crypto/direction.h"
#include "dataplane/policy.h"

namespace gmesp {

// Every packet of this direction that `rule` matches is matched by `earlier`.
bool covers(const PolicyRule& earlier, const PolicyRule& rule, Direction direction);
// Both match the same packets.
bool same_packets(const PolicyRule& a, const PolicyRule& b);
// The first of these rules that covers `rule` in this direction. Several that do so only together
// are not found.
std::optional<size_t> first_cover(std::span<const PolicyRule> earlier, const PolicyRule& rule,
                                  Direction direction);

}  // namespace gmesp
