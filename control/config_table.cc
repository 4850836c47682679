// SPDX-License-Identifier: BSD-3-Clause
#include "control/config_table.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "control/config.h"

namespace gmesp {
namespace {

std::string place(const std::string& file, const toml::source_region& region) {
  // A table that is not written has no place of its own: the file's beginning.
  const uint32_t line = std::max<uint32_t>(region.begin.line, 1);
  const uint32_t column = std::max<uint32_t>(region.begin.column, 1);
  return file + ":" + std::to_string(line) + ":" + std::to_string(column) + ": ";
}

std::string quoted_list(std::span<const std::string_view> choices) {
  std::string list;
  for (size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) list += i + 1 == choices.size() ? " or " : ", ";
    list.append("\"").append(choices[i]).append("\"");
  }
  return list;
}

std::optional<uint16_t> parse_port(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

std::optional<PortRange> parse_range(const toml::node& node) {
  if (const auto number = node.value_exact<int64_t>()) {
    if (*number < 1 || *number > 65535) return std::nullopt;
    return PortRange{static_cast<uint16_t>(*number), static_cast<uint16_t>(*number)};
  }
  const auto text = node.value_exact<std::string_view>();
  if (!text) return std::nullopt;
  const size_t dash = text->find('-');
  const auto first = parse_port(text->substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_port(text->substr(dash + 1));
  if (!first || !last || *first > *last) return std::nullopt;
  return PortRange{*first, *last};
}

// What C calls a text's end, where TOML does not: a path would be cut off there without a word.
bool has_end(std::string_view text) { return text.find('\0') != std::string_view::npos; }
constexpr std::string_view kWithoutEnd = "a text without the character \\u0000";

std::string flag_text(bool flag) { return flag ? "true" : "false"; }

// One form for each value, however the file writes it.
std::string text_of(const toml::node& node) {
  if (const auto number = node.value_exact<int64_t>()) return std::to_string(*number);
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto flag = node.value_exact<bool>()) return flag_text(*flag);
  if (!node.is_array()) return "";
  std::string list;
  for (const toml::node& element : *node.as_array()) {
    list.append(list.empty() ? "" : ", ").append(text_of(element));
  }
  return list;
}

const toml::table kNoTable;

}  // namespace

std::string ConfigTable::full_name(std::string_view key) const {
  return name_.empty() ? std::string(key) : name_ + "." + std::string(key);
}

const toml::node& ConfigTable::node_of(std::string_view key) const {
  const toml::node* node = table_.get(key);
  return node != nullptr ? *node : static_cast<const toml::node&>(table_);
}

void ConfigTable::warn(std::string_view key, std::string_view sentence) {
  notes_.warnings.push_back(place(file_, node_of(key).source()) +
                            "warning: " + std::string(sentence));
}

void ConfigTable::refuse(std::string_view key, std::string_view expected) const {
  refuse(key, expected, node_of(key));
}

void ConfigTable::refuse(std::string_view key, std::string_view expected,
                         const toml::node& at) const {
  const bool missing = table_.get(key) == nullptr;
  throw ConfigError(place(file_, at.source()) + "key '" + full_name(key) +
                    "': " + (missing ? "missing, " : "") + "expected " + std::string(expected));
}

const toml::node* ConfigTable::find(std::string_view key, std::string_view default_text) {
  known_.push_back(key);
  const toml::node* node = table_.get(key);
  notes_.settings[full_name(key)] = node != nullptr ? text_of(*node) : default_text;
  return node;
}

std::string ConfigTable::text(std::string_view key, std::string default_text) {
  const toml::node* node = find(key, default_text);
  if (node == nullptr) return default_text;
  const auto value = node->value_exact<std::string>();
  if (!value) refuse(key, "a text in quotes");
  if (has_end(*value)) refuse(key, kWithoutEnd);
  return *value;
}

std::string ConfigTable::required_text(std::string_view key, std::string_view expected) {
  const toml::node* node = find(key);
  const auto value = node != nullptr ? node->value_exact<std::string>() : std::nullopt;
  if (!value || value->empty()) refuse(key, expected);
  if (has_end(*value)) refuse(key, kWithoutEnd);
  return *value;
}

int64_t ConfigTable::number(std::string_view key, int64_t default_number, int64_t least,
                            int64_t most) {
  const toml::node* node = find(key, std::to_string(default_number));
  if (node == nullptr) return default_number;
  const auto value = node->value_exact<int64_t>();
  if (!value || *value < least || *value > most) {
    refuse(key, "a whole number " + std::to_string(least) + ".." + std::to_string(most));
  }
  return *value;
}

bool ConfigTable::flag(std::string_view key, bool default_flag) {
  const toml::node* node = find(key, flag_text(default_flag));
  if (node == nullptr) return default_flag;
  const auto flag = node->value_exact<bool>();
  if (!flag) refuse(key, "true or false", *node);
  return *flag;
}

size_t ConfigTable::choice(std::string_view key, size_t default_choice,
                           std::span<const std::string_view> choices) {
  if (has(key)) return required_choice(key, choices);
  find(key, choices[default_choice]);
  return default_choice;
}

size_t ConfigTable::required_choice(std::string_view key,
                                    std::span<const std::string_view> choices) {
  const toml::node* node = find(key);
  const auto value = node != nullptr ? node->value_exact<std::string_view>() : std::nullopt;
  const auto found = value ? std::find(choices.begin(), choices.end(), *value) : choices.end();
  if (found == choices.end()) refuse(key, quoted_list(choices));
  return static_cast<size_t>(found - choices.begin());
}

std::vector<PortRange> ConfigTable::ports(std::string_view key) {
  constexpr std::string_view kExpected =
      "a list of ports 1..65535, numbers or ranges \"A-B\": [5060, \"6000-6010\"]";
  std::vector<PortRange> ranges;
  for (const toml::node* node : array(key, kExpected)) {
    const std::optional<PortRange> range = parse_range(*node);
    if (!range) refuse(key, kExpected, *node);
    ranges.push_back(*range);
  }
  // "All ports" is said by leaving the key out; an empty list is more likely a mistake.
  if (has(key) && ranges.empty()) refuse(key, kExpected);
  return ranges;
}

std::vector<Prefix> ConfigTable::prefixes(std::string_view key) {
  constexpr std::string_view kExpected = "a list of prefixes: [\"192.0.2.0/24\", \"2001:db8::1\"]";
  std::vector<Prefix> prefixes;
  for (const toml::node* node : array(key, kExpected)) {
    const auto text = node->value_exact<std::string_view>();
    const auto prefix = text ? parse_prefix(*text) : std::nullopt;
    if (!prefix) refuse(key, kExpected, *node);
    prefixes.push_back(*prefix);
  }
  return prefixes;
}

PortRange ConfigTable::port_range(std::string_view key, PortRange default_range) {
  const toml::node* node =
      find(key, std::to_string(default_range.first) + "-" + std::to_string(default_range.last));
  if (node == nullptr) return default_range;
  const auto range = node->is_string() ? parse_range(*node) : std::nullopt;
  if (!range) refuse(key, "a range of ports 1..65535: \"32768-60999\"");
  return *range;
}

std::vector<const toml::node*> ConfigTable::array(std::string_view key, std::string_view expected) {
  std::vector<const toml::node*> elements;
  const toml::node* node = find(key);
  if (node == nullptr) return elements;
  if (!node->is_array()) refuse(key, expected);
  for (const toml::node& element : *node->as_array()) elements.push_back(&element);
  return elements;
}

ConfigTable ConfigTable::table(std::string_view key) {
  const toml::node* node = find(key);
  if (node != nullptr && !node->is_table()) refuse(key, "a table: [" + full_name(key) + "]");
  return ConfigTable(file_, full_name(key), node != nullptr ? *node->as_table() : kNoTable, notes_);
}

std::vector<ConfigTable> ConfigTable::tables(std::string_view key) {
  const std::string expected = "tables: [[" + full_name(key) + "]]";
  std::vector<ConfigTable> list;
  for (const toml::node* node : array(key, expected)) {
    if (!node->is_table()) refuse(key, expected, *node);
    list.emplace_back(file_, full_name(key), *node->as_table(), notes_);
  }
  return list;
}

void ConfigTable::refuse_unknown_keys() const {
  for (auto&& [key, node] : table_) {
    if (std::find(known_.begin(), known_.end(), key.str()) != known_.end()) continue;
    std::string expected;
    for (const std::string_view name : known_) {
      expected.append(expected.empty() ? "" : ", ").append(name);
    }
    throw ConfigError(place(file_, key.source()) + "key '" + full_name(key.str()) +
                      "': unknown, expected one of " + expected);
  }
}

}  // namespace gmesp
