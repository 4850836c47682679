// SPDX-License-Identifier: BSD-3-Clause
// An Ethernet device of DPDK as the rest of the engine sees it. Device opens and configures it
// (control thread, at start); Port is one worker's receive and transmit queue of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/counters.h"
#include "dataplane/dpdk/rss_plan.h"
#include "dataplane/packet.h"

struct rte_mempool;

namespace gmesp {

class Steering;

struct DeviceConfig {
  std::string name;    // "access" or "host", for messages
  std::string device;  // PCI address or virtual device string as in the configuration
  uint16_t mtu = 1500;
  size_t workers = 1;                  // queues wanted; the device may have fewer
  size_t held_packets = 0;             // that a worker may keep for long: fragments
  std::vector<int> worker_nodes = {};  // NUMA node of each worker's CPU; empty: any
  bool transport_checksums = false;    // ask the device for a verdict on UDP and TCP checksums
};

class Port {
 public:
  Port() = default;  // no device: receives nothing (a worker without a queue of its own)

  // Up to burst.room() frames; answers how many there were. Frames that the stages could not work
  // on in place are counted and freed here (multi_segment, shared_buffer, no_room). rx_bytes is the
  // classifier's to count.
  size_t receive(Burst& burst, Drops& drops, PortCounters& port);
  // Sends everything and leaves the burst empty; what is longer than the MTU or not taken is
  // counted and freed. There is no second try: a worker that waits for a port serves nobody.
  void transmit(Burst& burst, Drops& drops, PortCounters& port);

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
  ~Device();  // closes, and frees its buffers
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // Stops and closes it: its queues hold nothing of other pools either, which may go now (a ring
  // device forgets what it has instead of giving it back); its own buffers stay. No Port of it is
  // used afterwards.
  void close() { attached_.close(); }

  // The queues of worker n. A device with fewer queues than workers serves the first ones; the
  // others' Port says can_receive() == false or can_transmit() == false, and their packets are
  // steered.
  Port port(size_t worker) const;
  size_t rx_queues() const { return rx_queues_; }
  size_t tx_queues() const { return tx_queues_; }
  // Entries of the device's indirection table; 0: it can follow none, workers steer.
  size_t rss_table_entries() const { return rss_.table_entries; }
  // Makes the device's table that of Steering, where that can be. Before the workers poll.
  void follow(const Steering& steering);
  // What spreads packets over workers, for `status`: "hardware (...)" or "software: <why>".
  const std::string& spreading() const { return spreading_; }
  bool checks_transport() const { return checks_transport_; }  // device_checksum() knows something
  int numa_node() const;  // of the device; -1: none in particular
  // "net_af_packet", "net_tap", "net_ixgbe", ...
  const std::string& driver() const { return driver_; }
  std::string mac() const;
  // "up", "down", or "unknown": of an interface that was moved to another network namespace the
  // driver sees no link, though it works.
  const char* link() const;
  PortLosses losses() const;  // any thread; asks the driver

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
    ~Attached() { close(); }
    void close();
    uint16_t id = 0;
    bool open = false;
    int names = -1;  // a socket to ask for interfaces by, while it may be opened; -1: has none
  };

  void attach();
  void configure();
  int try_configure();
  void set_up_queues();
  void set_mtu();
  rte_mempool* pool_on(int node);
  void start();
  void refuse_scatter();

  DeviceConfig config_;
  size_t rx_queues_ = 0;
  size_t tx_queues_ = 0;
  std::string driver_;
  RssPlan rss_;
  std::string spreading_;
  bool checks_transport_ = false;
  std::map<int, std::unique_ptr<rte_mempool, PoolDeleter>> pools_;  // by NUMA node
  Attached attached_;
};

}  // namespace gmesp
