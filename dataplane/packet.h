// SPDX-License-Identifier: BSD-3-Clause
// A packet on its way through the stages, and the burst that owns such packets.
//
// Packet is a view of one mbuf. Between receive and transmit only three functions read the mbuf
// itself: device_hash and device_checksum (what the device found out) and PacketPool::owns (of what
// is too large). Port::receive lets in only frames in one unshared buffer with
// kHeadroomBytes in front and kTailroomBytes behind, and PacketPool makes no others, so a stage may
// grow a packet by one ESP header and one trailer without asking. The mbuf learns its new bounds in
// Port::transmit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>

#include "crypto/multi_buffer.h"
#include "dataplane/counters.h"
#include "dataplane/drops.h"
#include "dataplane/wire.h"

struct rte_mbuf;

namespace gmesp {

struct InboundSa;
struct OutboundSa;

constexpr uint16_t kHeadroomBytes = 32;  // ESP header 8 + IV 16, aligned
constexpr uint16_t kTailroomBytes = 48;  // padding 15 + trailer 2 + ICV 16, aligned

// What a frame may be longer than its IP packet: Ethernet header and two VLAN tags (IEEE 802.1ad).
constexpr size_t kMaxLinkHeaderBytes = sizeof(EthernetHeader) + 2 * sizeof(VlanTag);

enum class PacketKind : uint8_t {
  not_ip,     // ARP and everything else that is no IP packet
  cleartext,  // IP, not ESP
  esp,
  fragment,  // of a datagram of any kind
};

// Layout: mbuf 0, data 8, SA 16, offsets 24..31.
struct Packet {
  rte_mbuf* mbuf = nullptr;
  uint8_t* data = nullptr;  // first byte of the Ethernet header
  union {
    InboundSa* inbound_sa = nullptr;  // set by Inbound's find_sa
    uint64_t address_hash;  // from Outbound's hash_addresses to find_candidate: where the Spd looks
    OutboundSa* outbound_sa;  // set by find_candidate, settled by find_policy
  };
  uint16_t length = 0;              // bytes from data to the frame's end
  uint16_t next_header_offset = 0;  // of the byte that names what starts at payload_offset
  uint16_t payload_offset = 0;      // behind IP and the extension headers that stay outside ESP
  uint8_t ip_offset = 0;            // 14, 18 or 22 (VLAN tags)
  PacketKind kind = PacketKind::not_ip;

  template <typename Header>
  Header& header(size_t offset) const {
    return *std::launder(reinterpret_cast<Header*>(data + offset));
  }
  bool is_ipv4() const { return (data[ip_offset] >> 4) == 4; }
  Protocol& next_header() const { return header<Protocol>(next_header_offset); }
  uint8_t* payload() const { return data + payload_offset; }
  uint16_t payload_bytes() const { return static_cast<uint16_t>(length - payload_offset); }
  uint16_t ip_bytes() const { return static_cast<uint16_t>(length - ip_offset); }
};
static_assert(sizeof(Packet) == 32, "two packets a cache line; a burst's views stay in L1");

// Gives the mbuf back to its pool. Only who owns packets calls it: Burst, Port, what keeps some
// (Reassembler, Oversize).
void release(Packet& packet);

// What the receiving device found out about a packet, where it was asked to. Reads the mbuf, which
// receive has brought into the cache.
// Its RSS hash.
std::optional<uint32_t> device_hash(const Packet& packet);
// Its verdict on the UDP or TCP checksum.
enum class DeviceChecksum : uint8_t {
  unknown,
  good,
  doubtful,  // wrong, or left for a device to finish
};
DeviceChecksum device_checksum(const Packet& packet);

// What a stage says of a packet.
class Verdict {
 public:
  static constexpr Verdict pass() { return Verdict(kPass); }
  static constexpr Verdict drop(Drop reason) { return Verdict(static_cast<uint8_t>(reason)); }
  static constexpr Verdict taken() { return Verdict(kTaken); }  // somebody else owns the mbuf now

  constexpr bool is_pass() const { return value_ == kPass; }
  constexpr bool is_taken() const { return value_ == kTaken; }
  constexpr Drop reason() const { return static_cast<Drop>(value_); }

 private:
  static constexpr uint8_t kPass = 0xff;
  static constexpr uint8_t kTaken = 0xfe;
  static_assert(kDropCount < kTaken, "a reason must not look like pass or taken");
  explicit constexpr Verdict(uint8_t value) : value_(value) {}
  uint8_t value_;
};

// Up to kCapacity packets, owned: what filter drops it frees, transmit empties it, the destructor
// frees the rest.
class Burst {
 public:
  static constexpr size_t kCapacity = 64;  // perf/README.md: 16 costs up to 22 % more
  static_assert(kCapacity <= MultiBuffer::kMaxJobs, "one burst is one crypto batch");

  Burst() = default;
  Burst(const Burst&) = delete;
  Burst& operator=(const Burst&) = delete;
  ~Burst() { clear(); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  size_t room() const { return kCapacity - size_; }
  Packet* begin() { return packets_.data(); }
  Packet* end() { return packets_.data() + size_; }
  Packet& operator[](size_t i) { return packets_[i]; }

  // Takes ownership. room() > 0.
  void push(const Packet& packet) { packets_[size_++] = packet; }

  // Takes every packet, in order, through the steps given, up to the first that does not let it
  // pass: tells of and frees what they drop, closes the gaps. Steps that wait for memory belong
  // into passes of their own, behind the one that asks for it.
  template <typename... Steps>
  void filter(Drops& drops, Steps&&... steps) {
    size_t kept = 0;
    for (size_t i = 0; i < size_; ++i) {
      Verdict verdict = Verdict::pass();
      static_cast<void>(((verdict = steps(packets_[i])).is_pass() && ...));
      if (verdict.is_pass()) [[likely]] {
        if (kept != i) packets_[kept] = packets_[i];
        ++kept;
      } else if (!verdict.is_taken()) {
        drops.tell(packets_[i], verdict.reason());
        release(packets_[i]);
      }
    }
    size_ = kept;
  }

  // Moves the packets that the predicate names to the end of `other`, which has room for them.
  template <typename Predicate>
  void move_if(Burst& other, Predicate&& predicate) {
    size_t kept = 0;
    for (size_t i = 0; i < size_; ++i) {
      if (predicate(packets_[i])) {
        other.push(packets_[i]);
      } else {
        if (kept != i) packets_[kept] = packets_[i];
        ++kept;
      }
    }
    size_ = kept;
  }

  // The packets are somebody else's now (a port has them).
  void forget() { size_ = 0; }
  // Frees every packet, uncounted: only when the engine stops.
  void clear() {
    for (Packet& packet : *this) release(packet);
    size_ = 0;
  }

 private:
  size_t size_ = 0;
  std::array<Packet, kCapacity> packets_;
};

}  // namespace gmesp
