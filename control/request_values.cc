// SPDX-License-Identifier: BSD-3-Clause
#include "control/request_values.h"

#include <string>

#include "control/unicast.h"

namespace gmesp {
namespace {

uint8_t hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<uint8_t>(c - 'A' + 10);
  throw Refused(Refusal::not_hex);
}

}  // namespace

std::string_view required_text(const Request& request, std::string_view key) {
  const auto text = request.text(key);
  if (!text) throw Refused(Refusal::missing_key, key);
  return *text;
}

std::optional<Address> address(const Request& request, std::string_view key) {
  const auto text = request.text(key);
  if (!text) return std::nullopt;
  const std::optional<Address> address = parse_address(*text);
  if (!address) {
    throw Refused(Refusal::invalid_value, std::string(key) + " is an IPv4 or IPv6 address");
  }
  return address;
}

Address unicast_address(const Request& request, std::string_view key) {
  const std::optional<Address> found = address(request, key);
  if (!found || !is_unicast(*found)) {
    throw Refused(Refusal::invalid_value, std::string(key) + " is a unicast address");
  }
  return *found;
}

void read_key(std::string_view digits, std::string_view name, std::span<uint8_t> key) {
  if (digits.starts_with("0x")) digits.remove_prefix(2);
  for (const char c : digits) hex_digit(c);
  if (digits.size() % 2 != 0) throw Refused(Refusal::not_hex);
  if (digits.size() != 2 * key.size()) {
    throw Refused(
        Refusal::wrong_key_length,
        std::string(name) + " has " + std::to_string(key.size()) + " bytes, two digits each");
  }
  for (size_t i = 0; i < key.size(); ++i) {
    key[i] = static_cast<uint8_t>(hex_digit(digits[2 * i]) << 4 | hex_digit(digits[2 * i + 1]));
  }
}

}  // namespace gmesp
