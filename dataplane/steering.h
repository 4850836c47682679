// SPDX-License-Identifier: BSD-3-Clause
// Which worker owns a UE (DESIGN 2): the Toeplitz hash of the address pair under a symmetric RSS
// key, then an indirection table. NICs, workers and the control thread compute the same, so a UE's
// two directions and all its SAs meet on one core. What a NIC cannot do, or does otherwise, workers
// make good: each packet's owner is computed here, and the packet goes to it.
#pragma once

#include <array>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <vector>

#include "dataplane/address.h"
#include "dataplane/packet.h"
#include "dataplane/protected_ports.h"
#include "dataplane/token_bucket.h"

namespace gmesp {

// 0x6d5a repeated makes Toeplitz symmetric in source and destination.
inline constexpr uint16_t kRssKeyWord = 0x6d5a;

// The Toeplitz hash over (source, destination), 8 bytes for IPv4 and 32 for IPv6; both orders give
// the same.
uint32_t rss_hash(const Address& a, const Address& b);

class Steering {
 public:
  static constexpr size_t kMaxWorkers = 64;   // a ring for each pair: 170 MB in all
  static constexpr size_t kMaxEntries = 512;  // the largest table of common NICs (X710, ConnectX)

  // The table's size follows the devices' tables (table_entries_for): a device repeats a smaller
  // table of ours exactly, a larger one it cannot hold. Throws std::invalid_argument unless
  // workers is 1..kMaxWorkers and entries a power of two, workers..kMaxEntries.
  explicit Steering(size_t workers, size_t entries = kMaxEntries);
  size_t workers() const { return workers_; }
  size_t entries() const { return mask_ + 1; }
  // The low bits of the hash choose the entry, as in NICs.
  size_t owner_of_hash(uint32_t hash) const { return table_[hash & mask_]; }
  size_t owner(const Address& a, const Address& b) const { return owner_of_hash(rss_hash(a, b)); }

 private:
  size_t workers_;
  size_t mask_;
  std::array<uint8_t, kMaxEntries> table_{};
};

// The most entries that every device can follow; 0 stands for a device that follows none.
size_t table_entries_for(std::initializer_list<size_t> devices_entries);

// Where the receiving worker goes on with a packet.
enum class SteerTo : uint8_t { inbound, outbound, access_transmit, host_transmit };
inline constexpr size_t kSteerToCount = 4;

struct SteeredPacket {
  Packet packet;
  SteerTo to = SteerTo::inbound;
};

// What workers share with each other: a ring for every ordered pair (single producer: worker
// `from`; single consumer: worker `to`) and the ports that their SAs protect.
class SteeringMesh {
 public:
  static constexpr size_t kRingCapacity = 1024;
  using Ring = boost::lockfree::spsc_queue<SteeredPacket, boost::lockfree::capacity<kRingCapacity>>;

  explicit SteeringMesh(size_t workers);
  Ring& ring(size_t from, size_t to) { return rings_[from * workers_ + to]->ring; }
  LearnedPorts& learned_ports() { return *learned_ports_; }

 private:
  // One ring's last line is not another's first: the two have different writers.
  struct alignas(64) Lines {
    Ring ring;
  };
  size_t workers_;
  std::unique_ptr<LearnedPorts> learned_ports_ = std::make_unique<LearnedPorts>();
  std::vector<std::unique_ptr<Lines>> rings_;
};

// One worker's way to the others.
class Steerer {
 public:
  // Anybody can send ICMP errors, and each may be about another worker's UE: what goes there of
  // them is for a small part of its ring, however many come.
  static constexpr uint32_t kErrorsPerSecond = 1000;
  static constexpr uint32_t kErrorsAtOnce = 100;

  Steerer(size_t self, const Steering& steering, SteeringMesh& mesh, Drops& drops, uint64_t tsc_hz)
      : self_(self),
        steering_(steering),
        mesh_(mesh),
        drops_(drops),
        counters_(drops.counters),
        errors_(kErrorsPerSecond, kErrorsAtOnce, tsc_hz) {}

  bool has_others() const { return steering_.workers() > 1; }
  bool owns(const Address& a, const Address& b) const { return steering_.owner(a, b) == self_; }

  // A stage: keeps what this worker owns and frames that are not IP, hands the rest to its owner.
  // Compares the device's hash, where the packet brings one, with ours and counts how it landed.
  // Drops: steering_full. Only classified packets, straight from a port.
  Verdict to_owner(const Packet& packet, SteerTo to) {
    return has_others() ? steer(packet, to) : Verdict::pass();
  }
  // Hands an ICMP error from the access side to the worker that owns the address pair of the packet
  // it quotes, where it goes on like one that was steered from the port; not this worker's pair.
  // Drops: steering_full; `beyond`, what comes in excess of the rate.
  Verdict error_to_owner(const Address& a, const Address& b, const Packet& error, uint64_t now_tsc,
                         Drop beyond) {
    if (!errors_.take(now_tsc)) return Verdict::drop(beyond);
    return hand_over(error, steering_.owner(a, b), SteerTo::inbound);
  }
  // Hands a burst to worker 0, which has the transmit queue this one lacks. Drops: steering_full.
  void to_transmitter(Burst& burst, SteerTo to);
  // What other workers handed over, by SteerTo, a burst in all; each in its turn. The bursts are
  // empty before. Returns how many.
  size_t receive(std::array<Burst, kSteerToCount>& bursts);

 private:
  Verdict steer(const Packet& packet, SteerTo to);
  Verdict hand_over(const Packet& packet, size_t worker, SteerTo to);

  size_t self_;
  const Steering& steering_;
  SteeringMesh& mesh_;
  Drops& drops_;
  Counters& counters_;
  Throttle errors_;
  size_t next_ring_ = 0;  // whose turn it is
};

}  // namespace gmesp
