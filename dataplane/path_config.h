// SPDX-License-Identifier: BSD-3-Clause
// What both packet paths are told once, at start.
#pragma once

#include <array>
#include <cstdint>

#include "crypto/algorithm.h"
#include "dataplane/reassembly.h"
#include "dataplane/tcp_mss.h"

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

// The largest TCP MSS of each suite for one MTU.
class MssTable {
 public:
  explicit MssTable(uint16_t mtu) {
    for (const SuiteInfo& info : kSuites) {
      largest_[static_cast<size_t>(info.suite)] = {largest_mss(info, false, mtu),
                                                   largest_mss(info, true, mtu)};
    }
  }
  uint16_t of(Suite suite, bool ipv4) const { return largest_[static_cast<size_t>(suite)][ipv4]; }

 private:
  std::array<std::array<uint16_t, 2>, kSuiteCount> largest_{};
};

}  // namespace gmesp
