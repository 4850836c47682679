// SPDX-License-Identifier: BSD-3-Clause
// An Ethernet device of DPDK as the rest of the engine sees it. Device opens and configures it
// (control thread, at start); Port is one worker's receive and transmit queue of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "dataplane/counters.h"
#include "dataplane/packet.h"

struct rte_mempool;

namespace gmesp {

struct DeviceConfig {
  std::string name;    // "access" or "host", for messages
  std::string device;  // PCI address or virtual device string as in the configuration
  uint16_t mtu = 1500;
  size_t workers = 1;  // queues wanted; the device may have fewer
};

class Port {
 public:
  Port() = default;  // no device: receives nothing (a worker without a queue of its own)

  // Up to burst.room() frames; answers how many there were. Frames that the stages could not work on in place are counted and
  // freed here (multi_segment, shared_buffer, no_room). rx_bytes is the classifier's to count.
  size_t receive(Burst& burst, Counters& counters, PortCounters& port);
  // Sends everything and leaves the burst empty; what is longer than the MTU or not taken is
  // counted and freed. There is no second try: a worker that waits for a port serves nobody.
  void transmit(Burst& burst, Counters& counters, PortCounters& port);

  bool can_receive() const { return can_receive_; }
  bool can_transmit() const { return can_transmit_; }

 private:
  friend class Device;
  uint16_t id_ = 0;
  uint16_t queue_ = 0;
  uint16_t mtu_ = 0;
  bool can_receive_ = false;
  bool can_transmit_ = false;
};

class Device {
 public:
  // Attaches, configures and starts. Throws std::runtime_error saying which command or setting
  // mends it.
  explicit Device(const DeviceConfig& config);
  ~Device();  // stops and closes
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // The queues of worker n. A device with fewer queues than workers serves the first ones; the
  // others' Port says can_receive() == false or can_transmit() == false, and their packets are
  // steered.
  Port port(size_t worker) const;
  size_t rx_queues() const { return rx_queues_; }
  size_t tx_queues() const { return tx_queues_; }
  // "net_af_packet", "net_tap", "net_ixgbe", ...
  const std::string& driver() const { return driver_; }
  std::string mac() const;
  // "up", "down", or "unknown": of an interface that was moved to another network namespace the
  // driver sees no link, though it works.
  const char* link() const;

  // What EAL must have for this device's buffers (EalConfig::memory_mb), known before it is opened.
  static size_t memory_mb(const DeviceConfig& config);

 private:
  // The device under EAL, and its buffers behind it: gone in the right order, also when the
  // constructor throws half-way.
  struct PoolDeleter {
    void operator()(rte_mempool* pool) const;
  };
  struct Attached {
    Attached() = default;
    Attached(const Attached&) = delete;
    Attached& operator=(const Attached&) = delete;
    ~Attached();
    uint16_t id = 0;
    bool open = false;
  };

  void attach();
  void configure();
  void set_up_queues();
  void set_mtu();
  void start();
  void spread_over_queues();

  DeviceConfig config_;
  size_t rx_queues_ = 0;
  size_t tx_queues_ = 0;
  std::string driver_;
  std::unique_ptr<rte_mempool, PoolDeleter> pool_;
  Attached attached_;
};

}  // namespace gmesp
