// SPDX-License-Identifier: BSD-3-Clause
#include "control/sa_request.h"

#include <array>
#include <limits>
#include <string>
#include <string_view>

#include "crypto/algorithm.h"
#include "crypto/key_material.h"

namespace gmesp {
namespace {

std::string_view required_text(const Request& request, std::string_view key) {
  const auto text = request.text(key);
  if (!text) throw Refused(Refusal::missing_key, key);
  return *text;
}

std::optional<Direction> direction(const Request& request) {
  const auto text = request.text("dir");
  if (!text) return std::nullopt;
  if (*text == "in") return Direction::in;
  if (*text == "out") return Direction::out;
  throw Refused(Refusal::invalid_value, "dir is in or out");
}

std::optional<Spi> spi(const Request& request) {
  const auto number = request.number("spi", 0, std::numeric_limits<uint32_t>::max());
  if (!number) return std::nullopt;
  return Spi{static_cast<uint32_t>(*number)};
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

// Neither unspecified nor multicast nor IPv4 broadcast: SAs of IMS are unicast (ESP-03).
bool is_unicast(const Address& address) {
  if (!address.is_v4()) return address.bytes[0] != 0xff && !(address == Address{});
  return address.bytes[12] != 0 && address.bytes[12] < 224;
}

Address unicast_address(const Request& request, std::string_view key) {
  const std::optional<Address> found = address(request, key);
  if (!found || !is_unicast(*found)) {
    throw Refused(Refusal::invalid_value, std::string(key) + " is a unicast address");
  }
  return *found;
}

uint16_t port(const Request& request, std::string_view key) {
  return static_cast<uint16_t>(request.number(key, 1, 65535).value_or(Selector::kAnyPort));
}

Selector selector(const Request& request) {
  Selector selector;
  selector.source = unicast_address(request, "src");
  selector.destination = unicast_address(request, "dst");
  selector.source_port = port(request, "sport");
  selector.destination_port = port(request, "dport");
  const std::string_view protocol = required_text(request, "proto");
  if (protocol == "udp") {
    selector.protocol = Protocol::udp;
  } else if (protocol == "tcp") {
    selector.protocol = Protocol::tcp;
  } else if (protocol != "any") {
    throw Refused(Refusal::invalid_value, "proto is udp, tcp or any");
  }
  return selector;
}

Suite suite(const Request& request) {
  const auto integrity = parse_integrity_algorithm(required_text(request, "alg"));
  if (!integrity) {
    throw Refused(Refusal::invalid_value, "alg is hmac-md5-96, hmac-sha-1-96, aes-gmac or null");
  }
  const auto encryption = parse_encryption_algorithm(required_text(request, "ealg"));
  if (!encryption) {
    throw Refused(Refusal::invalid_value, "ealg is null, des-ede3-cbc, aes-cbc or aes-gcm");
  }
  const std::optional<Suite> suite = find_suite(*integrity, *encryption);
  if (!suite) throw Refused(Refusal::suite_not_permitted);
  return *suite;
}

uint8_t hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<uint8_t>(c - 'A' + 10);
  throw Refused(Refusal::not_hex);
}

// A key that leaves by an exception is wiped too.
struct KeyBytes {
  std::array<uint8_t, Key::kMaxBytes> bytes{};
  ~KeyBytes() { wipe(bytes.data(), bytes.size()); }
};

// size: what the suite needs; 0: it has no such key.
Key key(const Request& request, std::string_view name, size_t size) {
  const auto text = request.text(name);
  if (!text) {
    if (size != 0) throw Refused(Refusal::missing_key, name);
    return Key();
  }
  if (size == 0) throw Refused(Refusal::key_not_used, name);
  std::string_view digits = *text;
  if (digits.starts_with("0x")) digits.remove_prefix(2);
  for (const char c : digits) hex_digit(c);
  if (digits.size() % 2 != 0) throw Refused(Refusal::not_hex);
  if (digits.size() != 2 * size) {
    throw Refused(Refusal::wrong_key_length,
                  std::string(name) + " has " + std::to_string(size) + " bytes, two digits each");
  }
  KeyBytes key;
  for (size_t i = 0; i < size; ++i) {
    key.bytes[i] =
        static_cast<uint8_t>(hex_digit(digits[2 * i]) << 4 | hex_digit(digits[2 * i + 1]));
  }
  return Key({key.bytes.data(), size});
}

}  // namespace

NewSa new_sa(const Request& request) {
  NewSa sa;
  sa.direction = *direction(request);
  sa.spi = *spi(request);
  sa.selector = selector(request);
  sa.suite = suite(request);
  const SuiteInfo& info = suite_info(sa.suite);
  sa.keys.authentication = key(request, "auth-key", info.auth_key_bytes);
  sa.keys.encryption = key(request, "enc-key", info.enc_key_bytes);
  sa.keys.salt = key(request, "salt", info.salt_bytes);
  const auto window = request.number("window", 0, ReplayWindow::kMaxSize);
  if (window) sa.window = static_cast<uint16_t>(*window);
  const auto sequence = request.number("seq", 0, kSequenceHardLimit);
  sa.sequence = SequenceNumber{static_cast<uint32_t>(sequence.value_or(0))};
  return sa;
}

SaName sa_name(const Request& request) {
  return {*direction(request), *spi(request), address(request, "dst")};
}

SaFilter sa_filter(const Request& request) {
  return {direction(request), address(request, "ue"), spi(request)};
}

}  // namespace gmesp
