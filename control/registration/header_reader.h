// SPDX-License-Identifier: BSD-3-Clause
// The text of SIP headers, taken from the front: tokens, values, quoted strings, and the blanks and
// folded lines that may stand between them (RFC 3261 7.3.1, 25.1).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace gmesp {

// By character: letters, digits and what more is given.
using CharacterTable = std::array<bool, 256>;
constexpr CharacterTable letters_digits_and(std::string_view more) {
  CharacterTable table{};
  for (char c = 'a'; c <= 'z'; ++c) table[static_cast<uint8_t>(c)] = true;
  for (char c = 'A'; c <= 'Z'; ++c) table[static_cast<uint8_t>(c)] = true;
  for (char c = '0'; c <= '9'; ++c) table[static_cast<uint8_t>(c)] = true;
  for (const char c : more) table[static_cast<uint8_t>(c)] = true;
  return table;
}

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
  std::string_view token() {
    static constexpr CharacterTable kToken = letters_digits_and("-.!%*_+`'~");
    return take_while(kToken);
  }
  // gen-value may be a host too, and that an IPv6 reference.
  std::string_view value() {
    static constexpr CharacterTable kValue = letters_digits_and("-.!%*_+`'~[]:");
    return take_while(kValue);
  }
  // What is between the quotes, escapes as they stand: no value that we know needs any. No control
  // character but a tab and the end of a folded line; not even escaped, where the grammar permits
  // it: what we take goes on to headers, logs and terminals.
  std::optional<std::string_view> quoted() {
    for (size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] == '"') {
        const std::string_view inside = rest_.substr(1, i - 1);
        rest_.remove_prefix(i + 1);
        return inside;
      }
      if (const size_t fold = fold_bytes(rest_.substr(i)); fold > 0) {
        i += fold - 1;
      } else if (is_control(rest_[i])) {
        break;
      } else if (rest_[i] == '\\') {
        ++i;
        if (i == rest_.size() || is_control(rest_[i])) break;
      }
    }
    return std::nullopt;
  }

 private:
  static constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }
  static constexpr bool is_control(char c) {
    return (static_cast<uint8_t>(c) < ' ' && c != '\t') || c == 0x7f;
  }
  static size_t line_end_bytes(std::string_view text) {
    return text.starts_with('\n') ? 1 : text.starts_with("\r\n") ? 2 : 0;
  }
  size_t line_end_bytes() const { return line_end_bytes(rest_); }
  // A line's end and the blank behind it.
  static size_t fold_bytes(std::string_view text) {
    const size_t bytes = line_end_bytes(text);
    return bytes > 0 && bytes < text.size() && is_blank(text[bytes]) ? bytes + 1 : 0;
  }
  std::string_view take_while(const CharacterTable& table) {
    size_t size = 0;
    while (size < rest_.size() && table[static_cast<uint8_t>(rest_[size])]) ++size;
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::string_view rest_;
};

}  // namespace gmesp
