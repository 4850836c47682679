// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/fragmentation.h"

#include <algorithm>
#include <cstring>

#include "dataplane/checksum.h"
#include "dataplane/options.h"

namespace gmesp {

namespace {

constexpr uint8_t kCopied = 0x80;

// The options with the copied flag, padded to whole words with End of Option List, which is 0. What
// stands behind an option of an impossible length goes into the first fragment alone.
size_t copy_options(const uint8_t* options, size_t bytes, std::array<uint8_t, 40>& copied) {
  size_t used = 0;
  for_each_option(options, bytes, [&](size_t at, size_t length) {
    if ((options[at] & kCopied) == 0) return;
    std::memcpy(copied.data() + used, options + at, length);
    used += length;
  });
  return (used + 3) / 4 * 4;
}

void plan_ipv4(const Packet& packet, Fragmentation& plan) {
  const auto& ip = packet.header<Ipv4Header>(packet.ip_offset);
  const size_t header_bytes = ip.header_bytes();
  plan.payload_offset = static_cast<uint16_t>(packet.ip_offset + header_bytes);
  plan.first_headers = static_cast<uint16_t>(header_bytes);
  const size_t copied = copy_options(packet.data + packet.ip_offset + sizeof(Ipv4Header),
                                     header_bytes - sizeof(Ipv4Header), plan.copied_options);
  plan.later_headers = static_cast<uint16_t>(sizeof(Ipv4Header) + copied);
}

// RFC 8200 4.5: every fragment has the headers up to the routing header, or up to the hop-by-hop
// options. classify() has walked over them.
void plan_ipv6(const Packet& packet, Fragmentation& plan) {
  auto next_header = static_cast<uint16_t>(packet.ip_offset + offsetof(Ipv6Header, next_header));
  auto offset = static_cast<uint16_t>(packet.ip_offset + sizeof(Ipv6Header));
  plan.next_header_offset = next_header;
  plan.payload_offset = offset;
  while (offset < packet.payload_offset) {
    const auto protocol = packet.header<Protocol>(next_header);
    next_header = offset;
    offset = static_cast<uint16_t>(offset + packet.header<Ipv6ExtensionHeader>(offset).bytes());
    if (protocol == Protocol::hop_by_hop || protocol == Protocol::routing) {
      plan.next_header_offset = next_header;
      plan.payload_offset = offset;
    }
  }
  plan.first_headers =
      static_cast<uint16_t>(plan.payload_offset - packet.ip_offset + sizeof(Ipv6FragmentHeader));
  plan.later_headers = plan.first_headers;
}

void write_ipv4(const Packet& packet, const Fragmentation& plan, size_t number,
                uint32_t identification, Packet& fragment) {
  uint8_t* const header = fragment.data + fragment.ip_offset;
  const uint8_t* const original = packet.data + packet.ip_offset;
  const size_t header_bytes = plan.headers_of(number);
  std::memcpy(header, original, number == 0 ? header_bytes : sizeof(Ipv4Header));
  if (number != 0) {
    std::memcpy(header + sizeof(Ipv4Header), plan.copied_options.data(),
                header_bytes - sizeof(Ipv4Header));
  }
  const bool last = number + 1 == plan.fragments();
  auto& ip = fragment.header<Ipv4Header>(fragment.ip_offset);
  ip.version_and_ihl = static_cast<uint8_t>(0x40 | header_bytes / 4);
  ip.total_length = Be16(fragment.ip_bytes());
  ip.identification = Be16(static_cast<uint16_t>(identification));
  ip.flags_and_fragment_offset = Be16(static_cast<uint16_t>(
      (last ? 0 : kIpv4MoreFragments) | plan.offset_of(number) / kFragmentUnitBytes));
  write_ipv4_checksum(fragment);
  fragment.next_header_offset =
      static_cast<uint16_t>(fragment.ip_offset + offsetof(Ipv4Header, protocol));
  fragment.payload_offset = static_cast<uint16_t>(fragment.ip_offset + header_bytes);
}

void write_ipv6(const Packet& packet, const Fragmentation& plan, size_t number,
                uint32_t identification, Packet& fragment) {
  const size_t in_front = size_t{plan.payload_offset} - packet.ip_offset;
  std::memcpy(fragment.data + fragment.ip_offset, packet.data + packet.ip_offset, in_front);
  fragment.header<Ipv6Header>(fragment.ip_offset).payload_length =
      Be16(static_cast<uint16_t>(fragment.ip_bytes() - sizeof(Ipv6Header)));
  fragment.next_header_offset = plan.next_header_offset;
  fragment.payload_offset = plan.payload_offset;
  fragment.next_header() = Protocol::fragment;

  const bool last = number + 1 == plan.fragments();
  auto& header = fragment.header<Ipv6FragmentHeader>(fragment.payload_offset);
  header.next_header = packet.header<Protocol>(plan.next_header_offset);
  header.reserved = 0;
  header.offset_and_more =
      Be16(static_cast<uint16_t>(plan.offset_of(number) | (last ? 0 : kIpv6MoreFragments)));
  header.identification = Be32(identification);
}

}  // namespace

size_t Fragmentation::payload_of(size_t number) const {
  return std::min<size_t>(number == 0 ? first_payload : later_payload,
                          payload_bytes - offset_of(number));
}

std::optional<Fragmentation> plan_fragments(const Packet& packet, uint16_t mtu) {
  Fragmentation plan;
  packet.is_ipv4() ? plan_ipv4(packet, plan) : plan_ipv6(packet, plan);
  if (plan.first_headers + kFragmentUnitBytes > mtu) return std::nullopt;
  plan.payload_bytes = static_cast<uint16_t>(packet.length - plan.payload_offset);
  plan.first_payload =
      static_cast<uint16_t>((mtu - plan.first_headers) / kFragmentUnitBytes * kFragmentUnitBytes);
  plan.later_payload =
      static_cast<uint16_t>((mtu - plan.later_headers) / kFragmentUnitBytes * kFragmentUnitBytes);
  if (plan.fragments() > Fragmentation::kMaxFragments) return std::nullopt;
  return plan;
}

void write_fragment(const Packet& packet, const Fragmentation& plan, size_t number,
                    uint32_t identification, Packet& fragment) {
  fragment.ip_offset = packet.ip_offset;
  fragment.kind = PacketKind::fragment;
  std::memcpy(fragment.data, packet.data, packet.ip_offset);
  packet.is_ipv4() ? write_ipv4(packet, plan, number, identification, fragment)
                   : write_ipv6(packet, plan, number, identification, fragment);
  std::memcpy(fragment.data + fragment.ip_offset + plan.headers_of(number),
              packet.data + plan.payload_offset + plan.offset_of(number), plan.payload_of(number));
}

}  // namespace gmesp
