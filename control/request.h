// SPDX-License-Identifier: BSD-3-Clause
// One record of a client, judged against the list of commands: an object with "command" and that
// command's keys, each once, no others. Values are strings or numbers; a flag is true; a list is an
// array of strings, or one string.
#pragma once

#include <simdjson.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "control/command_rules.h"
#include "control/refusal.h"

namespace gmesp {

// Lives as long as the reader's record. Every method throws Refused on a value that does not fit;
// asking for a key that the command does not have is an error of ours.
class Request {
 public:
  Command command() const { return rule_->command; }
  std::optional<std::string_view> text(std::string_view key) const;
  // Decimal or 0x..., as a number or a string.
  std::optional<uint64_t> number(std::string_view key, uint64_t least, uint64_t most) const;
  bool flag(std::string_view key) const { return value(key).has_value(); }
  std::vector<std::string_view> list(std::string_view key) const;

 private:
  friend class RequestReader;
  using Value = std::variant<std::string_view, uint64_t, bool, simdjson::dom::array>;
  const std::optional<Value>& value(std::string_view key) const;

  const CommandRule* rule_ = nullptr;
  std::array<std::optional<Value>, kMaxKeys> values_;
};

class RequestReader {
 public:
  // What the JSON parser may read behind a record.
  static constexpr size_t kPadding = simdjson::SIMDJSON_PADDING;

  // record: size() <= kMaxRecordBytes, followed by kPadding readable bytes. Throws Refused. wipe()
  // when the request has served.
  Request read(std::span<const char> record);
  // The parser's copy of all strings and numbers: keys may be among them.
  void wipe();

 private:
  simdjson::dom::parser parser_;
  size_t record_bytes_ = 0;
};

}  // namespace gmesp
