// SPDX-License-Identifier: BSD-3-Clause
// What the fuzzer of gmespd.toml begins with: seeds that are what they are called, and a dictionary
// that knows every key.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "control/config.h"
#include "tests/config_file.h"

namespace gmesp {
namespace {

// The fuzzer's corpus: a file's name begins with `refused` if that is what becomes of it. One that
// is refused at its first key by mistake leaves the rest of the reader to chance.
TEST(ConfigurationCorpus, IsAcceptedOrRefusedAsItsNamesSay) {
  size_t files = 0, accepted = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(GMESP_TESTS_FOLDER "/fuzz/corpus/configuration")) {
    const bool refused = file.path().filename().string().starts_with("refused");
    try {
      read_config(file.path());
      EXPECT_FALSE(refused) << file.path();
      ++accepted;
    } catch (const ConfigError& error) {
      EXPECT_TRUE(refused) << error.what();
    }
    ++files;
  }
  EXPECT_GE(accepted, 9u);
  EXPECT_GE(files, accepted + 4);
}

// What the reader itself names when it meets a key that it does not know.
std::set<std::string> keys_beside_an_unknown_one(const std::string& text) {
  const std::string refusal = refusal_of(text);
  const std::string begin = "unknown, expected one of ";
  const size_t at = refusal.find(begin);
  std::set<std::string> keys;
  EXPECT_NE(at, std::string::npos) << refusal;
  if (at == std::string::npos) return keys;
  std::istringstream list(refusal.substr(at + begin.size()));
  for (std::string key; std::getline(list >> std::ws, key, ',');) keys.insert(key);
  return keys;
}

// kLeast with a key in one of its tables, or in another one.
std::string with_unknown_key(const std::string& table) {
  const std::string heading = "[" + table + "]\n";
  const size_t at = kLeast.find(heading);
  if (at == std::string::npos) return kLeast + heading + "unknown = 1\n";
  return std::string(kLeast).insert(at + heading.size(), "unknown = 1\n");
}

// The fuzzer's dictionary: a key that is not in it is met by chance alone.
TEST(ConfigurationCorpus, HasEveryKeyInItsDictionary) {
  std::ostringstream dictionary;
  dictionary << std::ifstream(GMESP_TESTS_FOLDER "/fuzz/configuration.dict").rdbuf();
  const auto expect = [&dictionary](const std::string& text) {
    EXPECT_NE(dictionary.str().find("\"\\x0a" + text), std::string::npos) << text;
  };
  std::set<std::string> tables = keys_beside_an_unknown_one("unknown = 1\n" + kLeast);
  EXPECT_EQ(tables.erase("role"), 1u);
  expect("role = ");
  size_t keys = 0;
  for (const std::string& table : tables) {
    expect("[" + table + "]");
    for (const std::string& key : keys_beside_an_unknown_one(with_unknown_key(table))) {
      ++keys;
      if (key != "rule") expect(key + " = ");
    }
  }
  expect("[[policy.rule]]");
  const std::string rule = "[[policy.rule]]\nname = 'r'\nmatch = 'udp'\nunknown = 1\n";
  for (const std::string& key : keys_beside_an_unknown_one(kLeast + rule)) {
    ++keys;
    expect(key + " = ");
  }
  EXPECT_GE(keys, 55u);
}

}  // namespace
}  // namespace gmesp
