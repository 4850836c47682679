// SPDX-License-Identifier: BSD-3-Clause
// UEs by number for the control benches: addresses, SAs with keys of their own, frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "control/sa_manager.h"

namespace gmesp {

constexpr uint16_t kBenchUePort = 5062;
constexpr uint16_t kBenchPcscfPort = 5063;

// What the control thread is asked for; role pcscf. Numbers below 2^24.
NewSa bench_sa(Direction direction, uint32_t ue, Suite suite);
SaName bench_sa_name(Direction direction, uint32_t ue);

// An Ethernet frame with a UDP packet over IPv6 of this selector's flow. Its checksum is 0.
std::vector<uint8_t> bench_frame(const Selector& selector, size_t ip_bytes);

}  // namespace gmesp
