// SPDX-License-Identifier: BSD-3-Clause
#include "control/control_socket.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "control/client/records.h"
#include "control/json_writer.h"
#include "control/listener.h"
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

bool has_input(int fd) {
  pollfd state{fd, POLLIN, 0};
  return poll(&state, 1, 0) == 1;
}

// The client's commands that have no answer are not run: this answers them.
void turn_away(int fd) {
  const std::string text = refusal_answer(Refused(Refusal::too_many_connections));
  send(fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

ControlSocket::ControlSocket(const std::string& path, const std::string& group, int epoll,
                             Commands& commands, EventHub& events)
    : path_(path), epoll_(epoll), commands_(commands), listener_(listen_on(path, group)) {
  struct stat file {};
  if (lstat(path_.c_str(), &file) == 0) {
    device_ = file.st_dev;
    inode_ = file.st_ino;
  }
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
    connections_.erase(found);  // nobody will read the answer
    return;
  }
  if ((events & EPOLLOUT) != 0) {
    if (!connection.unsent.empty()) {
      send_answer(connection, std::exchange(connection.unsent, {}));
    }
    send_events(connection);
  }
  serve(tag);
}

void ControlSocket::accept_clients() {
  while (true) {
    FileDescriptor fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      add_client(std::move(fd));
    } else if (would_block()) {
      return;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      // Out of descriptors: epoll would report the waiting client again and again.
      epoll_ctl(epoll_, EPOLL_CTL_DEL, listener_.get(), nullptr);
      listening_ = false;
      return;
    }
  }
}

void ControlSocket::add_client(FileDescriptor fd) {
  ucred peer{};
  socklen_t length = sizeof peer;
  getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length);
  if (connections_.size() == kMaxConnections && !make_room()) {
    turn_away(fd.get());
    spdlog::debug("control client refused, there are {}: pid {} uid {}", kMaxConnections, peer.pid,
                  peer.uid);
    return;
  }
  // Clients make as many of these lines as they like, and a log that is not read blocks its writer.
  spdlog::debug("control client: pid {} uid {} gid {}", peer.pid, peer.uid, peer.gid);
  const uint64_t tag = next_tag_++;
  Connection& connection = connections_[tag];
  connection.fd = std::move(fd);
  connection.interest = EPOLLIN;
  connection.quiet_since = std::chrono::steady_clock::now();
  epoll_event event{EPOLLIN, {}};
  event.data.u64 = tag;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd.get(), &event);
}

bool ControlSocket::make_room() {
  const auto idle_before = std::chrono::steady_clock::now() - kIdle;
  auto longest = connections_.end();
  for (auto entry = connections_.begin(); entry != connections_.end(); ++entry) {
    const Connection& connection = entry->second;
    if (connection.in_flight || !connection.unsent.empty() || connection.monitor) continue;
    if (connection.quiet_since > idle_before) continue;
    if (longest != connections_.end() && longest->second.quiet_since <= connection.quiet_since) {
      continue;
    }
    if (has_input(connection.fd.get())) continue;  // a command that waits for its turn
    longest = entry;
  }
  if (longest == connections_.end()) return false;
  turn_away(longest->second.fd.get());
  spdlog::debug("control client disconnected: it was idle longest, and another needs its place");
  connections_.erase(longest);
  return true;
}

void ControlSocket::serve(uint64_t tag) {
  const auto found = connections_.find(tag);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  serving_ = tag;
  for (int i = 0; i < kRecordsPerTurn; ++i) {
    if (connection.broken || connection.in_flight || !connection.unsent.empty()) break;
    if (!read_record(tag, connection)) break;
  }
  serving_ = kNobody;
  if (connection.broken) {
    connections_.erase(found);
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
  const ssize_t got = recv(connection.fd.get(), record_.data(), kMaxRecordBytes, MSG_TRUNC);
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
  FileDescriptor fd = std::move(found->second.fd);
  connections_.erase(found);
  epoll_ctl(epoll_, EPOLL_CTL_DEL, fd.get(), nullptr);
  on_ring_(std::move(fd));
}

bool ControlSocket::serve_answered() {
  const std::vector<uint64_t> tags = std::exchange(answered_, {});
  for (const uint64_t tag : tags) serve(tag);
  return !tags.empty();
}

// The client may be gone meanwhile; the command has had its effect all the same.
void ControlSocket::answer(uint64_t tag, const std::string& text) {
  const auto found = connections_.find(tag);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  connection.in_flight = false;
  send_answer(connection, text);
  if (!connection.unsent.empty()) connection.quiet_since = std::chrono::steady_clock::now();
  if (tag != serving_) answered_.push_back(tag);  // else serve() reads on by itself
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

void ControlSocket::disconnect_stalled(std::chrono::steady_clock::time_point now) {
  for (auto next = connections_.begin(); next != connections_.end();) {
    const auto entry = next++;
    const Connection& connection = entry->second;
    if (!connection.unsent.empty() && now - connection.quiet_since >= kPatience) {
      spdlog::debug("control client disconnected: it does not read its answers");
      connections_.erase(entry);
    }
  }
  if (!listening_) {
    epoll_event event{EPOLLIN, {}};
    event.data.u64 = kFirstTag;
    listening_ = epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_.get(), &event) == 0;
  }
}

void ControlSocket::watch(uint64_t tag, Connection& connection, uint32_t interest) {
  if (connection.interest == interest) return;
  epoll_event event{interest, {}};
  event.data.u64 = tag;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd.get(), &event);
  connection.interest = interest;
}

}  // namespace gmesp
