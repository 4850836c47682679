// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

namespace gmesp {

// Of ESP at the access port: `in` is decrypted, `out` encrypted.
enum class Direction : uint8_t { in, out };

}  // namespace gmesp
