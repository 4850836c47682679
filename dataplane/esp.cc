// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/esp.h"

#include <smmintrin.h>

#include <array>
#include <cstring>

#include "dataplane/checksum.h"

namespace gmesp {

namespace {

constexpr size_t kMaxPadding = 255;

// RFC 4303 2.4: padding is 1, 2, 3, ... Zeros in front, so that any 16 bytes that end with the
// padding can be compared at once.
constexpr auto kDefaultPadding = [] {
  std::array<uint8_t, 16 + kMaxPadding> bytes{};
  for (size_t i = 0; i < kMaxPadding; ++i) bytes[16 + i] = static_cast<uint8_t>(i + 1);
  return bytes;
}();
constexpr const uint8_t* kPaddingBytes = kDefaultPadding.data() + 16;

// Zeros, then ones: which of those 16 bytes count.
constexpr auto kPaddingMask = [] {
  std::array<uint8_t, 32> bytes{};
  for (size_t i = 16; i < bytes.size(); ++i) bytes[i] = 0xff;
  return bytes;
}();

// `trailer` stands behind `padding` bytes of padding and at least 16 bytes of the packet.
bool has_default_padding(const uint8_t* trailer, uint8_t padding) {
  if (padding > 16) return std::memcmp(trailer - padding, kPaddingBytes, padding) == 0;
  const auto load = [](const uint8_t* bytes) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  };
  const __m128i wrong = _mm_xor_si128(load(trailer - 16), load(&kDefaultPadding[padding]));
  return _mm_testz_si128(wrong, load(&kPaddingMask[padding])) != 0;
}

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

// memmove of 32 to 64 bytes without a call: an Ethernet and an IP header with at most a few tags
// and options.
void move_headers(uint8_t* to, const uint8_t* from, size_t bytes) {
  using Half = std::array<uint8_t, 32>;
  if (bytes < sizeof(Half) || bytes > 2 * sizeof(Half)) {
    std::memmove(to, from, bytes);
    return;
  }
  Half first, last;  // they overlap
  std::memcpy(&first, from, sizeof first);
  std::memcpy(&last, from + bytes - sizeof last, sizeof last);
  std::memcpy(to, &first, sizeof first);
  std::memcpy(to + bytes - sizeof last, &last, sizeof last);
}

// Moves the headers in front of the payload by `bytes`: negative towards the headroom.
void shift_headers(Packet& packet, int bytes) {
  uint8_t* const from = packet.data;
  packet.data += bytes;
  packet.length = static_cast<uint16_t>(packet.length - bytes);
  move_headers(packet.data, from, packet.payload_offset);
}

}  // namespace

void add_esp(Packet& packet, const SuiteInfo& info, Spi spi, SequenceNumber number) {
  const uint16_t payload_bytes = packet.payload_bytes();
  const uint16_t back = esp_back_bytes(info, payload_bytes);
  const auto padding = static_cast<uint8_t>(back - sizeof(EspTrailer) - info.icv_bytes);

  uint8_t* const behind = packet.payload() + payload_bytes;
  static_assert(kTailroomBytes >= 16, "a whole vector of padding is written, however much counts");
  std::memcpy(behind, kPaddingBytes, 16);
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
  if (check_padding && !has_default_padding(end - sizeof(EspTrailer), padding)) {
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
