// SPDX-License-Identifier: BSD-3-Clause
// Starts DPDK's environment abstraction layer, once per process (DESIGN 5).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace gmesp {

struct EalConfig {
  std::string program = "gmespd";
  std::vector<std::string> pci_devices{};  // allowed ones; none: no PCI scan
  std::vector<unsigned> worker_cpus{};     // must be ours; the main thread keeps off them if it can
  bool virtio_user = false;                // needs --single-file-segments
  bool allow_hugepages = true;
  size_t memory_mb = 64;  // what pools and rings need
  bool verbose = false;   // EAL's own words on stderr
};

class Eal {
 public:
  // Throws std::runtime_error with the command that mends it.
  explicit Eal(const EalConfig& config);
  ~Eal();
  Eal(const Eal&) = delete;
  Eal& operator=(const Eal&) = delete;

  bool hugepages() const { return hugepages_; }
  // "no hugepages: ...", empty when all is well
  const std::string& notice() const { return notice_; }

 private:
  bool hugepages_ = false;
  std::string notice_;
};

// EAL's and its drivers' first error since forget_eal_error(): the reason in our own messages. Not
// shown otherwise unless verbose.
std::string first_eal_error();
void forget_eal_error();

// Pins the calling thread to a CPU and registers it with EAL. Throws std::runtime_error when the
// CPU is not ours.
void enter_worker_thread(unsigned cpu);
void leave_worker_thread();

// Memory that this machine has left; 0: not known.
size_t available_memory_mb();

// Rate of the time-stamp counter.
uint64_t tsc_hz();

}  // namespace gmesp
