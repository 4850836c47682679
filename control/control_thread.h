// SPDX-License-Identifier: BSD-3-Clause
// The control thread: one loop over the control socket's clients, the workers' answers and the
// deadlines of registrations. It sleeps in epoll; while a worker owes an answer it looks often,
// then ever less often.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/account.h"
#include "control/audit.h"
#include "control/commands.h"
#include "control/control_socket.h"
#include "control/engine_info.h"
#include "control/event_hub.h"
#include "control/event_log.h"
#include "control/file_descriptor.h"
#include "control/policy_keeper.h"
#include "control/registration/registrar.h"
#include "control/ring_server.h"
#include "control/sa_manager.h"
#include "control/worker_proxies.h"
#include "crypto/key_store.h"
#include "dataplane/command.h"
#include "dataplane/counters.h"
#include "dataplane/policy.h"
#include "dataplane/steering.h"
#include "dataplane/thread_role.h"

namespace gmesp {

struct ControlConfig {
  std::string socket;  // path of the Unix socket
  std::string group;   // that may use it; empty: the group of the process
  SaLimits sa;
  RegistrarConfig registrar{};
  AuditConfig audit{};              // as the workers have begun with
  uint64_t tsc_hz = 1'000'000'000;  // of the workers' clock
  ConfigOrigin origin{};            // for `config reload`
  std::optional<Account> owner{};   // of the socket, when it is to be another than ours
};

class ControlThread {
 public:
  // Everything referred to outlives the object; channels: one per worker, in the order of Steering.
  // Throws std::runtime_error with what mends it when the socket cannot be had.
  ControlThread(const ControlConfig& config, const EngineInfo& info, const Policy& policy,
                const Steering& steering, KeyStore& keys,
                const std::vector<WorkerChannel*>& channels);
  ControlThread(const ControlThread&) = delete;
  ControlThread& operator=(const ControlThread&) = delete;

  // Serves until stop_fd (an eventfd or signalfd of the caller, not read here) is readable.
  // reload_fd: -1, or a signalfd; each of its signals is a `config reload` that answers in the log.
  void run(int stop_fd, int reload_fd = -1) ON(control_thread);

 private:
  void watch(int fd, uint64_t tag);
  bool serve_clients(int timeout_ms) ON(control_thread);
  void reload_policy() ON(control_thread);
  int patience(bool progress) ON(control_thread);
  void housekeep() ON(control_thread);
  void report_drops() ON(control_thread);

  FileDescriptor epoll_;
  EventHub events_;
  EventLog event_log_;
  WorkerProxies workers_;
  SaManager sas_;
  Registrar registrar_;
  RingServer rings_;
  Audit audit_;
  PolicyKeeper policy_;
  Commands commands_;
  ControlSocket socket_;
  Counters reported_;  // drops that events have told
  int reload_fd_ = -1;
  bool stopping_ = false;
  unsigned rounds_without_progress_ = 0;  // while a worker owes an answer
  std::chrono::steady_clock::time_point last_housekeeping_{};
};

}  // namespace gmesp
