// SPDX-License-Identifier: BSD-3-Clause
// Whether a process keeps its memory to itself: no core file, no reader of the same user.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <fstream>
#include <sstream>
#include <string>

namespace gmesp {

inline void expect_memory_kept(pid_t process) {
  const std::string folder = "/proc/" + std::to_string(process);
  std::ifstream limits(folder + "/limits");
  std::string core;
  for (std::string line; std::getline(limits, line);) {
    if (line.starts_with("Max core file size")) core = line;
  }
  std::istringstream words(core);
  std::string max, c, f, size, soft, hard;
  words >> max >> c >> f >> size >> soft >> hard;
  EXPECT_EQ(soft + " " + hard, "0 0") << core;
  struct stat memory {};
  ASSERT_EQ(stat((folder + "/mem").c_str(), &memory), 0);
  EXPECT_EQ(memory.st_uid, 0u) << "a process that may be dumped gives it to its user";
}

}  // namespace gmesp
