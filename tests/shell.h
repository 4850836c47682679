// SPDX-License-Identifier: BSD-3-Clause
// Our programs as people and scripts run them.
#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace gmesp {

struct Outcome {
  int status;          // -1: ended by a signal
  std::string output;  // of both streams
};

// gmespd and gmespctl cannot be traced, so LeakSanitizer cannot look into them.
inline void let_leak_sanitizer_be() {
  static const int once = [] {
    const char* given = getenv("ASAN_OPTIONS");
    return setenv("ASAN_OPTIONS", (std::string(given ? given : "") + ":detect_leaks=0").c_str(), 1);
  }();
  static_cast<void>(once);
}

inline Outcome shell(const std::string& command) {
  let_leak_sanitizer_be();
  FILE* pipe = popen(("( " + command + " ) 2>&1").c_str(), "r");
  std::string output;
  char buffer[4096];
  while (const size_t got = fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, got);
  const int status = pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, output};
}

}  // namespace gmesp
