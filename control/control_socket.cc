// SPDX-License-Identifier: BSD-3-Clause
#include "control/control_socket.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string_view>
#include <utility>

#include "control/client/records.h"
#include "control/json_writer.h"
#include "crypto/key_material.h"

namespace gmesp {
namespace {

// Records of one client before others get their turn.
constexpr int kRecordsPerTurn = 32;
constexpr uint32_t kNothing = 0;  // to watch for: the client's end is told all the same

// An empty record and the end both read as 0 bytes.
bool has_hung_up(int fd) {
  pollfd state{fd, POLLRDHUP, 0};
  return poll(&state, 1, 0) == 1;
}

}  // namespace

ControlSocket::ControlSocket(FileDescriptor listener, const std::string& path, int epoll,
                             Commands& commands, EventHub& events)
    : path_(path), epoll_(epoll), commands_(commands), listener_(std::move(listener)) {
  if (!kernel_refuses_descriptors(listener_.get())) closer_ = std::make_shared<Closer>(epoll_);
  struct stat file {};
  if (lstat(path_.c_str(), &file) == 0) {
    device_ = file.st_dev;
    inode_ = file.st_ino;
    owner_ = file.st_uid;
    group_ = file.st_gid;
  }
  keep_one_descriptor();
  epoll_event event{EPOLLIN, {}};
  event.data.u64 = kFirstTag;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_.get(), &event);
  commands_.on_monitor([this](EventKinds kinds) { begin_monitor(kinds); });
  events.listen([this](const Event& happened) { on_event(happened); });
}

// The listener is still open and holds its inode: no other file can have the number.
ControlSocket::~ControlSocket() {
  struct stat file {};
  if (lstat(path_.c_str(), &file) == 0 && file.st_dev == device_ && file.st_ino == inode_) {
    unlink(path_.c_str());
  }
}

void ControlSocket::on_ready(uint64_t tag, uint32_t events) {
  if (tag == kFirstTag) return accept_clients();
  const auto found = connections_.find(tag);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  if ((events & (EPOLLHUP | EPOLLERR)) != 0 &&
      (connection.in_flight || !connection.unsent.empty())) {
    forget(found);  // nobody will read the answer
    return;
  }
  wait_for_turn(tag, connection);
}

void ControlSocket::wait_for_turn(uint64_t tag, Connection& connection) {
  if (std::exchange(connection.waits_for_turn, true)) return;
  turns_.wait(tag, connection.peer);
}

void ControlSocket::forget(Connections::iterator entry) {
  if (entry->second.waits_for_turn) turns_.leave(entry->first);
  connections_.erase(entry);
}

bool ControlSocket::serve_waiting() {
  if (closer_) closer_->hurry();
  const auto end = std::chrono::steady_clock::now() + kRound;
  bool served = false;
  while (const std::optional<uint64_t> tag = turns_.next()) {
    serve(*tag, end);
    served = true;
    if (std::chrono::steady_clock::now() >= end) break;
  }
  return served;
}

void ControlSocket::serve(uint64_t tag, std::chrono::steady_clock::time_point end) {
  const auto found = connections_.find(tag);
  Connection& connection = found->second;
  connection.waits_for_turn = false;
  if (!connection.unsent.empty()) {
    send_answer(connection, std::exchange(connection.unsent, {}));
  }
  send_events(connection);
  serving_ = tag;
  for (int i = 0; i < kRecordsPerTurn; ++i) {
    if (connection.broken || connection.in_flight || !connection.unsent.empty()) break;
    if (!read_record(tag, connection) || std::chrono::steady_clock::now() >= end) break;
  }
  serving_ = kNobody;
  if (connection.broken) {
    forget(found);
  } else if (connection.wants_ring) {
    hand_over(tag);
  } else {
    watch(tag, connection, interest_of(connection));
  }
}

uint32_t ControlSocket::interest_of(const Connection& connection) {
  if (!connection.unsent.empty()) return EPOLLOUT;
  const bool events = connection.monitor && !connection.monitor->empty();
  return (connection.in_flight ? kNothing : EPOLLIN) | (events ? EPOLLOUT : kNothing);
}

bool ControlSocket::read_record(uint64_t tag, Connection& connection) {
  const ssize_t got = connection.fd.receive(record_.data(), kMaxRecordBytes);
  if (got < 0) {
    connection.broken = !would_block() && errno != EINTR;
    return false;
  }
  if (got == 0 && has_hung_up(connection.fd.get())) {
    connection.broken = true;
    return false;
  }
  const auto bytes = static_cast<size_t>(got);
  // Not a command on the engine, and not answered here: the one record that is compared whole.
  if (on_ring_ &&
      std::string_view(record_.data(), std::min(bytes, kMaxRecordBytes)) == client::kRingRequest) {
    connection.wants_ring = true;
    return false;
  }
  connection.in_flight = true;
  if (bytes > kMaxRecordBytes) {
    wipe(record_.data(), record_.size());
    answer(tag, refusal_answer(Refused(Refusal::too_long)));
  } else {
    commands_.handle({record_.data(), bytes},
                     [this, tag](const std::string& text) { answer(tag, text); });
  }
  return true;
}

// Its records are bells from now on.
void ControlSocket::hand_over(uint64_t tag) {
  const auto found = connections_.find(tag);
  ClientSocket fd = std::move(found->second.fd);
  forget(found);
  epoll_ctl(epoll_, EPOLL_CTL_DEL, fd.get(), nullptr);
  on_ring_(std::move(fd));
}

// The client may be gone meanwhile; the command has had its effect all the same.
void ControlSocket::answer(uint64_t tag, const std::string& text) {
  const auto found = connections_.find(tag);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  connection.in_flight = false;
  send_answer(connection, text);
  if (!connection.unsent.empty()) connection.quiet_since = std::chrono::steady_clock::now();
  if (tag != serving_) wait_for_turn(tag, connection);  // else serve() reads on by itself
}

void ControlSocket::send_answer(Connection& connection, const std::string& text) {
  const ssize_t sent =
      send(connection.fd.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) {
    connection.quiet_since = std::chrono::steady_clock::now();
    return;
  }
  if (!would_block()) {
    connection.broken = true;
    return;
  }
  connection.unsent = text;
}

void ControlSocket::watch(uint64_t tag, Connection& connection, uint32_t interest) {
  if (connection.interest == interest) return;
  epoll_event event{interest, {}};
  event.data.u64 = tag;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd.get(), &event);
  connection.interest = interest;
}

}  // namespace gmesp
