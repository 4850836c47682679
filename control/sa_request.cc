// SPDX-License-Identifier: BSD-3-Clause
#include "control/sa_request.h"

#include <limits>
#include <string>
#include <string_view>

#include "control/request_values.h"
#include "crypto/algorithm.h"

namespace gmesp {
namespace {

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

// size: what the suite needs; 0: it has no such key.
Key key(const Request& request, std::string_view name, size_t size) {
  const auto text = request.text(name);
  if (!text) {
    if (size != 0) throw Refused(Refusal::missing_key, name);
    return Key();
  }
  if (size == 0) throw Refused(Refusal::key_not_used, name);
  KeyBytes<Key::kMaxBytes> key;
  read_key(*text, name, {key.bytes.data(), size});
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
