// SPDX-License-Identifier: BSD-3-Clause
// Ports in memory in place of dataplane/dpdk/ (a link-time seam: link fake_port.cc instead of the
// DPDK library). Every packet lies in memory of exactly kHeadroomBytes + frame + kTailroomBytes, so
// that ASan sees one byte too far at either end, and is counted from its making to its release. No
// EAL, no hugepages, no root.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/dpdk/port.h"
#include "dataplane/packet.h"

namespace gmesp {

// What the device says of a frame (device_hash, device_checksum).
struct DeviceFindings {
  std::optional<uint32_t> hash = {};
  DeviceChecksum checksum = DeviceChecksum::unknown;
};

Packet make_packet(const std::vector<uint8_t>& frame, const DeviceFindings& findings = {});
std::vector<uint8_t> frame_of(const Packet& packet);
// Made and not yet released, in the whole process.
size_t live_packets();

// Within receive() and the like, which allocate as no device does.
bool inside_fake_port();

// A device with queues that a test fills and empties; not while a worker's thread polls them.
class FakeDevice {
 public:
  FakeDevice(size_t rx_queues, size_t tx_queues);
  ~FakeDevice();
  FakeDevice(const FakeDevice&) = delete;
  FakeDevice& operator=(const FakeDevice&) = delete;

  Port port(size_t worker) const { return device_->port(worker); }
  size_t rx_queues() const { return device_->rx_queues(); }

  void feed(size_t queue, std::vector<uint8_t> frame, const DeviceFindings& findings = {});
  // From now on its transmit queues are full, or no longer.
  void take_nothing(bool full);
  // What was sent on all queues since the last call.
  std::vector<std::vector<uint8_t>> take_sent();

 private:
  size_t number_;
  std::unique_ptr<Device> device_;
};

}  // namespace gmesp
