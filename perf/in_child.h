// SPDX-License-Identifier: BSD-3-Clause
// Measured in a process of its own, whose memory nobody has used before.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <type_traits>

namespace gmesp {

// What `measure` returns in a child of this process, which has no threads yet. Throws
// std::runtime_error when it fails; the child has said why.
template <typename Measure>
auto in_child(Measure&& measure) {
  std::invoke_result_t<Measure> result{};
  static_assert(std::is_trivially_copyable_v<decltype(result)>, "it comes through a pipe");
  int tell[2];
  if (pipe(tell) != 0) throw std::runtime_error("no pipe");
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("no process to measure in");
  if (child == 0) {
    try {
      result = measure();
      _exit(write(tell[1], &result, sizeof result) == sizeof result ? 0 : 1);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      _exit(1);
    }
  }
  close(tell[1]);
  const bool told = read(tell[0], &result, sizeof result) == sizeof result;
  close(tell[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (!told || status != 0) throw std::runtime_error("the process that measures has failed");
  return result;
}

}  // namespace gmesp
