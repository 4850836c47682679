// SPDX-License-Identifier: BSD-3-Clause
// How much memory this process has in use.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <fstream>

namespace gmesp {

inline size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  size_t total_pages = 0;
  size_t resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace gmesp
