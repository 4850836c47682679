// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/steering.h"

#include <algorithm>
#include <bit>
#include <stdexcept>

#include "dataplane/classify.h"

namespace gmesp {

namespace {
// The key repeats every 16 bits, so the 32 key bits that Toeplitz adds for an input bit depend only
// on the bit's place in its 16-bit word: all words can be added (xor) first.
uint32_t toeplitz_of_word(uint16_t word) {
  constexpr uint32_t kKey = uint32_t{kRssKeyWord} << 16 | kRssKeyWord;
  uint32_t hash = 0;
  for (int bit = 0; bit < 16; ++bit) {
    if ((word & (0x8000 >> bit)) != 0) hash ^= kKey << bit | (bit == 0 ? 0 : kKey >> (32 - bit));
  }
  return hash;
}

std::array<std::array<uint32_t, 256>, 2> make_table() {
  std::array<std::array<uint32_t, 256>, 2> table;
  for (size_t byte = 0; byte < 256; ++byte) {
    table[0][byte] = toeplitz_of_word(static_cast<uint16_t>(byte << 8));
    table[1][byte] = toeplitz_of_word(static_cast<uint16_t>(byte));
  }
  return table;
}
const std::array<std::array<uint32_t, 256>, 2> kTable = make_table();

// Of all address words, xored.
uint32_t hash_of_folded(uint64_t folded) {
  folded ^= folded >> 32;
  folded ^= folded >> 16;
  return kTable[0][folded & 0xff] ^ kTable[1][folded >> 8 & 0xff];
}

// rss_hash of a packet's address pair, from its own bytes: the addresses stand next to each other.
uint32_t rss_hash(const Packet& packet) {
  const uint8_t* const ip = packet.data + packet.ip_offset;
  uint64_t words[4] = {};
  if (packet.is_ipv4()) {
    std::memcpy(words, ip + offsetof(Ipv4Header, source), 8);
  } else {
    std::memcpy(words, ip + offsetof(Ipv6Header, source), 32);
  }
  return hash_of_folded(words[0] ^ words[1] ^ words[2] ^ words[3]);
}
}  // namespace

uint32_t rss_hash(const Address& a, const Address& b) {
  // The mapped prefix ::ffff of two IPv4 addresses cancels itself.
  uint64_t words_a[2];
  uint64_t words_b[2];
  std::memcpy(words_a, &a, sizeof a);
  std::memcpy(words_b, &b, sizeof b);
  return hash_of_folded(words_a[0] ^ words_a[1] ^ words_b[0] ^ words_b[1]);
}

Steering::Steering(size_t workers, size_t entries) : workers_(workers), mask_(entries - 1) {
  if (workers == 0 || workers > kMaxWorkers) throw std::invalid_argument("1..64 workers");
  if (!std::has_single_bit(entries) || entries < workers || entries > kMaxEntries) {
    throw std::invalid_argument("a steering table has a power of two of entries, workers..512");
  }
  for (size_t i = 0; i < entries; ++i) table_[i] = static_cast<uint8_t>(i % workers);
}

size_t table_entries_for(std::initializer_list<size_t> devices_entries) {
  size_t entries = Steering::kMaxEntries;
  for (const size_t device : devices_entries) {
    if (device != 0) entries = std::min(entries, device);
  }
  return entries;
}

SteeringMesh::SteeringMesh(size_t workers) : workers_(workers) {
  if (workers == 1) return;  // nobody to steer to
  for (size_t i = 0; i < workers * workers; ++i) rings_.push_back(std::make_unique<Lines>());
}

Verdict Steerer::steer(const Packet& packet, SteerTo to) {
  if (packet.kind == PacketKind::not_ip) return Verdict::pass();
  PortCounters& port = to == SteerTo::inbound ? counters_.access : counters_.host;
  const uint32_t hash = rss_hash(packet);
  if (const auto device = device_hash(packet)) {
    ++port.rx_hash_compared;
    if (*device != hash) ++port.rx_hash_mismatches;
  }
  const size_t owner = steering_.owner_of_hash(hash);
  if (owner == self_) {
    ++port.rx_landed_right;
    return Verdict::pass();
  }
  const Verdict verdict = hand_over(packet, owner, to);
  if (verdict.is_taken()) ++port.rx_steered;
  return verdict;
}

Verdict Steerer::hand_over(const Packet& packet, size_t worker, SteerTo to) {
  if (!mesh_.ring(self_, worker).push({packet, to})) return Verdict::drop(Drop::steering_full);
  ++counters_.steered;
  return Verdict::taken();
}

void Steerer::to_transmitter(Burst& burst, SteerTo to) {
  burst.filter(drops_, [&](Packet& packet) {
    packet.inbound_sa = nullptr;  // it may be gone by then, and another in its place
    if (!mesh_.ring(self_, 0).push({packet, to})) return Verdict::drop(Drop::steering_full);
    ++counters_.steered_for_tx;
    return Verdict::taken();
  });
}

// One burst in all, so that none of them can overflow; whoever has packets may fill it. Where it is
// full, the next poll begins at the next ring: each has its turn, however full the others are.
size_t Steerer::receive(std::array<Burst, kSteerToCount>& bursts) {
  const size_t workers = steering_.workers();
  size_t received = 0;
  for (size_t rings = 0; rings < workers && received < Burst::kCapacity; ++rings) {
    const size_t from = next_ring_;
    next_ring_ = from + 1 < workers ? from + 1 : 0;
    if (from == self_) continue;
    SteeredPacket steered;
    while (received < Burst::kCapacity && mesh_.ring(from, self_).pop(steered)) {
      bursts[static_cast<size_t>(steered.to)].push(steered.packet);
      ++received;
    }
  }
  return received;
}

}  // namespace gmesp
