// SPDX-License-Identifier: BSD-3-Clause
#include "control/closer.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace gmesp {

struct Closer::Work {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<FileDescriptor> connections;
  bool ended = false;
};

Closer::Closer(int epoll) : epoll_(epoll), work_(std::make_shared<Work>()) {
  std::thread([work = work_] { close_all(*work); }).detach();
}

Closer::~Closer() {
  const std::lock_guard lock(work_->mutex);
  work_->ended = true;
  work_->changed.notify_one();
}

void Closer::take(FileDescriptor connection) {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, connection.get(), nullptr);
  shutdown(connection.get(), SHUT_RDWR);
  const std::lock_guard lock(work_->mutex);
  work_->connections.push_back(std::move(connection));
  work_->changed.notify_one();
}

void Closer::close_all(Work& work) {
  std::unique_lock lock(work.mutex);
  while (true) {
    work.changed.wait(lock, [&] { return work.ended || !work.connections.empty(); });
    if (work.connections.empty()) return;
    std::vector<FileDescriptor> connections = std::exchange(work.connections, {});
    lock.unlock();
    connections.clear();  // here it waits
    lock.lock();
  }
}

}  // namespace gmesp
