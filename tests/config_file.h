// SPDX-License-Identifier: BSD-3-Clause
// A configuration file as long as a test needs it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "control/config.h"

namespace gmesp {

class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text)
      : path_(testing::TempDir() + "gmesp_config_test_" + std::to_string(getpid()) + ".toml") {
    write(text);
  }
  ~ConfigFile() { std::remove(path_.c_str()); }
  ConfigFile(const ConfigFile&) = delete;
  ConfigFile& operator=(const ConfigFile&) = delete;

  void write(const std::string& text) const { std::ofstream(path_) << text; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline Config read_text(const std::string& text) { return read_config(ConfigFile(text).path()); }

// The refusal without the path of the temporary file: "LINE:COLUMN: ...".
inline std::string refusal_of(const std::string& text) {
  const ConfigFile file(text);
  try {
    read_config(file.path());
  } catch (const ConfigError& error) {
    const std::string what = error.what();
    EXPECT_TRUE(what.starts_with(file.path() + ":")) << what;
    return what.substr(file.path().size() + 1);
  }
  return "accepted";
}

struct RefusedText {
  std::string text;      // the whole file, or what follows kLeast
  std::string expected;  // "LINE:COLUMN: ..."
};

// The least that a file must say, in lines 1 to 5; what a test adds begins in line 6.
inline const std::string kLeast =
    "role = 'pcscf'\n"
    "[access]\n"
    "device = 'net_af_packet0,iface=acc0'\n"
    "[host]\n"
    "device = 'net_tap0,iface=gm0'\n";

}  // namespace gmesp
