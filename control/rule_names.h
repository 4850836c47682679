// SPDX-License-Identifier: BSD-3-Clause
// What a rule is called in the configuration and in answers.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include "dataplane/policy.h"

namespace gmesp {

inline constexpr std::array<std::string_view, 3> kDirectionNames = {"in", "out", "both"};
inline constexpr std::array<std::string_view, 2> kActionNames = {"pass", "drop"};

// The names of Match that a rule may say, in the order of kMatches.
inline constexpr std::array<std::string_view, 10> kMatchNames = {
    "arp", "nd", "nd-router", "icmp-echo", "icmp-error", "icmp", "udp", "tcp", "ip", "any"};
inline constexpr std::array<Match, 10> kMatches = {
    Match::arp,  Match::nd,  Match::nd_router, Match::icmp_echo, Match::icmp_error,
    Match::icmp, Match::udp, Match::tcp,       Match::ip,        Match::any};

inline std::string_view match_name(Match match) {
  const auto found = std::find(kMatches.begin(), kMatches.end(), match);
  return kMatchNames[static_cast<size_t>(found - kMatches.begin())];
}
inline std::string_view direction_name(const PolicyRule& rule) {
  return kDirectionNames[rule.in && rule.out ? 2 : !rule.in];
}

}  // namespace gmesp
