// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/checksum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "dataplane/classify.h"
#include "tests/fake_port.h"
#include "tests/packet_builder.h"

namespace gmesp {
namespace {

Bytes header_with(uint16_t field) {
  Bytes header = counting_bytes(20, 4);
  header[4] = static_cast<uint8_t>(field >> 8);
  header[5] = static_cast<uint8_t>(field);
  return header;
}

// Every value, from and to some that carry: the same as computing the sum anew (RFC 1624 3).
TEST(UpdatedChecksum, EqualsANewSum) {
  constexpr uint16_t kFixed[] = {0, 1, 0x5555, 0x7fff, 0x8000, 0xfffe, 0xffff};
  for (const uint16_t fixed : kFixed) {
    const Be16 of_fixed(internet_checksum(header_with(fixed)));
    for (uint32_t value = 0; value <= 0xffff; ++value) {
      const auto other = static_cast<uint16_t>(value);
      const Be16 of_other(internet_checksum(header_with(other)));
      ASSERT_TRUE(updated_checksum(of_fixed, fixed, other) == of_other) << other;
      ASSERT_TRUE(updated_checksum(of_other, other, fixed) == of_fixed) << other;
    }
  }
}

// RFC 1624 section 4: the case that the formula of RFC 1141 gets wrong.
TEST(UpdatedChecksum, ExampleOfRfc1624) {
  EXPECT_EQ(updated_checksum(Be16(0xdd2f), 0x5555, 0x3285).host(), 0x0000);
}

// RFC 1071, byte by byte (packet_builder.h): at every alignment, behind the last whole word
// whatever is left, and where every carry goes round. What follows does not count.
TEST(InternetChecksum, EqualsTheNaiveSumAtEveryAlignmentAndLength) {
  std::mt19937 random(1);
  const auto any_byte = [&] { return static_cast<uint8_t>(random()); };
  const auto ff = [] { return uint8_t{0xff}; };
  std::vector<size_t> lengths(71);
  std::iota(lengths.begin(), lengths.end(), 0);
  for (size_t length = 1396; length <= 1404; ++length) lengths.push_back(length);
  for (const size_t length : lengths) {
    for (size_t at = 0; at < 16; ++at) {
      for (int round = 0; round < 8; ++round) {
        Bytes bytes(at + length + 8);
        std::generate(bytes.begin(), bytes.end(), [&] { return round == 0 ? ff() : any_byte(); });
        const Bytes summed(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end() - 8);
        ASSERT_EQ(internet_checksum(bytes.data() + at, length), internet_checksum(summed))
            << length << " bytes at " << at;
      }
    }
  }
}

bool good(const Frame& frame) {
  Packet packet = make_packet(frame);
  EXPECT_TRUE(classify(packet).is_pass());
  trim_to_ip(packet);
  const bool result = transport_checksum_good(packet);
  release(packet);
  return result;
}

PacketBuilder v4() { return PacketBuilder().ip(kUe4, kPcscf4); }
PacketBuilder v6() { return PacketBuilder().ip(kUe6, kPcscf6); }
size_t transport_offset(const Frame& frame) { return frame[14] >> 4 == 4 ? 34 : 54; }

TEST(TransportChecksum, IsGoodForEveryLength) {
  for (size_t bytes = 0; bytes <= 1500; ++bytes) {
    EXPECT_TRUE(good(v4().udp(5100, 6101).payload(bytes).frame())) << bytes;
    EXPECT_TRUE(good(v6().udp(5100, 6101).payload(bytes).frame())) << bytes;
    EXPECT_TRUE(good(v4().tcp(5100, 6101).payload(bytes).frame())) << bytes;
    EXPECT_TRUE(good(v6().tcp(5100, 6101).payload(bytes).frame())) << bytes;
  }
}

TEST(TransportChecksum, IsFoundBehindOptionsAndInPaddedFrames) {
  EXPECT_TRUE(good(v4().vlan(1).ip_options(Bytes(8, 1)).udp(1, 2).frame_padding(9).frame()));
  EXPECT_TRUE(good(v6().hop_by_hop().destination_options().tcp(1, 2).frame_padding(9).frame()));
}

// From the IP addresses to the last byte, each bit is covered. Left out: what else the IP header
// has, and what makes the packet another one (UDP length, TCP header length).
TEST(TransportChecksum, OneWrongBitIsBad) {
  for (const Frame& frame :
       {v4().udp(5100, 6101).payload(33).frame(), v6().udp(1, 2).frame(),
        v4().tcp(5100, 6101).payload(33).frame(), v6().tcp(5100, 6101).payload(32).frame()}) {
    const size_t transport = transport_offset(frame);
    const size_t addresses = transport == 34 ? 26 : 22;
    const bool udp = frame[transport == 34 ? 23 : 20] == 17;
    for (size_t offset = addresses; offset < frame.size(); ++offset) {
      if (udp && (offset == transport + 4 || offset == transport + 5)) continue;
      for (int bit = 0; bit < 8; ++bit) {
        Frame wrong = frame;
        wrong[offset] ^= static_cast<uint8_t>(1 << bit);
        EXPECT_FALSE(good(wrong)) << offset;
      }
    }
  }
}

// RFC 768: none; RFC 8200 8.1: IPv6 must have one.
TEST(TransportChecksum, ZeroIsNoneForUdpOverIpv4Only) {
  for (const auto& [frame, expected] : {std::pair{v4().udp(1, 2).payload(5).frame(), true},
                                        {v6().udp(1, 2).payload(5).frame(), false}}) {
    Frame none = frame;
    none[transport_offset(frame) + 6] = none[transport_offset(frame) + 7] = 0;
    EXPECT_EQ(good(none), expected);
  }
  Frame tcp = v4().tcp(1, 2).payload(5).frame();
  tcp[34 + 16] = tcp[34 + 17] = 0;
  EXPECT_FALSE(good(tcp));
}

TEST(TransportChecksum, CoversNoMoreThanUdpSays) {
  // A datagram of 8 + 4 bytes, then 6 bytes that are the IP packet's but not UDP's.
  const Frame inner = v4().udp(5100, 6101).payload(4).frame();
  Bytes datagram(inner.begin() + 34, inner.end());
  append(datagram, {9, 9, 9, 9, 9, 9});
  EXPECT_TRUE(good(v4().content(Protocol::udp, datagram).frame()));
  datagram[4] = 0;
  datagram[5] = 40;  // more than there is
  EXPECT_FALSE(good(v4().content(Protocol::udp, datagram).frame()));
}

TEST(TransportChecksum, OtherProtocolsHaveNoneHere) {
  EXPECT_TRUE(good(v4().icmp(8).frame()));
  EXPECT_TRUE(good(v6().content(Protocol::esp, Bytes(20, 0)).frame()));
  EXPECT_FALSE(good(v4().content(Protocol::udp, Bytes(7, 0)).frame()));  // no whole header
}

// The builder computes its checksums on its own.
TEST(WriteChecksums, AreThoseOfTheSender) {
  for (const PacketBuilder& builder : {v4(), v6(), v4().ip_options(Bytes(8, 1))}) {
    for (const size_t bytes : {0u, 1u, 17u, 1400u}) {
      const Frame expected = PacketBuilder(builder).udp(kUePort, kPcscfPort).payload(bytes).frame();
      Frame frame = expected;
      const bool options = frame[14] == 0x47;
      frame[transport_offset(frame) + (options ? 8 : 0) + 6] ^= 0x5a;
      if (frame[14] >> 4 == 4) frame[24] ^= 0x5a;
      Packet packet = make_packet(frame);
      ASSERT_TRUE(classify(packet).is_pass());
      write_checksums(packet);
      EXPECT_EQ(frame_of(packet), expected);
      release(packet);
    }
  }
}

}  // namespace
}  // namespace gmesp
