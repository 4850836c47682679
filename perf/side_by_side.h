// SPDX-License-Identifier: BSD-3-Clause
// What two workers do to each other: the loads of two workers on a CPU each at the same time, and
// one load alone on one CPU.
#pragma once

#include <cstddef>
#include <vector>

#include "perf/path_load.h"
#include "perf/path_measure.h"

namespace gmesp {

// How often two workers do what one does in the same time; 2 would be perfect.
struct Gain {
  double path = 0;
  double crypto = 0;
  double ratio() const { return path / crypto; }  // 1: all that is lost, the crypto loses too
};

struct Gains {
  Gain in;
  Gain out;
  double share_counted = 0;  // of the rings of two: the other worker was at work all the time
};

// The loads' traffic is set. `rings` rings of each kind; in turns, so that a disturbance meets all.
// The first two CPUs of `cpus` are used. Throws std::runtime_error when the other worker was never
// at work at the same time.
Gains measure_gains(PathLoad& alone, std::vector<PathLoad*> together,
                    const std::vector<unsigned>& cpus, size_t rings);

}  // namespace gmesp
