// SPDX-License-Identifier: BSD-3-Clause
// Answers of gmespd taken apart, and put together again as tables. All throw BadAnswer.
#pragma once

#include <rapidjson/document.h>

#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

namespace gmesp {

// Not what gmespd answers (control/README.md): something else listens on that socket.
struct BadAnswer : std::runtime_error {
  using runtime_error::runtime_error;
};

using Json = rapidjson::Value;
using Row = std::vector<std::string>;

rapidjson::Document parse_answer(const std::string& answer);

// Control characters escaped as JSON has them: what strangers said must not reach the terminal.
std::string text(const Json& value);
// A key that is not there reads as "-".
std::string text(const Json& object, const char* key);
const Json& array(const Json& object, const char* key);
const Json& object(const Json& parent, const char* key);

// Columns as wide as their widest cell, numbers to the right.
std::string table(const std::vector<Row>& rows);
// One row for each object of the array; the columns are its keys.
std::string table_of(const Json& array, std::initializer_list<const char*> columns, bool head);
// The last line of a page that others follow; empty: none does.
std::string more_after(const Json& json);
// Every key on its line, but for arrays and objects.
std::string facts(const Json& json);

}  // namespace gmesp
