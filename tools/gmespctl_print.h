// SPDX-License-Identifier: BSD-3-Clause
// Answers for people: a table where there are rows, a line where there is one fact.
#pragma once

#include <string>

#include "control/command_rules.h"

namespace gmesp {

// The sentence of a refusal; empty when the answer is none. Throws std::runtime_error when the
// answer is not a JSON object.
std::string refusal_of(const std::string& answer);

// first_page: with the head of the table.
std::string readable(Command command, const std::string& answer, bool first_page);

}  // namespace gmesp
