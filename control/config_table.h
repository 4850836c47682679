// SPDX-License-Identifier: BSD-3-Clause
// One table of a TOML file, read key by key. Whatever has another type or range than the reader
// expects, and whatever nobody asked for, is refused with its place in the file. What was read, and
// what it says that may not be meant, is noted beside.
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/config_notes.h"
#include "dataplane/policy.h"

namespace gmesp {

class ConfigTable {
 public:
  // name: "" for the file itself, else "policy.rule" and the like. All outlive the object.
  ConfigTable(const std::string& file, std::string name, const toml::table& table,
              ConfigNotes& notes)
      : file_(file), name_(std::move(name)), table_(table), notes_(notes) {}

  // Each reads one key; without it, the default, or a refusal where there is none.
  std::string text(std::string_view key, std::string default_text);
  std::string required_text(std::string_view key, std::string_view expected);
  int64_t number(std::string_view key, int64_t default_number, int64_t least, int64_t most);
  bool flag(std::string_view key, bool default_flag);
  // The choice's position in `choices`.
  size_t choice(std::string_view key, size_t default_choice,
                std::span<const std::string_view> choices);
  size_t required_choice(std::string_view key, std::span<const std::string_view> choices);
  // Port numbers and "A-B" ranges.
  std::vector<PortRange> ports(std::string_view key);
  // Addresses and "A/N".
  std::vector<Prefix> prefixes(std::string_view key);
  // A "A-B" range in quotes.
  PortRange port_range(std::string_view key, PortRange default_range);
  // The elements, or none; not an array is refused.
  std::vector<const toml::node*> array(std::string_view key, std::string_view expected);
  ConfigTable table(std::string_view key);
  std::vector<ConfigTable> tables(std::string_view key);
  bool has(std::string_view key) const { return table_.contains(key); }

  // When all is read: refuses keys that nobody asked for.
  void refuse_unknown_keys() const;

  void warn(std::string_view key, std::string_view sentence);

  // Throws ConfigError about a key; at its own place, or at a node inside it.
  [[noreturn]] void refuse(std::string_view key, std::string_view expected) const;
  [[noreturn]] void refuse(std::string_view key, std::string_view expected,
                           const toml::node& at) const;

 private:
  const toml::node* find(std::string_view key, std::string_view default_text = "");
  const toml::node& node_of(std::string_view key) const;
  std::string full_name(std::string_view key) const;

  const std::string& file_;
  std::string name_;
  const toml::table& table_;
  ConfigNotes& notes_;
  std::vector<std::string_view> known_;  // keys asked for, in that order
};

}  // namespace gmesp
