// SPDX-License-Identifier: BSD-3-Clause
// The commands that ask about registrations, and what other answers say of a set in the same words.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "control/json_writer.h"
#include "control/registration/registrar.h"
#include "control/request.h"
#include "control/sa_commands.h"
#include "control/ue_commands.h"
#include "dataplane/thread_role.h"

namespace gmesp {

// All throw Refused on what can be told at once; then `reply` is not called.
std::string ue_check(const Request& request, const Registrar& registrar) ON(control_thread);
std::string ue_list(const Request& request, const Registrar& registrar) ON(control_thread);
void ue_show(const Request& request, Registrations on, const Reply& reply) ON(control_thread);
std::string ue_count(const Registrar& registrar) ON(control_thread);

// Nothing while it is not known.
void write_suite(JsonWriter& json, std::optional<Suite> suite);
// INT-58 and PRS-11: what the S-CSCF is to hear of a REGISTER that came over an SA.
void write_protection(JsonWriter& json, bool encrypted);
size_t count_of_sets(const Registrar& registrar);
void write_set_counts(JsonWriter& json, const Registrar& registrar);

}  // namespace gmesp
