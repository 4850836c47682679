// SPDX-License-Identifier: BSD-3-Clause
// The commands on SAs: from a request to SaManager, and from its outcome to the answer.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "control/json_writer.h"
#include "control/request.h"
#include "control/sa_manager.h"
#include "dataplane/thread_role.h"

namespace gmesp {

// Takes the answer; called exactly once, at once or later.
using Reply = std::function<void(std::string)>;

// All throw Refused on what can be told at once; then `reply` is not called.
void sa_add(const Request& request, SaManager& sas, const Reply& reply) ON(control_thread);
void sa_delete(const Request& request, SaManager& sas, const Reply& reply) ON(control_thread);
void sa_show(const Request& request, SaManager& sas, const Reply& reply) ON(control_thread);
void sa_flush(SaManager& sas, const Reply& reply) ON(control_thread);
std::string sa_list(const Request& request, const SaManager& sas);
std::string sa_count(const SaManager& sas);

// Rows of a page of any list.
inline constexpr uint64_t kDefaultPage = 100;
inline constexpr uint64_t kMaxPage = 1000;
// What an SA has done, as its worker says it.
void write_traffic(JsonWriter& json, const SaStatus& status);

}  // namespace gmesp
