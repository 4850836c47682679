// SPDX-License-Identifier: BSD-3-Clause
// The commands of auditing.
#pragma once

#include <string>

#include "control/audit.h"
#include "control/sa_commands.h"
#include "control/worker_proxies.h"
#include "dataplane/thread_role.h"

namespace gmesp {

void turn_audit(bool on, Audit& audit, const Reply& reply) ON(control_thread);
std::string audit_status(const Audit& audit, const WorkerProxies& workers);

}  // namespace gmesp
