// SPDX-License-Identifier: BSD-3-Clause
#include "perf/path_measure.h"

#include <algorithm>

namespace gmesp {
Spread spread_of_rings(std::vector<uint64_t>& cycles) {
  std::sort(cycles.begin(), cycles.end());
  const auto at = [&cycles](size_t place) {
    return static_cast<double>(cycles[place]) / static_cast<double>(PathLoad::kRing);
  };
  const size_t rings = cycles.size();
  return {at(0), at(rings / 4), at(rings / 2), at(rings * 3 / 4)};
}

BothWays measure_paths(PathLoad& load, size_t rings) {
  return measure_paths(load, rings, std::chrono::steady_clock::time_point::min());
}

BothWays measure_paths(PathLoad& load, size_t rings, std::chrono::steady_clock::time_point end) {
  Samples crypto, path;
  for (size_t i = 0; i < rings || std::chrono::steady_clock::now() < end; ++i) {
    path.add(load.run_path());
    crypto.add(load.run_crypto());
  }
  return {.in = {.crypto = spread_of_rings(crypto.in), .path = spread_of_rings(path.in)},
          .out = {.crypto = spread_of_rings(crypto.out), .path = spread_of_rings(path.out)}};
}

}  // namespace gmesp
