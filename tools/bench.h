// SPDX-License-Identifier: BSD-3-Clause
// gmespd --bench: what the two packet paths cost on this machine, on the configured CPUs and with
// the configured number of SAs, beside what their crypto alone costs. No port is opened.
#pragma once

#include "control/config.h"

namespace gmesp {

struct BenchOptions {
  unsigned seconds = 50;
  bool json = false;  // the "paths" of perf/run --json instead of a table
  bool verbose = false;
};

// The configuration of a bench without a file: one worker on the first CPU that we may use, a
// million SAs.
Config bench_defaults();

// Prints to stdout, and stops when nobody reads it. Throws std::runtime_error or std::system_error
// with what mends it.
void run_bench(const Config& config, const BenchOptions& options);

}  // namespace gmesp
