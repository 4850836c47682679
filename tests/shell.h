// SPDX-License-Identifier: BSD-3-Clause
// Our programs as people and scripts run them.
#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <string>

namespace gmesp {

struct Outcome {
  int status;          // -1: ended by a signal
  std::string output;  // of both streams
};

inline Outcome shell(const std::string& command) {
  FILE* pipe = popen(("( " + command + " ) 2>&1").c_str(), "r");
  std::string output;
  char buffer[4096];
  while (const size_t got = fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, got);
  const int status = pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, output};
}

}  // namespace gmesp
