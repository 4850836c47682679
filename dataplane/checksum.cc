// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/checksum.h"

#include <cstring>

#include "dataplane/classify.h"

namespace gmesp {

namespace {

uint16_t fold(uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// One's complement sum of 16-bit big-endian words; an odd last byte counts as the high half of one.
// Two words at a time are added as this CPU reads them and swapped once at the end: carries go
// round, so it is the same sum (RFC 1071 2 (B), (C)).
uint64_t sum_of(const uint8_t* bytes, size_t count) {
  uint64_t sum = 0;
  for (; count >= sizeof(uint32_t); bytes += sizeof(uint32_t), count -= sizeof(uint32_t)) {
    uint32_t words;
    std::memcpy(&words, bytes, sizeof words);
    sum += words;
  }
  if (count >= sizeof(uint16_t)) {
    uint16_t word;
    std::memcpy(&word, bytes, sizeof word);
    sum += word;
    bytes += sizeof word;
  }
  if (count % 2 != 0) sum += *bytes;
  return __builtin_bswap16(fold(sum));
}

uint64_t ipv4_header_sum(const Packet& packet) {
  const auto& ip = packet.header<Ipv4Header>(packet.ip_offset);
  return sum_of(packet.data + packet.ip_offset, ip.header_bytes());
}

// RFC 9293 3.1, RFC 8200 8.1: the mapped prefix of IPv4 addresses is not part of it.
uint64_t pseudo_header_sum(const Packet& packet, Protocol protocol, size_t covered_bytes) {
  const Address source = source_address(packet);
  const Address destination = destination_address(packet);
  const size_t skipped = packet.is_ipv4() ? 12 : 0;
  return sum_of(source.bytes.data() + skipped, 16 - skipped) +
         sum_of(destination.bytes.data() + skipped, 16 - skipped) + static_cast<uint8_t>(protocol) +
         covered_bytes;
}

}  // namespace

uint16_t internet_checksum(const uint8_t* bytes, size_t count) {
  return static_cast<uint16_t>(~fold(sum_of(bytes, count)));
}

uint16_t icmp_checksum(const Packet& packet, size_t offset) {
  const size_t bytes = end_of_ip(packet) - offset;
  const uint64_t pseudo = packet.is_ipv4() ? 0 : pseudo_header_sum(packet, Protocol::icmpv6, bytes);
  return static_cast<uint16_t>(~fold(pseudo + sum_of(packet.data + offset, bytes)));
}

bool transport_checksum_good(const Packet& packet) {
  UpperLayer upper;
  Flow flow;
  if (!find_upper_layer(packet, upper).is_pass() || !read_flow(packet, upper, flow).is_pass()) {
    return false;
  }
  size_t covered_bytes = size_t{packet.length} - upper.offset;
  if (upper.protocol == Protocol::udp) {
    const auto& udp = packet.header<UdpHeader>(upper.offset);
    if (udp.checksum.host() == 0) return packet.is_ipv4();
    // Bytes may follow that UDP does not cover.
    if (udp.length.host() > covered_bytes) return false;
    covered_bytes = udp.length.host();
  } else if (upper.protocol != Protocol::tcp) {
    return true;
  }
  const uint64_t sum = pseudo_header_sum(packet, upper.protocol, covered_bytes) +
                       sum_of(packet.data + upper.offset, covered_bytes);
  return fold(sum) == 0xffff;
}

bool ipv4_checksum_good(const Packet& packet) { return fold(ipv4_header_sum(packet)) == 0xffff; }

void write_ipv4_checksum(Packet& packet) {
  auto& ip = packet.header<Ipv4Header>(packet.ip_offset);
  ip.header_checksum = Be16(0);
  ip.header_checksum = Be16(static_cast<uint16_t>(~fold(ipv4_header_sum(packet))));
}

void write_checksums(Packet& packet) {
  if (packet.is_ipv4()) write_ipv4_checksum(packet);
  auto& udp = packet.header<UdpHeader>(packet.payload_offset);
  udp.checksum = Be16(0);
  const uint64_t sum = pseudo_header_sum(packet, Protocol::udp, packet.payload_bytes()) +
                       sum_of(packet.payload(), packet.payload_bytes());
  const auto checksum = static_cast<uint16_t>(~fold(sum));
  udp.checksum = Be16(checksum == 0 ? uint16_t{0xffff} : checksum);  // RFC 768: 0 is "none"
}

}  // namespace gmesp
