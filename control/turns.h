// SPDX-License-Identifier: BSD-3-Clause
// Whose turn it is among clients that wait to be served: first users in turn, then processes of one
// user, then connections of one process. So a thousand connections get what one gets.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "control/fair_share.h"

namespace gmesp {

class Turns {
 public:
  // A connection that does not wait yet: behind all others of its process.
  void wait(uint64_t connection, const Peer& peer) { waiting_.push_back({connection, peer}); }
  void leave(uint64_t connection);
  // The next one, which does not wait any more; its process, and its user, go to the end.
  std::optional<uint64_t> next();
  bool empty() const { return waiting_.empty(); }

 private:
  struct Waiting {
    uint64_t connection = 0;
    Peer peer;
  };

  // The first of each user tells when it is the user's turn, the first of each process the same.
  std::vector<Waiting> waiting_;
};

}  // namespace gmesp
