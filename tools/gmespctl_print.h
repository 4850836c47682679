// SPDX-License-Identifier: BSD-3-Clause
// Answers for people: a table where there are rows, a line where there is one fact.
#pragma once

#include <string>

#include "control/command_rules.h"
#include "tools/gmespctl_session.h"
#include "tools/gmespctl_table.h"

namespace gmesp {

// The sentence of a refusal; empty when the answer is none. Throws BadAnswer.
std::string refusal_of(const std::string& answer);

// Throws BadAnswer.
std::string readable(Command command, const std::string& answer, const Session::Page& page);

}  // namespace gmesp
