// SPDX-License-Identifier: BSD-3-Clause
// SAs of IMS are unicast (ESP-03): one rule for the JSON commands and the rings.
#pragma once

#include "dataplane/address.h"

namespace gmesp {

// Neither unspecified nor multicast, nor of an IPv4 range that hosts do not have (0/8, 224/3).
inline bool is_unicast(const Address& address) {
  if (!address.is_v4()) return address.bytes[0] != 0xff && !(address == Address{});
  return address.bytes[12] != 0 && address.bytes[12] < 224;
}

}  // namespace gmesp
