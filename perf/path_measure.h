// SPDX-License-Identifier: BSD-3-Clause
// What one kind of traffic costs through the two paths and what its crypto alone costs, measured in
// turns so that whatever disturbs the machine meets both.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "perf/path_load.h"

namespace gmesp {

// TSC cycles of many rings.
struct Samples {
  std::vector<uint64_t> in;
  std::vector<uint64_t> out;

  void add(const PathLoad::Cycles& cycles) {
    in.push_back(cycles.in);
    out.push_back(cycles.out);
  }
};

// TSC cycles a packet, over the rings measured. On a machine with other work many rings are
// interrupted, so the first quartile stands for the undisturbed cost.
struct Spread {
  double least = 0;
  double quartile = 0;  // a quarter of the rings took less
  double median = 0;
  double third_quartile = 0;
};

// Of the cycles of rings; at least one. Their order is lost.
Spread spread_of_rings(std::vector<uint64_t>& cycles);

struct PathFigures {
  Spread crypto;
  Spread path;
  double ratio() const { return crypto.quartile / path.quartile; }  // 1: the engine costs nothing
};

struct BothWays {
  PathFigures in;
  PathFigures out;
};

// The load's traffic is set. `rings` rings of PathLoad::kRing packets through each.
BothWays measure_paths(PathLoad& load, size_t rings);
// At least `rings`, and then until `end`.
BothWays measure_paths(PathLoad& load, size_t rings, std::chrono::steady_clock::time_point end);

}  // namespace gmesp
