// SPDX-License-Identifier: BSD-3-Clause
// One command of a ring: judged as a whole, then done by the Registrar.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "control/client/records.h"
#include "control/refusal.h"
#include "control/registration/registrar.h"
#include "dataplane/thread_role.h"

namespace gmesp {

// True: answer is filled. False: `done` or `reconciled` has been called or will be, once.
// record: copied out of the ring, so that nobody changes it any more; its bytes may be anything.
// events: the kinds that the client has asked for. Throws Refused and has changed nothing then.
bool run_ring_command(const client::CommandRecord& record, Registrar& registrar, uint32_t& events,
                      Registrar::Done done, Registrar::Reconciled reconciled,
                      client::AnswerRecord& answer) ON(control_thread);

// The answer to a command that was refused.
void refuse(Refusal refusal, client::AnswerRecord& answer);

}  // namespace gmesp
