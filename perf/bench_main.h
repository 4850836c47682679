// SPDX-License-Identifier: BSD-3-Clause
// main() of the benches that print tables of their own: `NAME [--json]`.
#pragma once

#include <cstdio>
#include <exception>
#include <string_view>

namespace gmesp {

// The exit status: 0, 1 when run(json) threw, 2 for a wrong command line.
inline int bench_main(int argc, char** argv, void (*run)(bool json)) {
  const bool json = argc == 2 && std::string_view(argv[1]) == "--json";
  if (argc > 1 && !json) {
    std::fprintf(stderr, "usage: %s [--json]\n", argv[0]);
    return 2;
  }
  try {
    run(json);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
}

}  // namespace gmesp
