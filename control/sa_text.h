// SPDX-License-Identifier: BSD-3-Clause
// The words for an SA on the command line, in JSON and in the log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "crypto/direction.h"
#include "dataplane/security_association.h"
#include "dataplane/selector.h"

namespace gmesp {

constexpr std::string_view name(Direction direction) {
  return direction == Direction::in ? "in" : "out";
}

constexpr std::string_view name(Protocol protocol) {
  if (protocol == Protocol::udp) return "udp";
  return protocol == Protocol::tcp ? "tcp" : "any";
}

constexpr std::string_view name(SaEventKind kind) {
  switch (kind) {
    case SaEventKind::first_use:
      return "first_use";
    case SaEventKind::sequence_soft_limit:
      return "sequence_soft_limit";
    case SaEventKind::sequence_exhausted:
      return "sequence_exhausted";
    case SaEventKind::icv_failures:
      return "icv_failures";
  }
  return "event";
}

// "0x" and so many hexadecimal digits.
inline std::string to_hex(uint64_t value, size_t digits = 16) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text(2 + digits, '0');
  text[1] = 'x';
  for (size_t i = text.size(); i-- > 2; value >>= 4) text[i] = kDigits[value & 15];
  return text;
}

inline std::string to_string(Spi spi) { return to_hex(static_cast<uint32_t>(spi), 8); }

}  // namespace gmesp
