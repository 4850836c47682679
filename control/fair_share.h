// SPDX-License-Identifier: BSD-3-Clause
// Who gives up a place when all are taken and another client comes: first users, then processes of
// one user, get as many as they ask for until the largest has no more than one over the smallest.
// So neither a process that connects without end nor a user with a thousand processes keeps
// anybody else out.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>

namespace gmesp {

// As the kernel says it of a connection (SO_PEERCRED).
struct Peer {
  // Its number; in a PID namespace that ours does not see, what kElsewhere marks, or 0 for all
  // where the kernel has nothing that tells them apart: then users alone share.
  uint64_t process = 0;
  uid_t user = static_cast<uid_t>(-1);
  gid_t group = static_cast<gid_t>(-1);

  static constexpr uint64_t kElsewhere = uint64_t{1} << 63;
  static Peer of(int socket);
};

// The process that a place is taken from; none: the newcomer has its share.
std::optional<Peer> who_gives_way(std::span<const Peer> holders, const Peer& newcomer);

// Whether `holder`, one of `holders`, is of a user (of one user, a process) that has more places
// than the newcomer's.
bool has_more(std::span<const Peer> holders, const Peer& holder, const Peer& newcomer);

// What is shared out as places are: equal parts for users, of a user's for his processes, of a
// process's for those that were added of it.
class FairParts {
 public:
  void add(const Peer& peer) { ++members_[peer.user][peer.process]; }
  // Of `whole`, rounded down, for one that was added.
  size_t part(size_t whole, const Peer& peer) const;

 private:
  std::map<uid_t, std::map<uint64_t, size_t>> members_;
};

}  // namespace gmesp
