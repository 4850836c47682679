// SPDX-License-Identifier: BSD-3-Clause
// ICMP "too big" of our own: what it says, whom it is told, and how often; instead of fragments
// where that is configured.
#include "tests/oversize_lab.h"

namespace gmesp {
namespace {

// What an answer has to be, byte by byte: from the destination, back where the packet came from.
Frame expected_answer(const PacketBuilder& about, uint16_t mtu, size_t quoted) {
  const Bytes ip = about.ip_packet();
  const bool v4 = ip[0] >> 4 == 4;
  Bytes quote = ip;
  quote.resize(std::min(ip.size(), quoted));
  Frame frame = v4 ? PacketBuilder().ip(kUe4, kPcscf4).icmp_error(3, 4, mtu, quote).frame()
                   : PacketBuilder().ip(kUe6, kPcscf6).icmp_error(2, 0, mtu, quote).frame();
  const Frame from = about.frame();
  const size_t link = FragmentView(from).ip;
  Frame answer(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(link));
  std::swap_ranges(answer.begin(), answer.begin() + 6, answer.begin() + 6);
  answer.insert(answer.end(), frame.begin() + 14, frame.end());
  return answer;
}

// Headers of our own choosing: type of service, hop limit and the like.
Frame without_own_fields(Frame frame) {
  const size_t ip = FragmentView(frame).ip;
  for (const size_t at : frame.at(ip) >> 4 == 4 ? std::vector<size_t>{1, 4, 5, 6, 7, 8, 10, 11}
                                                : std::vector<size_t>{0, 1, 2, 3, 7}) {
    frame.at(ip + at) = 0;
  }
  return frame;
}

TEST(TooBig, AnswersCleartextThatMustNotBeFragmented) {
  for (const bool v4 : {true, false}) {
    for (const size_t payload : {1500u, 3000u}) {
      OversizeLab lab;
      PacketBuilder packet = v4 ? ipv4_packet() : ipv6_packet();
      packet.vlan(7).udp(5060, 5060).payload(payload);
      EXPECT_EQ(lab.fit_cleartext(packet.frame(), 1500).size(), 0u);
      EXPECT_EQ(lab.counters[Drop::packet_too_big], 1u);
      EXPECT_EQ(lab.counters.answers_made, 1u);
      const std::vector<Frame> answers = lab.take_answers();
      ASSERT_EQ(answers.size(), 1u);
      EXPECT_EQ(without_own_fields(answers[0]),
                without_own_fields(expected_answer(packet, 1500, v4 ? 548 : 1232)));
    }
  }
}

// RFC 1122 3.2.2, RFC 1812 4.3.2.7, RFC 4443 2.4 e.
TEST(TooBig, NeverAnswersErrorsNorWhatIsNotBetweenTwoHosts) {
  const auto big4 = [](const char* from, const char* to) {
    return PacketBuilder()
        .ip(*parse_address(from), *parse_address(to))
        .udp(1, 2)
        .payload(1500)
        .frame();
  };
  std::vector<Frame> frames;
  for (const char* bad : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"}) {
    frames.push_back(big4(bad, "192.0.2.5"));
    frames.push_back(big4("192.0.2.5", bad));
  }
  for (const char* bad : {"::", "::1", "ff02::1"}) {
    frames.push_back(big4(bad, "2001:db8::1"));
    frames.push_back(big4("2001:db8::1", bad));
  }
  for (const int type : {3, 4, 5, 11, 12}) {
    frames.push_back(ipv4_packet().icmp(type, counting_bytes(1500, 1)).frame());
  }
  for (const int type : {1, 2, 3, 4, 127, 137}) {
    frames.push_back(ipv6_packet().icmp(type, counting_bytes(1500, 1)).frame());
  }
  for (const size_t group : {0u, 6u}) {
    frames.push_back(ipv6_packet().udp(1, 2).payload(1500).frame());
    frames.back()[group] |= 1;
  }
  OversizeLab lab;
  for (const Frame& frame : frames) {
    EXPECT_EQ(lab.fit_cleartext(frame, 1500).size(), 0u);
    EXPECT_TRUE(lab.take_answers().empty()) << testing::PrintToString(frame);
  }
  EXPECT_EQ(lab.counters[Drop::packet_too_big], frames.size());
  // Echo requests are no errors.
  for (const Frame& frame : {ipv4_packet().icmp(8, counting_bytes(1500, 1)).frame(),
                             ipv6_packet().icmp(128, counting_bytes(1500, 1)).frame()}) {
    lab.fit_cleartext(frame, 1500);
    EXPECT_EQ(lab.take_answers().size(), 1u);
  }
}

// RFC 1122 3.2.1.2: it may be another's address that is wrong.
TEST(TooBig, AnswersNothingWhoseHeaderChecksumIsWrong) {
  OversizeLab lab;
  Frame frame = ipv4_packet().udp(1, 2).payload(1500).frame();
  frame[sizeof(EthernetHeader) + offsetof(Ipv4Header, time_to_live)] ^= 1;
  EXPECT_EQ(lab.fit_cleartext(frame, 1500).size(), 0u);
  EXPECT_EQ(lab.counters[Drop::bad_ip_checksum], 1u);
  EXPECT_TRUE(lab.take_answers().empty());
}

TEST(TooBig, BoundsTheRateOfAnswers) {
  OversizeLab lab;
  const Frame frame = ipv6_packet().udp(1, 2).payload(1500).frame();
  const auto answered = [&](uint64_t packets) {
    size_t answers = 0;
    for (uint64_t i = 0; i < packets; ++i) {
      lab.fit_cleartext(frame, 1500);
      answers += lab.take_answers().size();
    }
    return answers;
  };
  const size_t at_once = answered(1000);
  EXPECT_GT(at_once, 1u);
  EXPECT_LE(at_once, Oversize::kAnswersPerSecond);
  size_t in_ten_seconds = 0;
  for (int i = 0; i < 1000; ++i) {
    lab.now_tsc += kHz / 100;
    in_ten_seconds += answered(3);
  }
  EXPECT_EQ(in_ten_seconds, 10 * Oversize::kAnswersPerSecond);
  lab.now_tsc -= 5 * kHz;  // a clock that jumps back silences nothing for long
  answered(1);
  lab.now_tsc += kHz / 50;
  EXPECT_GE(answered(10), 1u);
}

TEST(TooBig, AnswersNothingWithoutABuffer) {
  OversizeLab lab(0);
  lab.fit_cleartext(ipv6_packet().udp(1, 2).payload(1500).frame(), 1500);
  EXPECT_EQ(lab.counters[Drop::packet_too_big], 1u);
  EXPECT_EQ(lab.counters.answers_made, 0u);
}

// ESP-15: signalled to the host instead, where that is configured.
TEST(TooBig, TellsTheHostThePlainSizeThatFits) {
  PathConfig config;
  config.answer_too_big = true;
  for (const SuiteInfo& info : kSuites) {
    for (const bool v4 : {true, false}) {
      SCOPED_TRACE(suite_label(info.suite) + (v4 ? " IPv4" : " IPv6"));
      PathLab lab(open_policy(), config);
      const Address& ue = v4 ? kUe4 : kUe6;
      const Address& pcscf = v4 ? kPcscf4 : kPcscf6;
      const SaIndex index = lab.install_out({info.suite, 0x5002, {pcscf, ue, kPcscfPort, kUePort}});
      PacketBuilder packet = PacketBuilder().ip(pcscf, ue).udp(kPcscfPort, kUePort);
      const Outcome told = lab.out(packet.payload(1460));
      EXPECT_EQ(told.drops, (std::map<Drop, uint64_t>{{Drop::packet_too_big, 1}}));
      ASSERT_EQ(told.answers.size(), 1u);
      const size_t mtu = number_at(told.answers[0], 14 + (v4 ? 20 : 40) + 6, 2);
      EXPECT_EQ(
          without_own_fields(told.answers[0]),
          without_own_fields(expected_answer(packet, static_cast<uint16_t>(mtu), v4 ? 548 : 1232)));
      EXPECT_EQ(lab.spd.sas()[index].last_sent, SequenceNumber{0});
      // Exactly the largest that fits.
      const size_t payload = mtu - (v4 ? 28 : 48);
      EXPECT_EQ(lab.out(packet.payload(payload)).frames.size(), 1u);
      EXPECT_EQ(lab.out(packet.payload(payload + 1)).answers.size(), 1u);
    }
  }
}

TEST(TooBig, FragmentsForAHostThatWouldNotOrNeedNotHear) {
  PathConfig config;
  config.answer_too_big = true;
  config.access_mtu = 1280;  // 1280 of IPv6 must always pass (RFC 8200 5)
  PathLab lab(open_policy(), config);
  lab.install_out({Suite::sha1_aes_cbc, 0x5002, {kPcscf6, kUe6}});
  lab.install_out({Suite::sha1_aes_cbc, 0x5003, {kPcscf4, kUe4}});
  const Outcome floor = lab.out(ipv6_packet().udp(1, 2).payload(1280 - 48));
  EXPECT_EQ(floor.frames.size(), 2u);
  EXPECT_TRUE(floor.answers.empty());
  EXPECT_EQ(lab.out(ipv4_packet().fragment_bits(0).udp(1, 2).payload(1280)).frames.size(), 2u);
  EXPECT_EQ(lab.out(ipv4_packet().udp(1, 2).payload(1280)).answers.size(), 1u) << "DF";
}

}  // namespace
}  // namespace gmesp
