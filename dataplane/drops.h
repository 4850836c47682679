// SPDX-License-Identifier: BSD-3-Clause
// Where a worker tells of the packets it drops: every one is counted; of those whose reason is
// audited (RFC 4303 4) a sample goes to the control thread.
#pragma once

#include "dataplane/counters.h"

namespace gmesp {

struct Packet;

class Drops {
 public:
  explicit Drops(Counters& worker) : counters(worker) {}

  // The packet is still as the stage left it that dropped it.
  void tell(const Packet&, Drop reason) { counters.count(reason); }

  Counters& counters;
};

}  // namespace gmesp
