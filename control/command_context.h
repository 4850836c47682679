// SPDX-License-Identifier: BSD-3-Clause
// What commands read and change. Everything outlives them.
#pragma once

#include "control/audit.h"
#include "control/engine_info.h"
#include "control/policy_keeper.h"
#include "control/registration/registrar.h"
#include "control/ring_server.h"
#include "control/sa_manager.h"
#include "control/worker_proxies.h"
#include "crypto/key_store.h"

namespace gmesp {

struct CommandContext {
  const EngineInfo& info;
  const KeyStore& keys;
  const WorkerProxies& workers;
  SaManager& sas;
  Registrar& registrar;
  const RingServer& rings;
  Audit& audit;
  PolicyKeeper& policy;
};

}  // namespace gmesp
