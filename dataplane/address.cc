// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/address.h"

#include <arpa/inet.h>

#include <charconv>

namespace gmesp {

std::optional<Address> parse_address(std::string_view text) {
  const std::string terminated(text);
  if (terminated.find('\0') != std::string::npos)
    return std::nullopt;  // inet_pton would stop there
  uint8_t bytes[16];
  if (inet_pton(AF_INET, terminated.c_str(), bytes) == 1) return Address::v4(bytes);
  if (inet_pton(AF_INET6, terminated.c_str(), bytes) == 1) return Address::v6(bytes);
  return std::nullopt;
}

std::string to_string(const Address& address) {
  char text[INET6_ADDRSTRLEN];
  const bool v4 = address.is_v4();
  inet_ntop(v4 ? AF_INET : AF_INET6, address.bytes.data() + (v4 ? 12 : 0), text, sizeof text);
  return text;
}

std::string to_string(const Prefix& prefix) {
  const int bits = prefix.bits - (prefix.address.is_v4() ? 96 : 0);
  const std::string host = to_string(prefix.address);
  return prefix.bits == 128 ? host : host + '/' + std::to_string(bits);
}

std::optional<Prefix> parse_prefix(std::string_view text) {
  const size_t slash = text.find('/');
  const std::optional<Address> address = parse_address(text.substr(0, slash));
  if (!address) return std::nullopt;
  if (slash == std::string_view::npos) return Prefix{*address, 128};
  const std::string_view digits = text.substr(slash + 1);
  unsigned bits = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
  const unsigned most = address->is_v4() ? 32 : 128;
  if (error != std::errc{} || end != digits.data() + digits.size() || bits > most) {
    return std::nullopt;
  }
  return Prefix{*address, static_cast<uint8_t>(bits + 128 - most)};
}

}  // namespace gmesp
