// SPDX-License-Identifier: BSD-3-Clause
// What the reading of a configuration file leaves behind besides the values.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace gmesp {

struct ConfigNotes {
  // Of every key that was asked for, its value or its default, as text.
  std::map<std::string, std::string> settings;
  std::vector<std::string> warnings;  // "FILE:LINE:COLUMN: warning: ..."
};

}  // namespace gmesp
