// SPDX-License-Identifier: BSD-3-Clause
// The text of SIP headers, taken from the front: tokens, values, quoted strings, and the blanks and
// folded lines that may stand between them (RFC 3261 7.3.1, 25.1).
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>

namespace gmesp {

// What returns text returns an empty one where there was none.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : rest_(text) {}

  bool at_end() const { return rest_.empty(); }
  bool at(char c) const { return rest_.starts_with(c); }
  bool take(char c) {
    if (!at(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool at_line_end() const { return line_end_bytes() > 0; }
  bool take_line_end() {
    const size_t bytes = line_end_bytes();
    rest_.remove_prefix(bytes);
    return bytes > 0;
  }
  // A line end with a blank behind it is a blank: the line goes on (RFC 3261 7.3.1).
  void skip_blanks() {
    while (!rest_.empty()) {
      const size_t bytes = line_end_bytes();
      if (bytes == rest_.size() || !is_blank(rest_[bytes])) return;
      rest_.remove_prefix(bytes + 1);
    }
  }
  std::string_view token() { return take_while(is_token); }
  std::string_view value() { return take_while(is_value); }
  // What is between the quotes, escapes as they stand: no value that we know needs any. A line's
  // end is only good in a folded line.
  std::optional<std::string_view> quoted() {
    for (size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] == '"') {
        const std::string_view inside = rest_.substr(1, i - 1);
        rest_.remove_prefix(i + 1);
        return inside;
      }
      const bool escaped = rest_[i] == '\\';
      const char next = i + 1 < rest_.size() ? rest_[i + 1] : '\0';
      if (escaped ? next == '\n' || next == '\r' : rest_[i] == '\n' && !is_blank(next)) break;
      i += escaped ? 1 : 0;
    }
    return std::nullopt;
  }

 private:
  static bool is_blank(char c) { return c == ' ' || c == '\t'; }
  static bool is_token(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-.!%*_+`'~").find(c) != std::string_view::npos;
  }
  // gen-value may be a host, and that an IPv6 reference.
  static bool is_value(char c) { return is_token(c) || c == '[' || c == ']' || c == ':'; }
  size_t line_end_bytes() const {
    return rest_.starts_with('\n') ? 1 : rest_.starts_with("\r\n") ? 2 : 0;
  }
  std::string_view take_while(bool (*belongs)(char)) {
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), belongs);
    const std::string_view taken = rest_.substr(0, static_cast<size_t>(end - rest_.begin()));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  std::string_view rest_;
};

}  // namespace gmesp
