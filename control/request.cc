// SPDX-License-Identifier: BSD-3-Clause
#include "control/request.h"

#include <cassert>
#include <charconv>
#include <string>

#include "crypto/key_material.h"

namespace gmesp {
namespace {

namespace dom = simdjson::dom;

const CommandRule& command_of(dom::object object) {
  const CommandRule* rule = nullptr;
  for (const dom::key_value_pair field : object) {
    if (field.key != "command") continue;
    if (rule != nullptr) throw Refused(Refusal::duplicate_key, "command");
    std::string_view words;
    if (field.value.get(words) != simdjson::SUCCESS) throw Refused(Refusal::wrong_type, "command");
    rule = find_command(words);
    if (rule == nullptr) throw Refused(Refusal::unknown_command);
  }
  if (rule == nullptr) throw Refused(Refusal::missing_key, "command");
  return *rule;
}

std::variant<std::string_view, uint64_t, bool, dom::array> value_of(const KeyRule& key,
                                                                    dom::element value) {
  if (key.need == Need::flag) {
    bool set = false;
    if (value.get(set) == simdjson::SUCCESS && set) return true;
    throw Refused(Refusal::wrong_type, std::string(key.name) + " is true or left out");
  }
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS) return text;
  if (key.need == Need::list) {
    dom::array array;
    if (value.get(array) == simdjson::SUCCESS) return array;
    throw Refused(Refusal::wrong_type, std::string(key.name) + " is an array of strings");
  }
  uint64_t number = 0;
  if (value.get(number) == simdjson::SUCCESS) return number;
  if (value.is_int64()) throw Refused(Refusal::out_of_range, key.name);
  throw Refused(Refusal::wrong_type, std::string(key.name) + " is a string or a whole number");
}

std::optional<uint64_t> parse_number(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
    text.remove_prefix(2);
  }
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

const std::optional<Request::Value>& Request::value(std::string_view key) const {
  const size_t at = find_key(*rule_, key);
  assert(at < rule_->keys.size());
  return values_[at];
}

std::optional<std::string_view> Request::text(std::string_view key) const {
  const auto& value = this->value(key);
  if (!value) return std::nullopt;
  const auto* text = std::get_if<std::string_view>(&*value);
  if (text == nullptr) throw Refused(Refusal::wrong_type, std::string(key) + " is a string");
  return *text;
}

std::optional<uint64_t> Request::number(std::string_view key, uint64_t least, uint64_t most) const {
  const auto& value = this->value(key);
  if (!value) return std::nullopt;
  std::optional<uint64_t> number;
  if (const auto* text = std::get_if<std::string_view>(&*value)) {
    number = parse_number(*text);
    if (!number) throw Refused(Refusal::invalid_value, std::string(key) + " is a number");
  } else {
    number = std::get<uint64_t>(*value);
  }
  if (*number < least || *number > most) {
    throw Refused(Refusal::out_of_range, std::string(key) + " is " + std::to_string(least) +
                                             " to " + std::to_string(most));
  }
  return number;
}

std::vector<std::string_view> Request::list(std::string_view key) const {
  std::vector<std::string_view> list;
  const auto& value = this->value(key);
  if (!value) return list;
  if (const auto* text = std::get_if<std::string_view>(&*value)) return {*text};
  for (const dom::element element : std::get<dom::array>(*value)) {
    std::string_view text;
    if (element.get(text) != simdjson::SUCCESS) {
      throw Refused(Refusal::wrong_type, std::string(key) + " is an array of strings");
    }
    list.push_back(text);
  }
  return list;
}

Request RequestReader::read(std::span<const char> record) {
  record_bytes_ = record.size();
  dom::object object;
  // Not copied by the parser: a copy would keep keys in memory that nobody wipes.
  if (parser_.parse(record.data(), record.size(), false).get(object) != simdjson::SUCCESS) {
    throw Refused(Refusal::not_json);
  }
  Request request;
  request.rule_ = &command_of(object);
  for (const dom::key_value_pair field : object) {
    if (field.key == "command") continue;
    const size_t at = find_key(*request.rule_, field.key);
    if (at == request.rule_->keys.size()) throw Refused(Refusal::unknown_key);
    const KeyRule& key = request.rule_->keys[at];
    if (request.values_[at]) throw Refused(Refusal::duplicate_key, key.name);
    request.values_[at] = value_of(key, field.value);
  }
  for (size_t i = 0; i < request.rule_->keys.size(); ++i) {
    const KeyRule& key = request.rule_->keys[i];
    if (key.need == Need::required && !request.values_[i]) {
      throw Refused(Refusal::missing_key, key.name);
    }
  }
  return request;
}

void RequestReader::wipe() {
  // The parser's own bound: each string costs its bytes, a length and a NUL.
  if (parser_.doc.string_buf != nullptr) {
    gmesp::wipe(parser_.doc.string_buf.get(), 5 * record_bytes_ / 3 + kPadding);
  }
  // Numbers; there is no more than one word for each byte.
  if (parser_.doc.tape != nullptr) {
    gmesp::wipe(parser_.doc.tape.get(), record_bytes_ * sizeof(uint64_t));
  }
}

}  // namespace gmesp
