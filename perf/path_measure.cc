// SPDX-License-Identifier: BSD-3-Clause
#include "perf/path_measure.h"

#include <algorithm>
#include <cstdint>

namespace gmesp {
namespace {

struct Samples {
  std::vector<uint64_t> in;
  std::vector<uint64_t> out;

  void add(const PathLoad::Cycles& cycles) {
    in.push_back(cycles.in);
    out.push_back(cycles.out);
  }
};

double per_packet_at(std::vector<uint64_t>& cycles, size_t place) {
  const auto nth = cycles.begin() + static_cast<std::ptrdiff_t>(place);
  std::nth_element(cycles.begin(), nth, cycles.end());
  return static_cast<double>(*nth) / static_cast<double>(PathLoad::kRing);
}

Spread spread(std::vector<uint64_t>& cycles) {
  return {per_packet_at(cycles, cycles.size() / 4), per_packet_at(cycles, cycles.size() / 2)};
}

}  // namespace

BothWays measure_paths(PathLoad& load, size_t rings) {
  Samples crypto, path;
  for (size_t i = 0; i < rings; ++i) {
    path.add(load.run_path());
    crypto.add(load.run_crypto());
  }
  return {.in = {.crypto = spread(crypto.in), .path = spread(path.in)},
          .out = {.crypto = spread(crypto.out), .path = spread(path.out)}};
}

}  // namespace gmesp
