// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/esp.h"

#include <array>
#include <cstring>

#include "dataplane/checksum.h"

namespace gmesp {

namespace {

constexpr std::array<uint8_t, 256> make_default_padding() {
  std::array<uint8_t, 256> padding{};
  for (size_t i = 0; i < padding.size(); ++i) padding[i] = static_cast<uint8_t>(i + 1);
  return padding;
}
constexpr std::array<uint8_t, 256> kDefaultPadding =
    make_default_padding();  // RFC 4303 2.4: 1, 2, 3, ...

// Length and next header of the packet, with the IPv4 header checksum kept true (or as false as it
// was).
void mend_ip_header(Packet& packet, Protocol next_header) {
  if (!packet.is_ipv4()) {
    packet.next_header() = next_header;
    packet.header<Ipv6Header>(packet.ip_offset).payload_length =
        Be16(static_cast<uint16_t>(packet.ip_bytes() - sizeof(Ipv6Header)));
    return;
  }
  auto& ip = packet.header<Ipv4Header>(packet.ip_offset);
  const uint16_t length_before = ip.total_length.host();
  const uint16_t length_after = packet.ip_bytes();
  const auto word = [&ip](Protocol protocol) {
    return static_cast<uint16_t>(ip.time_to_live << 8 | static_cast<uint8_t>(protocol));
  };
  ip.header_checksum = updated_checksum(ip.header_checksum, length_before, length_after);
  ip.header_checksum = updated_checksum(ip.header_checksum, word(ip.protocol), word(next_header));
  ip.total_length = Be16(length_after);
  ip.protocol = next_header;
}

// Moves the headers in front of the payload by `bytes`: negative towards the headroom.
void shift_headers(Packet& packet, int bytes) {
  uint8_t* const from = packet.data;
  packet.data += bytes;
  packet.length = static_cast<uint16_t>(packet.length - bytes);
  std::memmove(packet.data, from, packet.payload_offset);
}

}  // namespace

void add_esp(Packet& packet, const SuiteInfo& info, Spi spi, SequenceNumber number) {
  const uint16_t payload_bytes = packet.payload_bytes();
  const uint16_t back = esp_back_bytes(info, payload_bytes);
  const auto padding = static_cast<uint8_t>(back - sizeof(EspTrailer) - info.icv_bytes);

  uint8_t* const behind = packet.payload() + payload_bytes;
  std::memcpy(behind, kDefaultPadding.data(), padding);
  behind[padding] = padding;
  behind[padding + 1] = static_cast<uint8_t>(packet.next_header());
  packet.length = static_cast<uint16_t>(packet.length + back);

  shift_headers(packet, -int{esp_front_bytes(info)});
  auto& esp = packet.header<EspHeader>(packet.payload_offset);
  esp.spi = Be32(static_cast<uint32_t>(spi));
  esp.sequence_number = Be32(static_cast<uint32_t>(number));
  mend_ip_header(packet, Protocol::esp);
}

Verdict strip_esp(Packet& packet, const SuiteInfo& info, bool check_padding) {
  const uint16_t front = esp_front_bytes(info);
  const auto protected_bytes =
      static_cast<uint16_t>(packet.payload_bytes() - front - info.icv_bytes);
  const uint8_t* const end = packet.payload() + front + protected_bytes;
  const uint8_t padding = end[-2];
  const auto next_header = static_cast<Protocol>(end[-1]);
  if (padding + sizeof(EspTrailer) > protected_bytes) return Verdict::drop(Drop::bad_padding);
  if (check_padding &&
      std::memcmp(end - sizeof(EspTrailer) - padding, kDefaultPadding.data(), padding) != 0) {
    return Verdict::drop(Drop::bad_padding);
  }
  if (next_header == Protocol::none) return Verdict::drop(Drop::dummy_packet);

  packet.length =
      static_cast<uint16_t>(packet.length - info.icv_bytes - sizeof(EspTrailer) - padding);
  shift_headers(packet, front);
  mend_ip_header(packet, next_header);
  return Verdict::pass();
}

}  // namespace gmesp
