// SPDX-License-Identifier: BSD-3-Clause
// Answers about registrations, and events, for people. All throw BadAnswer.
#pragma once

#include <string>

#include "control/command_rules.h"
#include "tools/gmespctl_session.h"
#include "tools/gmespctl_table.h"

namespace gmesp {

// To `ue ...` and `monitor`.
std::string readable_ue(Command command, const Json& json, const Session::Page& page);
// One line for one event.
std::string readable_event(const std::string& record);

}  // namespace gmesp
