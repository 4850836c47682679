// SPDX-License-Identifier: BSD-3-Clause
// Headers as they stand on the wire. Every field of more than a byte is a BigEndian<T>: it has to
// be asked for its host() value and cannot be mistaken for a number. All structs have alignment 1:
// a header may start anywhere.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace gmesp {

template <typename T>
class BigEndian {
 public:
  BigEndian() = default;
  explicit BigEndian(T host) {
    const T wire = swap(host);
    std::memcpy(bytes_, &wire, sizeof wire);
  }
  T host() const {
    T wire;
    std::memcpy(&wire, bytes_, sizeof wire);
    return swap(wire);
  }
  friend bool operator==(BigEndian a, BigEndian b) {
    return std::memcmp(a.bytes_, b.bytes_, sizeof(T)) == 0;
  }

 private:
  static T swap(T value) {
    if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
    if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  }
  uint8_t bytes_[sizeof(T)];
};
static_assert(std::endian::native == std::endian::little,
              "swap() assumes it; the engine is x86-64 only");
using Be16 = BigEndian<uint16_t>;
using Be32 = BigEndian<uint32_t>;

enum class EtherType : uint16_t {
  ipv4 = 0x0800,
  arp = 0x0806,
  vlan = 0x8100,  // IEEE 802.1Q
  qinq = 0x88a8,  // IEEE 802.1ad
  ipv6 = 0x86dd,
};

// IANA protocol numbers: IPv4 Protocol, IPv6 and ESP Next Header.
enum class Protocol : uint8_t {
  hop_by_hop = 0,
  icmp = 1,
  tcp = 6,
  udp = 17,
  routing = 43,
  fragment = 44,
  esp = 50,
  ah = 51,
  icmpv6 = 58,
  none = 59,
  destination_options = 60,
};

struct EthernetHeader {
  uint8_t destination[6];
  uint8_t source[6];
  Be16 type;
};
static_assert(sizeof(EthernetHeader) == 14, "IEEE 802.3");

struct VlanTag {
  Be16 control;  // priority and VLAN id; id 0 is a priority tag
  Be16 type;
};
static_assert(sizeof(VlanTag) == 4, "IEEE 802.1Q");

struct Ipv4Header {  // RFC 791 3.1
  uint8_t version_and_ihl;
  uint8_t type_of_service;
  Be16 total_length;
  Be16 identification;
  Be16 flags_and_fragment_offset;
  uint8_t time_to_live;
  Protocol protocol;
  Be16 header_checksum;
  uint8_t source[4];
  uint8_t destination[4];

  size_t header_bytes() const { return (version_and_ihl & 0xfu) * 4; }  // with its options
};
static_assert(sizeof(Ipv4Header) == 20, "RFC 791 3.1");

// Of flags_and_fragment_offset:
constexpr uint16_t kIpv4DontFragment = 0x4000;
constexpr uint16_t kIpv4MoreFragments = 0x2000;
constexpr uint16_t kIpv4FragmentOffset = 0x1fff;  // in units of 8 bytes
constexpr size_t kFragmentUnitBytes = 8;  // what a fragment's offset and length are whole in
// What every host receives (RFC 1122 3.3.2) and every link carries (RFC 8200 5).
constexpr uint16_t kIpv4LeastReceived = 576;
constexpr uint16_t kIpv6LeastMtu = 1280;

struct Ipv6Header {  // RFC 8200 3
  Be32 version_class_flow;
  Be16 payload_length;
  Protocol next_header;
  uint8_t hop_limit;
  uint8_t source[16];
  uint8_t destination[16];
};
static_assert(sizeof(Ipv6Header) == 40, "RFC 8200 3");

struct Ipv6ExtensionHeader {  // RFC 8200 4: hop-by-hop, routing, destination options
  Protocol next_header;
  uint8_t length;  // in units of 8 bytes, the first 8 not counted

  size_t bytes() const { return (size_t{length} + 1) * 8; }
};
static_assert(sizeof(Ipv6ExtensionHeader) == 2, "RFC 8200 4");

struct Ipv6FragmentHeader {  // RFC 8200 4.5
  Protocol next_header;
  uint8_t reserved;
  Be16 offset_and_more;
  Be32 identification;
};
static_assert(sizeof(Ipv6FragmentHeader) == 8, "RFC 8200 4.5");

// Of offset_and_more:
constexpr uint16_t kIpv6FragmentOffset = 0xfff8;  // in bytes
constexpr uint16_t kIpv6MoreFragments = 0x0001;

struct EspHeader {  // RFC 4303 2
  Be32 spi;
  Be32 sequence_number;
};
static_assert(sizeof(EspHeader) == 8, "RFC 4303 2");

struct EspTrailer {  // RFC 4303 2, before the ICV
  uint8_t pad_length;
  Protocol next_header;
};
static_assert(sizeof(EspTrailer) == 2, "RFC 4303 2");

struct UdpHeader {  // RFC 768
  Be16 source_port;
  Be16 destination_port;
  Be16 length;
  Be16 checksum;
};
static_assert(sizeof(UdpHeader) == 8, "RFC 768");

struct TcpHeader {  // RFC 9293 3.1
  Be16 source_port;
  Be16 destination_port;
  Be32 sequence_number;
  Be32 acknowledgment_number;
  uint8_t data_offset;  // high four bits, in 32-bit words
  uint8_t flags;        // 0x02 = SYN
  Be16 window;
  Be16 checksum;
  Be16 urgent_pointer;
};
static_assert(sizeof(TcpHeader) == 20, "RFC 9293 3.1");

struct IcmpHeader {  // RFC 792, RFC 4443 2.1
  uint8_t type;
  uint8_t code;
  Be16 checksum;
  Be32 rest;
};
static_assert(sizeof(IcmpHeader) == 8, "RFC 792");

}  // namespace gmesp
