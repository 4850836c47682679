// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/tcp_mss.h"

#include <gtest/gtest.h>

#include "dataplane/checksum.h"
#include "dataplane/classify.h"
#include "dataplane/path_config.h"
#include "tests/fake_port.h"
#include "tests/packet_builder.h"

namespace gmesp {
namespace {

constexpr uint16_t kLimit = 1178;

// SPEC 8.1: IPv4 at MTU 1500, 1400, 1280, then IPv6.
TEST(LargestMss, IsThatOfTheTable) {
  constexpr uint16_t kMtus[] = {1500, 1400, 1280};
  struct Row {
    std::initializer_list<Suite> suites;
    uint16_t v4[3];
    uint16_t v6[3];
  };
  const Row kRows[] = {
      {{Suite::md5_null, Suite::sha1_null}, {1438, 1338, 1218}, {1418, 1318, 1198}},
      {{Suite::md5_des3, Suite::sha1_des3}, {1426, 1330, 1210}, {1410, 1306, 1186}},
      {{Suite::md5_aes_cbc, Suite::sha1_aes_cbc}, {1418, 1322, 1194}, {1402, 1290, 1178}},
      {{Suite::aes_gcm, Suite::aes_gmac}, {1426, 1326, 1206}, {1406, 1306, 1186}},
  };
  for (const Row& row : kRows) {
    for (const Suite suite : row.suites) {
      for (size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(largest_mss(suite_info(suite), true, kMtus[i]), row.v4[i]) << suite_label(suite);
        EXPECT_EQ(largest_mss(suite_info(suite), false, kMtus[i]), row.v6[i]) << suite_label(suite);
      }
    }
  }
}

TEST(LargestMss, IsNoneWhenNothingFits) {
  for (const SuiteInfo& info : kSuites) {
    EXPECT_EQ(largest_mss(info, true, 0), 0);
    EXPECT_EQ(largest_mss(info, false, 39), 0);
    EXPECT_EQ(largest_mss(info, false, 40 + 20), 0);
  }
}

// What a clamp to kLimit makes of a segment.
Frame clamped(const Frame& frame) {
  Packet packet = make_packet(frame);
  EXPECT_TRUE(classify(packet).is_pass());
  clamp_mss(packet, kLimit);
  const Frame result = frame_of(packet);
  release(packet);
  return result;
}

Frame segment(bool ipv4, uint8_t flags, const Bytes& options, size_t payload_bytes = 0) {
  PacketBuilder builder;
  builder.vlan(3).ip(ipv4 ? kUe4 : kUe6, ipv4 ? kPcscf4 : kPcscf6);
  if (!ipv4) builder.hop_by_hop().destination_options();
  return builder.tcp(5100, 6101, flags, options).payload(payload_bytes).frame();
}

Bytes mss(uint16_t value) {
  return {2, 4, static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
}

// Whole lists of options with the MSS at every place a sender may put it, even and odd. The builder
// computes both checksums from scratch.
TEST(ClampMss, LowersTheOptionWhereverItIsAndMendsTheChecksum) {
  constexpr uint16_t kTooLarge[] = {1179, 1460, 8960, 32767, 65535};
  const auto list = [](size_t place, uint16_t value) {
    Bytes options(place, 1);
    append(options, mss(value));
    append(options, {8, 10, 1, 2, 3, 4, 5, 6, 7, 8});  // timestamps
    options.resize((options.size() + 3) / 4 * 4, 0);
    return options;
  };
  for (const bool ipv4 : {true, false}) {
    for (const uint8_t flags : {kTcpSyn, static_cast<uint8_t>(kTcpSyn | kTcpAck)}) {
      for (size_t place = 0; place <= 24; ++place) {
        for (const uint16_t value : kTooLarge) {
          EXPECT_EQ(clamped(segment(ipv4, flags, list(place, value))),
                    segment(ipv4, flags, list(place, kLimit)))
              << place << ", " << value;
        }
      }
    }
  }
}

// Some stacks take the first of several, some the last.
TEST(ClampMss, LowersEveryOneOfSeveral) {
  EXPECT_EQ(clamped(segment(true, kTcpSyn, concat(mss(1460), mss(8960)))),
            segment(true, kTcpSyn, concat(mss(kLimit), mss(kLimit))));
}

TEST(ClampMss, NeverRaisesIt) {
  constexpr uint16_t kSmallEnough[] = {0, 1, 536, 1177, 1178};
  for (const uint16_t value : kSmallEnough) {
    const Frame frame = segment(true, kTcpSyn, mss(value));
    EXPECT_EQ(clamped(frame), frame) << value;
  }
}

// RFC 1624: who sent a wrong checksum keeps it.
TEST(ClampMss, AWrongChecksumStaysWrong) {
  Frame frame = segment(true, kTcpSyn, mss(1460));
  frame[18 + 20 + 16] ^= 0x10;
  Frame right = segment(true, kTcpSyn, mss(kLimit));
  const Frame result = clamped(frame);
  EXPECT_NE(result, right);
  Packet packet = make_packet(result);
  ASSERT_TRUE(classify(packet).is_pass());
  EXPECT_FALSE(transport_checksum_good(packet));
  release(packet);
}

TEST(ClampMss, LeavesEverythingElseAsItIs) {
  struct Row {
    const char* name;
    Frame frame;
  };
  const Row kRows[] = {
      {"no SYN", segment(true, kTcpAck, mss(1460), 4)},
      {"no option", segment(true, kTcpSyn, {})},
      {"data that looks like the option", segment(true, kTcpSyn, {1, 1, 1, 0}, 40)},
      {"option behind the end of the list",
       segment(true, kTcpSyn, concat({0, 1, 1, 1}, mss(1460)))},
      {"option inside another", segment(true, kTcpSyn, {5, 6, 2, 4, 5, 180, 1, 1})},
      {"length 3", segment(true, kTcpSyn, {2, 3, 5, 1})},
      {"length 5", segment(true, kTcpSyn, {2, 5, 5, 180, 1, 1, 1, 1})},
      {"length 0", segment(true, kTcpSyn, {2, 0, 5, 180})},
      {"length 1", segment(true, kTcpSyn, {2, 1, 5, 180})},
      {"length 0 of another option before",
       segment(true, kTcpSyn, concat({8, 0, 1, 1}, mss(1460)))},
      {"another option over the end", segment(true, kTcpSyn, {8, 10, 1, 1})},
      {"option over the end of the header", segment(true, kTcpSyn, {1, 2, 4, 5}, 8)},
      {"option of one byte at the end", segment(true, kTcpSyn, {1, 1, 1, 2}, 8)},
      {"value over the end of the header", segment(true, kTcpSyn, {1, 1, 2, 4}, 8)},
      {"udp", PacketBuilder().udp(1, 2).payload(40).frame()},
      {"icmp", PacketBuilder().icmp(128, Bytes(40, 2)).frame()},
  };
  for (const Row& row : kRows) EXPECT_EQ(clamped(row.frame), row.frame) << row.name;
}

// Header lengths that lie: shorter than a TCP header, longer than the packet.
TEST(ClampMss, TrustsNoDataOffset) {
  for (int words = 0; words < 16; ++words) {
    for (const size_t payload : {0u, 3u}) {
      Frame frame = segment(true, kTcpSyn, mss(1460), payload);
      frame[18 + 20 + 12] = static_cast<uint8_t>(words << 4);
      const Frame result = clamped(frame);
      EXPECT_EQ(result == frame, words < 6) << words;
    }
  }
}

// Cut anywhere, the IP header saying so: nothing outside is read, and only a whole option changes.
TEST(ClampMss, TakesSegmentsCutAnywhere) {
  const Bytes whole = concat(Bytes(12, 0), {0x60, kTcpSyn, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 5, 180});
  for (size_t bytes = 0; bytes <= whole.size(); ++bytes) {
    const Frame frame =
        PacketBuilder()
            .content(Protocol::tcp, Bytes(whole.begin(), whole.begin() + static_cast<int>(bytes)))
            .frame();
    EXPECT_EQ(clamped(frame) == frame, bytes < whole.size()) << bytes;
  }
}

}  // namespace
}  // namespace gmesp
