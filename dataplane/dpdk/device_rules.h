// SPDX-License-Identifier: BSD-3-Clause
// What follows from a device's configuration, before DPDK is asked and when it has refused: buffers
// and their number, driver arguments, words for the operator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/dpdk/device_string.h"
#include "dataplane/dpdk/port.h"

namespace gmesp {

inline constexpr uint16_t kDescriptors = 1024;  // per queue, where the device takes so many
inline constexpr unsigned kCachedMbufs =
    256;  // per worker, before the pool's shared ring is touched

// Throws std::runtime_error: which device, and why.
[[noreturn]] void fail(const DeviceConfig& config, const std::string& why);

// Of one buffer; of buffers of one port.
size_t buffer_bytes(const DeviceConfig& config);
size_t mbuf_count(const DeviceConfig& config);

// The device string with what the configuration makes necessary. Throws.
std::string complete_device(const DeviceConfig& config);
// Why the probe of such a device may have failed, as a thing to do.
std::string remedy(const DeviceString& device);
// How such a device gets more queues; empty: not at all.
std::string queues_remedy(const DeviceString& device);
// Whether the other end of such a driver stops finishing UDP and TCP checksums when it hears that
// we look at them: virtual devices then count on memory that cannot go wrong (virtio 1.1 5.1.6.4).
bool leaves_checksums_unfinished(std::string_view driver);
// Throws when the kernel's interface carries less than the MTU.
void check_interface_mtu(const DeviceConfig& config, unsigned index);

// Why a device that scatters frames over buffers is not taken; empty: it does not.
std::string scatter_refusal(bool scattered, uint16_t mtu);

}  // namespace gmesp
