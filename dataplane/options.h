// SPDX-License-Identifier: BSD-3-Clause
// The options of IPv4 (RFC 791 3.1) and of TCP (RFC 9293 3.1), which have one format.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gmesp {

// visit(offset, bytes) for each, up to the list's end or one of an impossible length; the kind is
// at the offset, the length behind it.
template <typename Visit>
void for_each_option(const uint8_t* options, size_t bytes, Visit&& visit) {
  constexpr uint8_t kEnd = 0;
  constexpr uint8_t kNone = 1;
  for (size_t at = 0; at < bytes && options[at] != kEnd;) {
    if (options[at] == kNone) {
      ++at;
      continue;
    }
    if (at + 1 >= bytes || options[at + 1] < 2 || at + options[at + 1] > bytes) return;
    visit(at, size_t{options[at + 1]});
    at += options[at + 1];
  }
}

}  // namespace gmesp
