// SPDX-License-Identifier: BSD-3-Clause
// What an SA takes in memory: counted from the structures, and weighed in a process that installs
// so many.
#pragma once

#include <cstddef>

#include "crypto/algorithm.h"

namespace gmesp {

struct SaMemory {
  size_t tables = 0;   // of its worker: hot line, counters, its share of the look-up table
  size_t keys = 0;     // its slot, and the place of the slot's number when it is free again
  size_t control = 0;  // the control thread's line, look-up table and list of free places
  size_t total() const { return tables + keys + control; }
};
// With a replay window of up to 64; longer ones have ReplayWindow::outside_words() besides.
SaMemory sa_memory(Suite suite);

// By how much a child of this process grows, divided by the SAs: 0 to `sas` SAs of this suite, half
// of them outbound, capacity for just so many, everything else of the engine but DPDK included. No
// threads yet. Throws std::runtime_error when the child fails.
double measured_bytes_per_sa(Suite suite, size_t sas);

}  // namespace gmesp
