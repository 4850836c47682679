// SPDX-License-Identifier: BSD-3-Clause
#include "control/worker_proxy.h"

namespace gmesp {

bool WorkerProxy::send(const SaCommand& command) {
  // Not more than kCommands on their way there, at the worker and on their way back: so every
  // answer finds room in the event ring, and the worker never waits for us.
  if (unanswered_ == WorkerChannel::kCommands || !channel_.commands.push(command)) {
    ++times_full_;
    return false;
  }
  ++unanswered_;
  return true;
}

}  // namespace gmesp
