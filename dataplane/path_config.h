// SPDX-License-Identifier: BSD-3-Clause
// What both packet paths are told once, at start.
#pragma once

#include <cstdint>

#include "dataplane/reassembly.h"

namespace gmesp {

struct PathConfig {
  uint16_t access_mtu = 1500;  // bytes of an IP packet on the access side
  uint16_t host_mtu = 1500;    // and on the host's
  uint64_t tsc_hz = 1'000'000'000;
  ReassemblyConfig reassembly;
  // Protected packets over the MTU: answered with ICMP "too big" instead of fragmented behind ESP.
  bool answer_too_big = false;
  bool check_padding = true;  // RFC 4303 2.4: a receiver SHOULD inspect
  // UDP and TCP checksums of what the host sends, before they are signed:
  bool verify_checksums = false;  // every one, by the host port's device or by us
  bool device_checksums = false;  // that device looks at them: what it doubts is looked at again
};

}  // namespace gmesp
