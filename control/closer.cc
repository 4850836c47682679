// SPDX-License-Identifier: BSD-3-Clause
#include "control/closer.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace gmesp {
namespace {

// Nobody else here uses it, and it ends no process that has no handler.
constexpr int kHurry = SIGURG;

void let_hurry_end_waits() {
  struct sigaction nothing {};
  nothing.sa_handler = [](int) {};
  nothing.sa_flags = SA_RESTART;
  sigaction(kHurry, &nothing, nullptr);
}

// Of a connection that is shut down, so that nothing more comes. What is in front of them is
// dropped: nobody waits for that. Every record brings credentials, which tells one of no bytes from
// the end, and whatever there is no room for behind them is descriptors, which stay where they are.
bool has_descriptors(int socket) {
  const int on = 1;
  setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  while (true) {
    alignas(cmsghdr) char credentials[CMSG_SPACE(sizeof(ucred))];
    msghdr record{};
    record.msg_control = credentials;
    record.msg_controllen = sizeof credentials;
    if (recvmsg(socket, &record, MSG_PEEK | MSG_DONTWAIT) < 0) {
      if (errno == ECONNRESET || errno == EINTR) continue;  // a reset is told once
      return !would_block();                                // who knows
    }
    if ((record.msg_flags & MSG_CTRUNC) != 0) return true;
    if (record.msg_controllen == 0) return false;
    recv(socket, nullptr, 0, MSG_DONTWAIT);
  }
}

}  // namespace

struct Closer::Work {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<FileDescriptor> connections;
  bool closing = false;
  bool ended = false;
  pthread_t thread{};
};

Closer::Closer(int epoll) : epoll_(epoll), work_(std::make_shared<Work>()) {
  let_hurry_end_waits();
  std::thread thread([work = work_] { close_all(*work); });
  work_->thread = thread.native_handle();
  thread.detach();
}

Closer::~Closer() {
  hurry();
  const std::lock_guard lock(work_->mutex);
  work_->ended = true;
  work_->changed.notify_one();
}

void Closer::take(FileDescriptor connection) {
  shutdown(connection.get(), SHUT_RDWR);
  if (!has_descriptors(connection.get())) return;
  epoll_ctl(epoll_, EPOLL_CTL_DEL, connection.get(), nullptr);
  const std::lock_guard lock(work_->mutex);
  work_->connections.push_back(std::move(connection));
  work_->changed.notify_one();
}

// A signal that comes before the wait is lost: the next one is not.
void Closer::hurry() {
  const std::lock_guard lock(work_->mutex);
  if (work_->closing) pthread_kill(work_->thread, kHurry);
}

void Closer::close_all(Work& work) {
  sigset_t hurry;
  sigemptyset(&hurry);
  sigaddset(&hurry, kHurry);
  pthread_sigmask(SIG_UNBLOCK, &hurry, nullptr);
  std::unique_lock lock(work.mutex);
  while (true) {
    work.changed.wait(lock, [&] { return work.ended || !work.connections.empty(); });
    if (work.connections.empty()) return;
    std::vector<FileDescriptor> connections = std::exchange(work.connections, {});
    work.closing = true;
    lock.unlock();
    connections.clear();  // here it waits
    lock.lock();
    work.closing = false;
  }
}

}  // namespace gmesp
