// SPDX-License-Identifier: BSD-3-Clause
#include "control/control_thread.h"

#include <sched.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "control/listener.h"
#include "control/refusal.h"

namespace gmesp {
namespace {

constexpr uint64_t kStopTag = 0;
constexpr uint64_t kReloadTag = 1;
static_assert(kReloadTag < ControlSocket::kFirstTag &&
                  ControlSocket::kFirstTag < RingServer::kTagBit,
              "tags tell descriptors apart");

// Unasked events wait for no answer: they are looked for so often when nothing else happens.
constexpr int kTickMs = 10;
// A worker that polls answers within microseconds. One that sleeps, or shares our CPU, needs us to
// step aside: first yield, then sleep.
constexpr unsigned kRoundsOfSpinning = 200;
constexpr unsigned kRoundsOfYielding = 200;

// All that can be ready at once: a round knows of everybody who waits.
constexpr size_t kMostReady = ControlSocket::kMaxConnections + RingServer::kMaxRings + 3;

FileDescriptor new_epoll() {
  FileDescriptor epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) throw std::runtime_error(std::string("epoll: ") + std::strerror(errno));
  return epoll;
}

std::chrono::milliseconds monotonic() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace

ControlThread::ControlThread(const ControlConfig& config, const EngineInfo& info,
                             const Policy& policy, const Steering& steering, KeyStore& keys,
                             const std::vector<WorkerChannel*>& channels)
    : epoll_(new_epoll()),
      event_log_(config.audit.log),
      workers_(channels),
      sas_(config.sa, policy, steering, keys, workers_),
      registrar_(config.registrar, sas_, monotonic),
      rings_(epoll_.get(), registrar_, policy.role),
      audit_(config.audit, config.tsc_hz, workers_),
      policy_(workers_, policy, config.origin),
      commands_({info, keys, workers_, sas_, registrar_, rings_, audit_, policy_}),
      socket_(listen_on(config.socket, config.group, config.owner), config.socket, epoll_.get(),
              commands_, events_),
      reported_(workers_.counters()) {
  events_.listen([this](const Event& event) { event_log_.write(event); });
  events_.listen([this](const Event& event) {
    const AssumeRole role(control_thread);
    if (const auto* of_set = std::get_if<SetEvent>(&event.what)) rings_.on_event(*of_set);
  });
  socket_.on_ring([this](ClientSocket socket) {
    const AssumeRole role(control_thread);
    rings_.adopt(std::move(socket));
  });
  sas_.on_use([this](const SaUseNotice& notice) {
    const AssumeRole role(control_thread);
    events_.post({monotonic().count(), notice});
  });
  audit_.on_notice([this](const AuditNotice& notice) {
    const AssumeRole role(control_thread);
    events_.post({monotonic().count(), notice});
  });
  registrar_.on_event([this](const SetEvent& event) {
    const AssumeRole role(control_thread);
    events_.post({event.when_ms, event});
  });
}

void ControlThread::watch(int fd, uint64_t tag) {
  epoll_event event{EPOLLIN, {}};
  event.data.u64 = tag;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

void ControlThread::run(int stop_fd, int reload_fd) {
  watch(stop_fd, kStopTag);
  reload_fd_ = reload_fd;
  if (reload_fd != -1) watch(reload_fd, kReloadTag);
  int timeout_ms = kTickMs;
  while (!stopping_) {
    if (timeout_ms > 0 && !rings_.ready_to_wait()) timeout_ms = 0;
    bool progress = serve_clients(timeout_ms);
    rings_.awake();
    progress |= workers_.poll();
    const bool more_is_due = registrar_.tick();
    progress |= rings_.poll();  // last: events of this round ring its bells
    timeout_ms = more_is_due || socket_.somebody_waits() ? 0 : patience(progress);
    housekeep();
    socket_.send_events();
  }
}

// True when a client had something for us.
bool ControlThread::serve_clients(int timeout_ms) {
  epoll_event events[kMostReady];
  const int count = epoll_wait(epoll_.get(), events, std::size(events), timeout_ms);
  for (int i = 0; i < count; ++i) {
    if (events[i].data.u64 == kStopTag) {
      stopping_ = true;
    } else if (events[i].data.u64 == kReloadTag) {
      reload_policy();
    } else if ((events[i].data.u64 & RingServer::kTagBit) != 0) {
      rings_.on_ready(events[i].data.u64, events[i].events);
    } else {
      socket_.on_ready(events[i].data.u64, events[i].events);
    }
  }
  return socket_.serve_waiting() || count > 0;
}

void ControlThread::reload_policy() {
  signalfd_siginfo signal{};
  if (read(reload_fd_, &signal, sizeof signal) != sizeof signal) return;
  try {
    policy_.reload(
        [this] { spdlog::info("SIGHUP: {} rules in use", policy_.in_use().rules.size()); });
  } catch (const Refused& refused) {
    spdlog::error("SIGHUP: the policy in use stays: {}", refused.what());
  }
}

// How long the next round may wait for clients.
int ControlThread::patience(bool progress) {
  if (!workers_.waiting()) {
    rounds_without_progress_ = 0;
    return kTickMs;
  }
  rounds_without_progress_ = progress ? 0 : rounds_without_progress_ + 1;
  if (rounds_without_progress_ < kRoundsOfSpinning) return 0;
  if (rounds_without_progress_ < kRoundsOfSpinning + kRoundsOfYielding) {
    sched_yield();
    return 0;
  }
  return 1;
}

void ControlThread::housekeep() {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_housekeeping_ < std::chrono::seconds(1)) return;
  last_housekeeping_ = now;
  socket_.disconnect_stalled(now);
  report_drops();
}

// One event a second for each reason at most: a flood of bad packets is one line, not a million.
void ControlThread::report_drops() {
  const Counters now = workers_.counters();
  for (const DropInfo& info : kDropInfo) {
    const uint64_t more = now[info.drop] - reported_[info.drop];
    if (more != 0) events_.post({monotonic().count(), DropNotice{info.drop, more}});
  }
  reported_ = now;
}

}  // namespace gmesp
