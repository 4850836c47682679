// SPDX-License-Identifier: BSD-3-Clause
// Frames of every shape that classify() passes as IP, and where their headers are; and a packet on
// memory that ends where its frame ends, so that one byte too far is ASan's.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "tests/packet_builder.h"

namespace gmesp {

// A view of exactly these bytes.
class ExactPacket {
 public:
  explicit ExactPacket(const Bytes& bytes) : memory_(new uint8_t[bytes.size()]) {
    std::copy(bytes.begin(), bytes.end(), memory_.get());
    packet.data = memory_.get();
    packet.length = static_cast<uint16_t>(bytes.size());
  }
  Packet packet;

 private:
  std::unique_ptr<uint8_t[]> memory_;
};

inline Bytes cut(const Bytes& bytes, size_t size) {
  return Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
}

inline PacketBuilder v4() { return PacketBuilder().ip(kUe4, kPcscf4); }
inline PacketBuilder v6() { return PacketBuilder().ip(kUe6, kPcscf6); }
inline const Bytes kEsp = counting_bytes(40, 1);  // never looked into here

struct Shape {
  std::string name;
  Bytes frame;
  PacketKind kind;
  size_t ip_offset;
  size_t payload_offset;
  size_t upper_offset;
  Protocol upper;
};

// RFC 4303 3.1.1: where ESP stands, or would stand.
inline const std::vector<Shape>& shapes() {
  using enum PacketKind;
  static const std::vector<Shape> kShapes = {
      {"v4 udp", v4().udp(1, 2).payload(5).frame(), cleartext, 14, 34, 34, Protocol::udp},
      {"v4 tcp, options", v4().ip_options(Bytes(40, 1)).tcp(1, 2).frame(), cleartext, 14, 74, 74,
       Protocol::tcp},
      {"v4 esp", v4().content(Protocol::esp, kEsp).frame(), esp, 14, 34, 34, Protocol::esp},
      {"v4 esp, options, two tags",
       v4().vlan(5, EtherType::qinq)
           .vlan(0)
           .ip_options(Bytes(4, 1))
           .content(Protocol::esp, kEsp)
           .frame(),
       esp, 22, 46, 46, Protocol::esp},
      {"v4 icmp, tag 0", v4().vlan(0).icmp(8).frame(), cleartext, 18, 38, 38, Protocol::icmp},
      {"v4 without payload", v4().content(Protocol::none, {}).frame(), cleartext, 14, 34, 34,
       Protocol::none},
      {"v6 udp", v6().udp(1, 2).payload(5).frame(), cleartext, 14, 54, 54, Protocol::udp},
      {"v6 esp", v6().content(Protocol::esp, kEsp).frame(), esp, 14, 54, 54, Protocol::esp},
      {"v6 without payload", v6().content(Protocol::none, {}).frame(), cleartext, 14, 54, 54,
       Protocol::none},
      {"v6 hop-by-hop, routing, udp", v6().hop_by_hop().routing(24).udp(1, 2).frame(), cleartext,
       14, 86, 86, Protocol::udp},
      {"v6 destination options stay inside", v6().destination_options(16).udp(1, 2).frame(),
       cleartext, 14, 54, 70, Protocol::udp},
      {"v6 destination options before routing stay outside",
       v6().destination_options().routing().destination_options().tcp(1, 2).frame(), cleartext, 14,
       86, 94, Protocol::tcp},
      {"v6 esp behind everything",
       v6().vlan(9)
           .hop_by_hop()
           .destination_options()
           .routing()
           .content(Protocol::esp, kEsp)
           .frame(),
       esp, 18, 98, 98, Protocol::esp},
      {"v6 eight extension headers",
       v6().hop_by_hop()
           .routing(8)
           .routing(8)
           .routing(8)
           .routing(8)
           .routing(8)
           .routing(8)
           .routing(8)
           .udp(1, 2)
           .frame(),
       cleartext, 14, 118, 118, Protocol::udp},
  };
  return kShapes;
}

}  // namespace gmesp
