// SPDX-License-Identifier: BSD-3-Clause
// The words for a set and its events on the command line, in JSON and in the log.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "control/registration/sa_set.h"
#include "control/sa_text.h"

namespace gmesp {

inline std::string to_string(SetHandle handle) { return to_hex(static_cast<uint64_t>(handle)); }

inline constexpr SetState kSetStates[] = {SetState::offered, SetState::temporary,
                                          SetState::established, SetState::old};

inline std::optional<SetState> parse_set_state(std::string_view text) {
  for (const SetState state : kSetStates) {
    if (text == name(state)) return state;
  }
  return std::nullopt;
}

inline std::optional<SelectorRule> parse_selector_rule(std::string_view text) {
  for (const SelectorRule rule : {SelectorRule::strict, SelectorRule::ports_of_set}) {
    if (text == name(rule)) return rule;
  }
  return std::nullopt;
}

}  // namespace gmesp
