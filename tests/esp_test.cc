// SPDX-License-Identifier: BSD-3-Clause
// The bytes of ESP without cryptography: what add_esp makes has every field where RFC 4303 2 puts
// it, and strip_esp gives back what was there. Packets lie between the least room that a port
// promises.
#include "dataplane/esp.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <string>
#include <utility>

#include "dataplane/classify.h"
#include "tests/fake_port.h"
#include "tests/packet_builder.h"

namespace gmesp {
namespace {

constexpr size_t kLongest = 1500;
constexpr Protocol kInside{132};  // SCTP: the builder writes no checksum into it

PacketBuilder builder(bool ipv4, size_t payload_bytes) {
  PacketBuilder builder;
  builder.ip(ipv4 ? kUe4 : kUe6, ipv4 ? kPcscf4 : kPcscf6);
  return builder.content(kInside, counting_bytes(payload_bytes, 1));
}

class Classified {
 public:
  explicit Classified(const Frame& frame) : packet(make_packet(frame)) {
    EXPECT_TRUE(classify(packet).is_pass());
  }
  ~Classified() { release(packet); }
  Packet packet;
};

// Header, padding and trailer as RFC 4303 2 and 2.4 draw them.
void check_esp_fields(const Packet& packet, const SuiteInfo& info, size_t payload_bytes) {
  const auto& esp = packet.header<EspHeader>(packet.payload_offset);
  EXPECT_EQ(esp.spi.host(), 0x12345678u);
  EXPECT_EQ(esp.sequence_number.host(), 0xfffffffeu);
  const size_t front = sizeof(EspHeader) + info.iv_bytes;
  const uint8_t* const trailer = packet.data + packet.length - info.icv_bytes - sizeof(EspTrailer);
  const size_t padding = trailer[0];
  EXPECT_EQ(trailer[1], static_cast<uint8_t>(kInside));
  EXPECT_EQ(front + payload_bytes + padding + sizeof(EspTrailer) + info.icv_bytes,
            packet.payload_bytes());
  EXPECT_LT(padding, info.alignment_bytes);  // no more than is needed
  EXPECT_EQ((payload_bytes + padding + sizeof(EspTrailer)) % info.alignment_bytes, 0u);
  EXPECT_EQ((payload_bytes + padding + sizeof(EspTrailer)) % 4, 0u);  // RFC 4303 2.4
  const uint8_t* const first = trailer - padding;
  for (size_t i = 0; i < padding; ++i) EXPECT_EQ(first[i], i + 1);
}

void check_ip_header(const Packet& packet) {
  EXPECT_EQ(packet.next_header(), Protocol::esp);
  if (!packet.is_ipv4()) {
    const auto& ip = packet.header<Ipv6Header>(packet.ip_offset);
    EXPECT_EQ(ip.payload_length.host() + sizeof ip, packet.ip_bytes());
    return;
  }
  const auto& ip = packet.header<Ipv4Header>(packet.ip_offset);
  EXPECT_EQ(ip.total_length.host(), packet.ip_bytes());
  const uint8_t* const header = packet.data + packet.ip_offset;
  const uint8_t* const end = packet.payload();
  EXPECT_EQ(internet_checksum(Bytes(header, end)), 0);
}

class EverySuite : public testing::TestWithParam<SuiteInfo> {};
INSTANTIATE_TEST_SUITE_P(Esp, EverySuite, testing::ValuesIn(kSuites), [](const auto& suite) {
  std::string label = suite_label(suite.param.suite);
  std::erase_if(label, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); });
  return label;
});

// ESP-07, ESP-20: headers move, payload stays aligned as it was.
TEST_P(EverySuite, StripIsTheReverseOfAddForEveryLength) {
  const SuiteInfo& info = GetParam();
  for (const bool ipv4 : {true, false}) {
    for (size_t bytes = 0; bytes <= kLongest; ++bytes) {
      const Frame plain = builder(ipv4, bytes).frame();
      Classified classified(plain);
      Packet& packet = classified.packet;
      add_esp(packet, info, Spi{0x12345678}, SequenceNumber{0xfffffffe});
      ASSERT_EQ(packet.length, plain.size() + esp_growth_bytes(info, bytes));
      check_esp_fields(packet, info, bytes);
      check_ip_header(packet);
      ASSERT_TRUE(ciphertext_fits(info, packet.payload_bytes()));
      ASSERT_TRUE(strip_esp(packet, info, true).is_pass());
      ASSERT_EQ(frame_of(packet), plain) << bytes << " bytes";
      if (HasFailure()) return;
    }
  }
}

TEST_P(EverySuite, HeadersThatStayOutsideAreKept) {
  const Frame kFrames[] = {
      PacketBuilder().vlan(7).ip(kUe4, kPcscf4).ip_options(Bytes(24, 1)).udp(1, 2).frame(),
      PacketBuilder().vlan(0, EtherType::qinq).vlan(3).hop_by_hop().routing().udp(1, 2).frame(),
      PacketBuilder().hop_by_hop().destination_options(16).tcp(1, 2).payload(77).frame()};
  for (const Frame& plain : kFrames) {
    Classified classified(plain);
    Packet& packet = classified.packet;
    const uint16_t outside = packet.payload_offset;
    const Protocol inside = packet.next_header();
    add_esp(packet, GetParam(), Spi{1}, SequenceNumber{1});
    check_ip_header(packet);
    EXPECT_EQ(packet.payload_offset, outside);
    Classified again(frame_of(packet));  // what the peer sees
    EXPECT_EQ(again.packet.kind, PacketKind::esp);
    EXPECT_EQ(again.packet.payload_offset, outside);
    ASSERT_TRUE(strip_esp(again.packet, GetParam(), true).is_pass());
    EXPECT_EQ(again.packet.next_header(), inside);
    EXPECT_EQ(frame_of(again.packet), plain);
  }
}

// SPEC 8.1.
TEST_P(EverySuite, GrowthIsThatOfTheTable) {
  const SuiteInfo& info = GetParam();
  uint16_t least = UINT16_MAX;
  uint16_t most = 0;
  for (size_t bytes = 0; bytes <= kLongest; ++bytes) {
    least = std::min(least, esp_growth_bytes(info, bytes));
    most = std::max(most, esp_growth_bytes(info, bytes));
  }
  constexpr std::pair<uint16_t, uint16_t> kNull{22, 25}, kDes3{30, 37}, kAes{38, 53}, kGcm{34, 37};
  const bool combined = info.icv_bytes == 16;
  const auto expected = combined                                               ? kGcm
                        : info.encryption == EncryptionAlgorithm::null         ? kNull
                        : info.encryption == EncryptionAlgorithm::des_ede3_cbc ? kDes3
                                                                               : kAes;
  EXPECT_EQ(std::pair(least, most), expected);
}

TEST_P(EverySuite, CapacityIsTheLargestPayloadThatFits) {
  const SuiteInfo& info = GetParam();
  for (size_t room = 0; room <= kLongest; ++room) {
    const size_t capacity = esp_payload_capacity(info, room);
    EXPECT_GT(capacity + 1 + esp_growth_bytes(info, capacity + 1), room) << room;
    if (capacity != 0) {
      EXPECT_LE(capacity + esp_growth_bytes(info, capacity), room) << room;
    }
  }
}

// An ESP packet whose payload, padding and trailer are given as they would be after decryption.
Frame decrypted(const SuiteInfo& info, bool ipv4, const Bytes& payload_to_trailer) {
  Bytes esp(static_cast<size_t>(esp_front_bytes(info)), 0xee);
  append(esp, payload_to_trailer);
  append(esp, Bytes(info.icv_bytes, 0xee));
  return PacketBuilder()
      .ip(ipv4 ? kUe4 : kUe6, ipv4 ? kPcscf4 : kPcscf6)
      .content(Protocol::esp, esp)
      .frame();
}

Bytes padded(size_t payload_bytes, size_t padding, Protocol next_header) {
  Bytes bytes = counting_bytes(payload_bytes, 1);
  for (size_t i = 1; i <= padding; ++i) bytes.push_back(static_cast<uint8_t>(i));
  bytes.push_back(static_cast<uint8_t>(padding));
  bytes.push_back(static_cast<uint8_t>(next_header));
  return bytes;
}

// ESP-08: a receiver takes 0 to 255 bytes of padding.
TEST_P(EverySuite, EveryLengthOfPaddingIsTaken) {
  const SuiteInfo& info = GetParam();
  for (const bool ipv4 : {true, false}) {
    for (size_t padding = 0; padding < 256; ++padding) {
      const size_t payload = 2 * info.alignment_bytes - (padding + 2) % info.alignment_bytes;
      Classified classified(decrypted(info, ipv4, padded(payload, padding, kInside)));
      ASSERT_TRUE(strip_esp(classified.packet, info, true).is_pass());
      ASSERT_EQ(frame_of(classified.packet), builder(ipv4, payload).frame());
    }
  }
}

Bytes changed_pad_length(Bytes bytes, uint8_t pad_length) {
  bytes[bytes.size() - 2] = pad_length;
  return bytes;
}

Bytes zero_padding(Bytes bytes) {
  std::fill(bytes.begin(), bytes.end() - 2, uint8_t{0});
  return bytes;
}

struct Trailer {
  const char* name;
  Bytes bytes;
  bool checked;
  std::optional<Drop> drop;
};

TEST_P(EverySuite, BadTrailersAreDropped) {
  const Trailer kTrailers[] = {
      {"pad length one too long", changed_pad_length(padded(0, 14, kInside), 15), true,
       Drop::bad_padding},
      {"the same, padding ignored", changed_pad_length(padded(0, 14, kInside), 15), false,
       Drop::bad_padding},
      {"pad length 255", changed_pad_length(padded(0, 14, kInside), 255), false, Drop::bad_padding},
      {"zeros as padding", zero_padding(padded(0, 14, kInside)), true, Drop::bad_padding},
      {"zeros as padding, ignored", zero_padding(padded(0, 14, kInside)), false, {}},
      {"dummy", padded(9, 5, Protocol::none), true, Drop::dummy_packet},  // RFC 4303 2.6
      {"dummy, padding ignored", padded(9, 5, Protocol::none), false, Drop::dummy_packet},
  };
  for (const Trailer& trailer : kTrailers) {
    for (const bool ipv4 : {true, false}) {
      Classified classified(decrypted(GetParam(), ipv4, trailer.bytes));
      const Verdict verdict = strip_esp(classified.packet, GetParam(), trailer.checked);
      EXPECT_EQ(verdict.is_pass(), !trailer.drop) << trailer.name;
      if (trailer.drop) {
        EXPECT_EQ(verdict.reason(), *trailer.drop) << trailer.name;
      }
    }
  }
}

}  // namespace
}  // namespace gmesp
