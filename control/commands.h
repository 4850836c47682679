// SPDX-License-Identifier: BSD-3-Clause
// From one record of a client to one record of answer: what is asked (control/request.h), who does
// it (control/sa_commands.h, control/ue_commands.h, control/telemetry.h), and what comes back when
// it is refused.
#pragma once

#include <functional>
#include <span>
#include <utility>

#include "control/command_context.h"
#include "control/event_hub.h"
#include "control/request.h"
#include "control/sa_commands.h"
#include "dataplane/thread_role.h"

namespace gmesp {

class Commands {
 public:
  explicit Commands(const CommandContext& context) : context_(context) {}
  Commands(const Commands&) = delete;
  Commands& operator=(const Commands&) = delete;

  // record: size() <= kMaxRecordBytes, followed by RequestReader::kPadding bytes; wiped on return.
  // reply is called once, at once or later (WorkerProxies::poll(), Registrar::tick(), or another
  // client's command), with at most kMaxRecordBytes.
  void handle(std::span<char> record, const Reply& reply) ON(control_thread);

  // Called within handle(): the client whose record that is wants events. May throw Refused.
  using MonitorHandler = std::function<void(EventKinds)>;
  void on_monitor(MonitorHandler handler) { on_monitor_ = std::move(handler); }

 private:
  void run(const Request& request, const Reply& reply) ON(control_thread);
  std::string monitor(const Request& request);

  const CommandContext context_;
  MonitorHandler on_monitor_;
  RequestReader reader_;
};

}  // namespace gmesp
