// SPDX-License-Identifier: BSD-3-Clause
// What the kernel says of a process or thread.
#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace gmesp {

// The value of a line of /proc/PID/status, without the blanks.
inline std::string status_value(const std::filesystem::path& file, const std::string& key) {
  std::ifstream status(file);
  for (std::string line; std::getline(status, line);) {
    std::istringstream words(line);
    std::string name, value;
    if (words >> name >> value && name == key + ":") return value;
  }
  return "";
}

}  // namespace gmesp
