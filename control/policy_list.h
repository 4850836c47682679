// SPDX-License-Identifier: BSD-3-Clause
// `policy list`: what is asked of every packet in clear, in order, and how often it decided.
#pragma once

#include <string>

#include "control/policy_keeper.h"
#include "control/worker_proxies.h"
#include "dataplane/thread_role.h"

namespace gmesp {

std::string policy_list(const WorkerProxies& workers, const PolicyKeeper& policy);
// To `config reload`, when it is done.
std::string reload_answer(const PolicyKeeper& policy);

}  // namespace gmesp
