// SPDX-License-Identifier: BSD-3-Clause
// The clients of the control socket: who may be one, and who gives up his place to another.
#include <fcntl.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "control/control_socket.h"

namespace gmesp {
namespace {

// New clients before others get theirs.
constexpr int kClientsPerTurn = 64;

bool has_input(int fd) {
  pollfd state{fd, POLLIN, 0};
  return poll(&state, 1, 0) == 1;
}

}  // namespace

void ControlSocket::accept_clients() {
  const auto end = std::chrono::steady_clock::now() + kRound;
  for (int i = 0; i < kClientsPerTurn; ++i) {
    if (i > 0 && std::chrono::steady_clock::now() >= end) return;
    FileDescriptor fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      add_client({std::move(fd), closer_}, connections_.size() < kMaxConnections);
    } else if (would_block()) {
      return;
    } else if (errno == EMFILE || errno == ENFILE) {
      if (!accept_without_descriptors()) return stop_listening();
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return stop_listening();
    }
  }
}

// Whoever has most of what there is gives way, however few that are.
bool ControlSocket::accept_without_descriptors() {
  if (!spare_) return false;
  spare_ = FileDescriptor();
  FileDescriptor fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd) add_client({std::move(fd), closer_}, false);
  keep_one_descriptor();
  return static_cast<bool>(spare_);
}

void ControlSocket::keep_one_descriptor() {
  if (!spare_) spare_ = FileDescriptor(fcntl(listener_.get(), F_DUPFD_CLOEXEC, 0));
}

// For a moment: epoll would report the waiting client again and again.
void ControlSocket::stop_listening() {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, listener_.get(), nullptr);
  listening_ = false;
}

void ControlSocket::add_client(ClientSocket fd, bool there_is_room) {
  const Peer peer = Peer::of(fd.get());
  if (!may_connect(fd.get(), peer)) {
    send_refusal(fd.get(), Refusal::not_permitted);
    spdlog::debug("control client not permitted: pid {} uid {} gid {}", peer.process, peer.user,
                  peer.group);
    return;
  }
  if (!there_is_room && !make_room(peer)) {
    send_refusal(fd.get(), Refusal::too_many_connections);
    spdlog::debug("control client refused, there are {}: pid {} uid {}", connections_.size(),
                  peer.process, peer.user);
    return;
  }
  // Clients make as many of these lines as they like, and a log that is not read blocks its writer.
  spdlog::debug("control client: pid {} uid {} gid {}", peer.process, peer.user, peer.group);
  const uint64_t tag = next_tag_++;
  Connection& connection = connections_[tag];
  connection.fd = std::move(fd);
  connection.peer = peer;
  connection.interest = EPOLLIN;
  connection.quiet_since = std::chrono::steady_clock::now();
  epoll_event event{EPOLLIN, {}};
  event.data.u64 = tag;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd.get(), &event);
}

bool ControlSocket::may_connect(int fd, const Peer& peer) const {
  uid_t owner = owner_;
  gid_t group = group_;
  struct stat file {};
  if (lstat(path_.c_str(), &file) == 0 && file.st_dev == device_ && file.st_ino == inode_) {
    owner = file.st_uid;
    group = file.st_gid;
  }
  if (peer.user == 0 || peer.user == owner || peer.group == group) return true;
  gid_t groups[1024];  // of more than that the first 1024 would not do: then none counts
  socklen_t bytes = sizeof groups;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) != 0) return false;
  const gid_t* const end = groups + bytes / sizeof groups[0];
  return std::find<const gid_t*>(groups, end, group) != end;
}

bool ControlSocket::make_room(const Peer& newcomer) {
  std::vector<Peer> holders;
  for (const auto& [tag, connection] : connections_) holders.push_back(connection.peer);
  uint64_t tag =
      idle_longest([&](const Peer& holder) { return has_more(holders, holder, newcomer); });
  if (tag == kNobody) tag = of_greediest(holders, newcomer);
  if (tag == kNobody) {
    tag = idle_longest([&](const Peer& holder) { return holder.process == newcomer.process; });
  }
  if (tag == kNobody) return false;
  disconnect_for_another(tag);
  return true;
}

bool ControlSocket::make_room_to_monitor(const Peer& newcomer) {
  std::vector<Peer> holders;
  for (const uint64_t tag : monitors_) holders.push_back(connections_.at(tag).peer);
  const std::optional<Peer> giver = who_gives_way(holders, newcomer);
  const auto newest = std::find_if(monitors_.rbegin(), monitors_.rend(), [&](uint64_t tag) {
    const Peer& peer = connections_.at(tag).peer;
    return giver && peer.user == giver->user && peer.process == giver->process;
  });
  if (newest == monitors_.rend()) return false;
  disconnect_for_another(*newest);
  monitors_.erase(std::next(newest).base());
  return true;
}

void ControlSocket::disconnect_for_another(uint64_t tag) {
  const auto leaves = connections_.find(tag);
  send_refusal(leaves->second.fd.get(), Refusal::too_many_connections);
  spdlog::debug("control client disconnected, another needs its place: pid {} uid {}",
                leaves->second.peer.process, leaves->second.peer.user);
  forget(leaves);
}

template <typename Counts>
uint64_t ControlSocket::idle_longest(Counts&& counts) const {
  auto quiet_since = std::chrono::steady_clock::now() - kIdle;
  uint64_t longest = kNobody;
  for (const auto& [tag, connection] : connections_) {
    if (connection.waits()) continue;
    if (connection.quiet_since >= quiet_since) continue;
    if (!counts(connection.peer)) continue;
    if (has_input(connection.fd.get())) continue;  // a command that waits for its turn
    quiet_since = connection.quiet_since;
    longest = tag;
  }
  return longest;
}

uint64_t ControlSocket::of_greediest(std::span<const Peer> holders, const Peer& newcomer) const {
  const std::optional<Peer> giver = who_gives_way(holders, newcomer);
  uint64_t longest = kNobody;
  std::pair least{true, std::chrono::steady_clock::time_point::max()};
  for (const auto& [tag, connection] : connections_) {
    if (!giver || connection.peer.user != giver->user ||
        connection.peer.process != giver->process) {
      continue;
    }
    const std::pair loses{connection.waits(), connection.quiet_since};
    if (loses >= least) continue;
    least = loses;
    longest = tag;
  }
  return longest;
}

void ControlSocket::disconnect_stalled(std::chrono::steady_clock::time_point now) {
  for (auto next = connections_.begin(); next != connections_.end();) {
    const auto entry = next++;
    const Connection& connection = entry->second;
    if (!connection.unsent.empty() && now - connection.quiet_since >= kPatience) {
      spdlog::debug("control client disconnected: it does not read its answers");
      forget(entry);
    }
  }
  keep_one_descriptor();
  if (!listening_) {
    epoll_event event{EPOLLIN, {}};
    event.data.u64 = kFirstTag;
    listening_ = epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_.get(), &event) == 0;
  }
}

}  // namespace gmesp
