// SPDX-License-Identifier: BSD-3-Clause
// From one record of a client to one record of answer: what is asked (control/request.h), who does
// it (control/sa_commands.h, control/telemetry.h), and what comes back when it is refused.
#pragma once

#include <span>

#include "control/engine_info.h"
#include "control/request.h"
#include "control/sa_commands.h"
#include "control/sa_manager.h"
#include "crypto/key_store.h"
#include "dataplane/thread_role.h"

namespace gmesp {

class Commands {
 public:
  Commands(const EngineInfo& info, const KeyStore& keys, SaManager& sas)
      : info_(info), keys_(keys), sas_(sas) {}
  Commands(const Commands&) = delete;
  Commands& operator=(const Commands&) = delete;

  // record: size() <= kMaxRecordBytes, followed by RequestReader::kPadding bytes; wiped on return.
  // reply is called once, at once or from SaManager::poll(), with at most kMaxRecordBytes.
  void handle(std::span<char> record, const Reply& reply) ON(control_thread);

 private:
  void run(const Request& request, const Reply& reply) ON(control_thread);

  const EngineInfo& info_;
  const KeyStore& keys_;
  SaManager& sas_;
  RequestReader reader_;
};

}  // namespace gmesp
