// SPDX-License-Identifier: BSD-3-Clause
// What fits the access MTU, and the TCP MSS that keeps segments small enough (SPEC 8.1).
#include "tests/path_lab.h"

namespace gmesp {
namespace {

struct MssRow {
  std::vector<Suite> suites;
  uint16_t mss[2][3];  // IPv4, IPv6; MTU 1500, 1400, 1280
};
constexpr uint16_t kMtus[3] = {1500, 1400, 1280};
// SPEC 8.1, computed apart from the engine.
const MssRow kMssTable[] = {
    {{Suite::md5_null, Suite::sha1_null}, {{1438, 1338, 1218}, {1418, 1318, 1198}}},
    {{Suite::md5_des3, Suite::sha1_des3}, {{1426, 1330, 1210}, {1410, 1306, 1186}}},
    {{Suite::md5_aes_cbc, Suite::sha1_aes_cbc}, {{1418, 1322, 1194}, {1402, 1290, 1178}}},
    {{Suite::aes_gcm, Suite::aes_gmac}, {{1426, 1326, 1206}, {1406, 1306, 1186}}},
};

struct Case {
  Suite suite;
  Address ue;
  Address pcscf;
  uint16_t mtu;
  uint16_t mss;

  PathConfig config() const {
    PathConfig config;
    config.access_mtu = mtu;
    return config;
  }
  TestSa sa_in() const { return {suite, 0x5001, {ue, pcscf, kUePort, kPcscfPort}}; }
  TestSa sa_out() const { return {suite, 0x5002, {pcscf, ue, kPcscfPort, kUePort}}; }
  PacketBuilder from_host() const { return PacketBuilder().ip(pcscf, ue); }
  PacketBuilder from_ue() const { return PacketBuilder().ip(ue, pcscf); }
};

template <typename Check>
void for_each_case(Check&& check) {
  for (const MssRow& row : kMssTable) {
    for (const Suite suite : row.suites) {
      for (size_t i = 0; i < 6; ++i) {
        const bool v4 = i < 3;
        const Case c{suite, v4 ? kUe4 : kUe6, v4 ? kPcscf4 : kPcscf6, kMtus[i % 3],
                     row.mss[v4 ? 0 : 1][i % 3]};
        SCOPED_TRACE(suite_label(suite) + (v4 ? " IPv4 " : " IPv6 ") + std::to_string(c.mtu));
        check(c);
      }
    }
  }
}

// ESP-15
TEST(PathMtu, SendsWhatJustFitsWholeAndOneByteMoreInFragments) {
  for_each_case([](const Case& c) {
    PathLab lab(open_policy(), c.config());
    lab.install_out(c.sa_out());
    // The largest UDP payload is the MSS and the 12 bytes that TCP's header is longer.
    const size_t udp = c.mss + 12u, tcp = c.mss;
    PacketBuilder packet = c.from_host().udp(kPcscfPort, kUePort);
    const Outcome fits = lab.out(packet.payload(udp));
    ASSERT_EQ(fits.frames.size(), 1u);
    EXPECT_LE(fits.frames[0].size(), sizeof(EthernetHeader) + c.mtu);
    EXPECT_EQ(lab.out(packet.payload(udp + 1)).frames.size(), 2u);
    PacketBuilder segment = c.from_host().tcp(kPcscfPort, kUePort);
    EXPECT_EQ(lab.out(segment.payload(tcp)).frames.size(), 1u);
    EXPECT_EQ(lab.out(segment.payload(tcp + 1)).frames.size(), 2u);
  });
}

// ESP grows by whole words, so the table alone leaves the comparison's last bytes open. Headers in
// front of ESP count too.
TEST(PathMtu, AnMtuOfThePacketsExactSizeIsEnoughAndOneByteLessIsNot) {
  for_each_case([](const Case& c) {
    const PacketBuilder plain = c.from_host().udp(kPcscfPort, kUePort).payload(700);
    const PacketBuilder longer = c.ue.is_v4() ? PacketBuilder(plain).ip_options(Bytes(8, 1))
                                              : PacketBuilder(plain).hop_by_hop();
    for (const PacketBuilder& packet : {plain, longer}) {
      const size_t bytes = PacketBuilder(packet).esp(c.sa_out(), 1).ip_packet().size();
      for (const size_t mtu : {bytes, bytes - 1}) {
        PathConfig config;
        config.access_mtu = static_cast<uint16_t>(mtu);
        PathLab lab(open_policy(), config);
        lab.install_out(c.sa_out());
        EXPECT_EQ(lab.out(packet).frames.size(), mtu == bytes ? 1u : 2u) << bytes;
      }
    }
  });
}

TEST(PathMtu, APacketThatIsAnsweredUsesNoSequenceNumber) {
  PathConfig config;
  config.answer_too_big = true;
  PathLab lab(open_policy(), config);
  const TestSa sa{Suite::md5_null, 0x5002, {kPcscf6, kUe6}};
  const SaIndex index = lab.install_out(sa);
  const PacketBuilder packet = PacketBuilder().ip(kPcscf6, kUe6).udp(1, 2);
  EXPECT_EQ(lab.out(PacketBuilder(packet).payload(1500)).drops,
            (std::map<Drop, uint64_t>{{Drop::packet_too_big, 1}}));
  EXPECT_EQ(lab.spd.sas()[index].last_sent, SequenceNumber{0});
}

Bytes mss_option(uint16_t mss) {
  return {2, 4, static_cast<uint8_t>(mss >> 8), static_cast<uint8_t>(mss)};
}

// The builder computes the checksum of the clamped segment anew.
TEST(PathMtu, ClampsTheMssOfBothDirectionsToTheTable) {
  for_each_case([](const Case& c) {
    PathLab lab(open_policy(), c.config());
    lab.install_in(c.sa_in());
    lab.install_out(c.sa_out());
    const auto syn = [&](uint16_t mss) {
      return c.from_ue().tcp(kUePort, kPcscfPort, kTcpSyn, mss_option(mss));
    };
    uint32_t number = 0;
    for (const int offered : {1460, c.mss + 1, int{c.mss}, c.mss - 1, 536}) {
      const auto mss = static_cast<uint16_t>(offered);
      const PacketBuilder expected = syn(std::min(mss, c.mss));
      EXPECT_EQ(lab.in(syn(mss).esp(c.sa_in(), ++number)), passed(expected)) << mss;
    }
    const auto answer = [&](uint16_t mss) {
      return c.from_host().tcp(kPcscfPort, kUePort, kTcpSyn | kTcpAck, mss_option(mss));
    };
    const Outcome outcome = lab.out(answer(1460));
    ASSERT_EQ(outcome.frames.size(), 1u);
    const size_t esp = answer(c.mss).esp_offset();
    const Frame expected = answer(c.mss).esp(c.sa_out(), 1).frame();
    const auto open = [&](const Frame& frame) {
      return reference::open(c.suite, c.sa_out().keys(), std::span(frame).subspan(esp));
    };
    EXPECT_TRUE(open(expected));
    EXPECT_EQ(open(outcome.frames[0]), open(expected));
  });
}

TEST(PathMtu, FindsTheMssAmongOtherOptionsAtOddAndEvenOffsets) {
  const TestSa sa{Suite::sha1_null};
  const Bytes timestamps{8, 10, 0, 0, 0, 1, 0, 0, 0, 0};
  const auto join = [](std::initializer_list<Bytes> parts) {
    Bytes all;
    for (const Bytes& part : parts) append(all, part);
    while (all.size() % 4 != 0) all.push_back(1);
    return all;
  };
  const auto orders = [&](uint16_t mss) {
    return std::vector<Bytes>{
        join({mss_option(mss), timestamps}), join({{1}, mss_option(mss)}),
        join({{1, 1}, mss_option(mss)}),     join({{1, 1, 1}, mss_option(mss), timestamps}),
        join({{3, 3, 7}, mss_option(mss)}),  join({timestamps, {1}, mss_option(mss), {0, 0}}),
    };
  };
  PathLab lab;
  lab.install_in(sa);
  uint32_t number = 0;
  for (size_t i = 0; i < orders(0).size(); ++i) {
    const auto syn = [&](uint16_t mss) {
      return PacketBuilder().tcp(kUePort, kPcscfPort, kTcpSyn, orders(mss)[i]).payload(i);
    };
    EXPECT_EQ(lab.in(syn(0xfffe).esp(sa, ++number)), passed(syn(1418))) << "order " << i;
  }
}

TEST(PathMtu, LeavesSegmentsAloneThatOfferNoMss) {
  const TestSa sa{Suite::sha1_null};
  PathLab lab;
  lab.install_in(sa);
  const auto segment = [](uint8_t flags, const Bytes& options) {
    return PacketBuilder().tcp(kUePort, kPcscfPort, flags, options);
  };
  const PacketBuilder packets[] = {
      segment(kTcpAck, mss_option(9000)),                // no SYN: not an offer
      segment(kTcpSyn, {}),                              // none
      segment(kTcpSyn, {0, 2, 4, 0x23, 0x28, 0, 0, 0}),  // behind the end of options
      segment(kTcpSyn, {2, 3, 0x23, 0x28}),              // wrong length
      segment(kTcpSyn, {3, 0, 2, 4, 0x23, 0x28, 0, 0}),  // an option of no length hides it
      segment(kTcpSyn, {1, 1, 2, 4}),                    // cut off
      segment(kTcpSyn, {1, 1, 1, 2}),
  };
  uint32_t number = 0;
  for (const PacketBuilder& packet : packets) {
    EXPECT_EQ(lab.in(PacketBuilder(packet).esp(sa, ++number)), passed(packet)) << number;
  }
}

TEST(PathMtu, LeavesTheMssOfCleartextAlone) {
  PathLab lab;
  const PacketBuilder syn = PacketBuilder().tcp(5060, 5060, kTcpSyn, mss_option(9000));
  EXPECT_EQ(lab.in(syn), passed(syn));
  EXPECT_EQ(lab.out(syn), passed(syn));
}

}  // namespace
}  // namespace gmesp
