// SPDX-License-Identifier: BSD-3-Clause
// Values that several commands take: addresses and keys, out of a request. All throw Refused.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "control/request.h"
#include "crypto/key_material.h"
#include "dataplane/address.h"

namespace gmesp {

std::string_view required_text(const Request& request, std::string_view key);
std::optional<Address> address(const Request& request, std::string_view key);
// By the rule of control/unicast.h.
Address unicast_address(const Request& request, std::string_view key);

// A key that leaves by an exception is wiped too.
template <size_t kBytes>
struct KeyBytes {
  std::array<uint8_t, kBytes> bytes{};
  ~KeyBytes() { wipe(bytes.data(), bytes.size()); }
};
// digits: two for each byte, with or without 0x in front; name: of the key, for the refusal.
void read_key(std::string_view digits, std::string_view name, std::span<uint8_t> key);

}  // namespace gmesp
