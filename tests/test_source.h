// SPDX-License-Identifier: BSD-3-Clause
// What a test of another executable does, as its source says it: a list that names a test as the
// owner of something is only as good as what that test looks at.
#pragma once

#include <fstream>
#include <iterator>
#include <regex>
#include <string>

namespace gmesp {

// From the test's name to its end, without comments. Empty: there is no such test. file: in
// GMESP_TESTS_FOLDER; test: "Suite.Name".
inline std::string body_of_test(const std::string& file, const std::string& test) {
  std::ifstream source(std::string(GMESP_TESTS_FOLDER "/") + file);
  const std::string text{std::istreambuf_iterator<char>(source), {}};
  const size_t dot = test.find('.');
  const std::regex head("\nTEST(_F|_P)?\\(" + test.substr(0, dot) + ",\\s*" + test.substr(dot + 1) +
                        "\\) \\{\n");
  std::smatch found;
  if (!std::regex_search(text, found, head)) return "";
  const auto start = static_cast<size_t>(found.position() + found.length());
  const std::string body = text.substr(start, text.find("\n}\n", start) - start);
  return std::regex_replace(body, std::regex("//[^\n]*"), "");
}

}  // namespace gmesp
