// SPDX-License-Identifier: BSD-3-Clause
#include "tools/gmespctl_table.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string_view>

namespace gmesp {
namespace {

const Json& member(const Json& object, const char* key, rapidjson::Type type) {
  const auto found = object.IsObject() ? object.FindMember(key) : object.MemberEnd();
  if (found == object.MemberEnd() || found->value.GetType() != type) {
    throw BadAnswer(std::string("the answer lacks ") + key + ": is this gmespd?");
  }
  return found->value;
}

// Those of ASCII, and of ISO 8859-1 as UTF-8 has them, which some terminals obey too.
std::string without_controls(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    const auto next = static_cast<uint8_t>(i + 1 < text.size() ? text[i + 1] : 0);
    const bool upper = byte == 0xc2 && next >= 0x80 && next < 0xa0;
    if (byte >= ' ' && byte != 0x7f && !upper) {
      out += text[i];
      continue;
    }
    char escaped[8];
    std::snprintf(escaped, sizeof escaped, "\\u%04x", unsigned{upper ? next : byte});
    out += escaped;
    i += upper ? 1 : 0;
  }
  return out;
}

bool is_number(std::string_view cell) {
  return cell == "-" || cell.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

rapidjson::Document parse_answer(const std::string& answer) {
  rapidjson::Document json;
  json.Parse(answer.data(), answer.size());
  if (!json.IsObject()) throw BadAnswer("the answer is not a JSON object: is this gmespd?");
  return json;
}

std::string text(const Json& value) {
  if (value.IsString()) return without_controls({value.GetString(), value.GetStringLength()});
  if (value.IsUint64()) return std::to_string(value.GetUint64());
  if (value.IsBool()) return value.GetBool() ? "yes" : "no";
  return "";
}

std::string text(const Json& object, const char* key) {
  if (!object.IsObject()) throw BadAnswer("a row of the answer is not a JSON object");
  const auto member = object.FindMember(key);
  return member == object.MemberEnd() ? "-" : text(member->value);
}

const Json& array(const Json& object, const char* key) {
  return member(object, key, rapidjson::kArrayType);
}

const Json& object(const Json& parent, const char* key) {
  return member(parent, key, rapidjson::kObjectType);
}

std::string table(const std::vector<Row>& rows) {
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const size_t space = widths[i] - row[i].size();
      if (i != 0) line.append("  ");
      if (is_number(row[i]))
        line.append(space, ' ').append(row[i]);
      else
        line.append(row[i]).append(space, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out.append(line).append("\n");
  }
  return out;
}

std::string table_of(const Json& array, std::initializer_list<const char*> columns, bool head) {
  std::vector<Row> rows;
  if (head) rows.emplace_back(columns.begin(), columns.end());
  for (const Json& object : array.GetArray()) {
    Row row;
    for (const char* column : columns) row.push_back(text(object, column));
    rows.push_back(std::move(row));
  }
  return table(rows);
}

std::string more_after(const Json& json) {
  if (!json.HasMember("after")) return "";
  return std::string("more: after ").append(text(json, "after")).append("\n");
}

std::string facts(const Json& json) {
  std::vector<Row> rows;
  for (const auto& member : json.GetObject()) {
    if (member.value.IsArray() || member.value.IsObject()) continue;
    // The blank keeps numbers to the left, below each other with the rest.
    rows.push_back({text(member.name), std::string(" ").append(text(member.value))});
  }
  return table(rows);
}

}  // namespace gmesp
