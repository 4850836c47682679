// SPDX-License-Identifier: BSD-3-Clause
#include "control/fair_share.h"

#include <sys/stat.h>

#include <algorithm>

#include "control/file_descriptor.h"

namespace gmesp {
namespace {

// Of those in `holders` that `counts`, one whose like (the same `key`) are most; how many they are.
template <typename Key, typename Counts>
std::pair<const Peer*, ptrdiff_t> largest(std::span<const Peer> holders, Key key, Counts counts) {
  std::pair<const Peer*, ptrdiff_t> most{nullptr, 0};
  for (const Peer& holder : holders) {
    if (!counts(holder)) continue;
    const ptrdiff_t count = std::count_if(holders.begin(), holders.end(), [&](const Peer& other) {
      return counts(other) && other.*key == holder.*key;
    });
    if (count > most.second) most = {&holder, count};
  }
  return most;
}

// Of Linux 6.5, and of no header yet.
constexpr int kPeerPidFd = 77;

// A process of another PID namespace has no number here, but a descriptor, and, from Linux 6.9 on,
// an inode of its own; before, one is everybody's.
uint64_t process_elsewhere(int socket) {
  int descriptor = -1;
  socklen_t bytes = sizeof descriptor;
  if (getsockopt(socket, SOL_SOCKET, kPeerPidFd, &descriptor, &bytes) != 0) return 0;
  const FileDescriptor process(descriptor);
  struct stat file {};
  if (fstat(process.get(), &file) != 0) return 0;
  return Peer::kElsewhere | file.st_ino;
}

}  // namespace

Peer Peer::of(int socket) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return {};
  const uint64_t process =
      peer.pid > 0 ? static_cast<uint64_t>(peer.pid) : process_elsewhere(socket);
  return {process, peer.uid, peer.gid};
}

bool has_more(std::span<const Peer> holders, const Peer& holder, const Peer& newcomer) {
  const auto count = [&](const Peer& peer, auto key) {
    return std::count_if(holders.begin(), holders.end(),
                         [&](const Peer& other) { return other.*key == peer.*key; });
  };
  if (holder.user != newcomer.user) {
    return count(holder, &Peer::user) > count(newcomer, &Peer::user);
  }
  return count(holder, &Peer::process) > count(newcomer, &Peer::process);
}

std::optional<Peer> who_gives_way(std::span<const Peer> holders, const Peer& newcomer) {
  const auto everybody = [](const Peer&) { return true; };
  const auto [user, of_user] = largest(holders, &Peer::user, everybody);
  if (user == nullptr) return std::nullopt;
  const uid_t richest = user->user;
  const auto count = [&](auto&& is_like) {
    return std::count_if(holders.begin(), holders.end(), is_like);
  };
  const auto own = count([&](const Peer& other) { return other.user == newcomer.user; });
  const bool from_another = of_user > own + 1;
  const uid_t giver = from_another ? richest : newcomer.user;
  const auto [process, of_process] =
      largest(holders, &Peer::process, [&](const Peer& other) { return other.user == giver; });
  if (process == nullptr) return std::nullopt;
  if (from_another) return *process;
  const auto own_process = count([&](const Peer& other) {
    return other.user == newcomer.user && other.process == newcomer.process;
  });
  if (of_process > own_process + 1) return *process;
  return std::nullopt;
}

size_t FairParts::part(size_t whole, const Peer& peer) const {
  const auto& processes = members_.at(peer.user);
  return whole / members_.size() / processes.size() / processes.at(peer.process);
}

}  // namespace gmesp
