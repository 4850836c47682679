// SPDX-License-Identifier: BSD-3-Clause
#include "control/rule_order.h"

#include <algorithm>
#include <vector>

namespace gmesp {
namespace {

bool has_direction(const PolicyRule& rule, Direction direction) {
  return direction == Direction::in ? rule.in : rule.out;
}

// Several ranges may cover one together.
bool covers(const std::vector<PortRange>& wide, PortRange range) {
  uint32_t next = range.first;
  for (bool found = true; found && next <= range.last;) {
    found = false;
    for (const PortRange& part : wide) {
      if (part.first > next || next > part.last) continue;
      next = part.last + 1u;
      found = true;
    }
  }
  return next > range.last;
}

bool covers(const std::vector<Prefix>& wide, const Prefix& prefix) {
  return any_contains(wide, prefix);
}

template <typename Element>
bool covers_all(const std::vector<Element>& wide, const std::vector<Element>& narrow) {
  if (wide.empty() || narrow.empty()) return wide.empty();  // an empty list is everything
  return std::ranges::all_of(narrow,
                             [&wide](const Element& element) { return covers(wide, element); });
}

}  // namespace

bool covers(const PolicyRule& earlier, const PolicyRule& rule, Direction direction) {
  return has_direction(earlier, direction) && covers(earlier.match, rule.match) &&
         covers_all(earlier.local_ports, rule.local_ports) &&
         covers_all(earlier.remote_ports, rule.remote_ports) &&
         covers_all(earlier.local, rule.local) && covers_all(earlier.remote, rule.remote);
}

bool same_packets(const PolicyRule& a, const PolicyRule& b) {
  if (a.in != b.in || a.out != b.out) return false;
  const Direction direction = a.in ? Direction::in : Direction::out;
  return covers(a, b, direction) && covers(b, a, direction);
}

std::optional<size_t> first_cover(std::span<const PolicyRule> earlier, const PolicyRule& rule,
                                  Direction direction) {
  for (size_t i = 0; i < earlier.size(); ++i) {
    if (covers(earlier[i], rule, direction)) return i;
  }
  return std::nullopt;
}

}  // namespace gmesp
