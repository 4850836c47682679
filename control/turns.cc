// SPDX-License-Identifier: BSD-3-Clause
#include "control/turns.h"

#include <algorithm>

namespace gmesp {

void Turns::leave(uint64_t connection) {
  std::erase_if(waiting_, [&](const Waiting& other) { return other.connection == connection; });
}

std::optional<uint64_t> Turns::next() {
  if (waiting_.empty()) return std::nullopt;
  const Waiting served = waiting_.front();
  waiting_.erase(waiting_.begin());
  const auto of_user = std::stable_partition(
      waiting_.begin(), waiting_.end(),
      [&](const Waiting& other) { return other.peer.user != served.peer.user; });
  std::stable_partition(of_user, waiting_.end(), [&](const Waiting& other) {
    return other.peer.process != served.peer.process;
  });
  return served.connection;
}

}  // namespace gmesp
