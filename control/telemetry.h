// SPDX-License-Identifier: BSD-3-Clause
// Answers about the engine as a whole: what it is, what it counted, what it dropped. Read from the
// workers' counter snapshots; no worker is asked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "control/audit.h"
#include "control/command_context.h"
#include "control/engine_info.h"
#include "control/worker_proxies.h"
#include "dataplane/thread_role.h"

namespace gmesp {

class JsonWriter;

std::string status_answer(const CommandContext& context) ON(control_thread);
// core: the CPU of one worker; nothing: all. Throws Refused.
std::string stats_answer(const EngineInfo& info, const WorkerProxies& workers,
                         std::optional<uint64_t> core);
// {"enabled": ..., "recorded": ..., ...}: also a part of `status`.
void write_audit(JsonWriter& json, const Audit& audit, const WorkerProxies& workers);
std::string drops_answer(const WorkerProxies& workers, bool explain);

}  // namespace gmesp
