// SPDX-License-Identifier: BSD-3-Clause
// The commands that change registrations: from a request to Registrar, and from its outcome to the
// answer. Those that only ask: ue_queries.h.
#pragma once

#include <string>

#include "control/registration/registrar.h"
#include "control/request.h"
#include "control/sa_commands.h"
#include "control/sa_manager.h"
#include "dataplane/thread_role.h"

namespace gmesp {

// What they work on.
struct Registrations {
  SaManager& sas;
  Registrar& registrar;
};

// All throw Refused on what can be told at once; then `reply` is not called.
std::string ue_register(const Request& request, Registrations on) ON(control_thread);
void ue_challenge(const Request& request, Registrations on, const Reply& reply) ON(control_thread);
std::string ue_response(const Request& request, Registrations on) ON(control_thread);
void ue_ok(const Request& request, Registrar& registrar, const Reply& reply) ON(control_thread);
void ue_fail(const Request& request, Registrar& registrar, const Reply& reply) ON(control_thread);
std::string ue_refresh(const Request& request, Registrar& registrar) ON(control_thread);
void ue_delete(const Request& request, Registrar& registrar, const Reply& reply) ON(control_thread);
void ue_reconcile(const Request& request, Registrar& registrar, const Reply& reply)
    ON(control_thread);
// `sa flush all`: first the sets, then the single SAs.
void flush_all(Registrations on, const Reply& reply) ON(control_thread);

}  // namespace gmesp
