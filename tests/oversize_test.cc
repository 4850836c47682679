// SPDX-License-Identifier: BSD-3-Clause
// What is longer than the MTU ahead: fragments behind ESP, and of cleartext that may be cut. Every
// cut is put together again by tests/naive_reassembly.h.
#include <rapidcheck.h>

#include <cstring>
#include <set>

#include "tests/fragments.h"
#include "tests/oversize_lab.h"

namespace gmesp {
namespace {

// ESP-15: every shape of headers, packets and MTUs of every length.
TEST(Oversize, FragmentsPutTogetherAreThePacket) {
  EXPECT_TRUE(rc::check([] {
    PacketBuilder packet;
    const bool v4 = *rc::gen::arbitrary<bool>();
    v4 ? packet.ip(kPcscf4, kUe4) : packet.ip(kPcscf6, kUe6);
    for (int tags = *rc::gen::inRange(0, 3); tags > 0; --tags) packet.vlan(100);
    if (v4) {
      packet.ip_options(Bytes(4 * *rc::gen::inRange<size_t>(0, 11), 1));
      packet.fragment_bits(*rc::gen::element<uint16_t>(0, 0x4000));
    } else {
      if (*rc::gen::arbitrary<bool>()) packet.hop_by_hop(8 * *rc::gen::inRange<size_t>(1, 6));
      if (*rc::gen::arbitrary<bool>()) packet.destination_options();
      if (*rc::gen::arbitrary<bool>()) packet.routing();
      if (*rc::gen::arbitrary<bool>()) packet.destination_options(16);
    }
    packet.content(*rc::gen::element(Protocol::esp, Protocol::udp),
                   counting_bytes(*rc::gen::inRange<size_t>(24, 20000), 5));
    const Frame frame = packet.frame();
    const auto mtu = *rc::gen::inRange<uint16_t>(576, 9600);
    const size_t ip_bytes = packet.ip_packet().size();
    OversizeLab lab;
    const std::vector<Frame> frames = lab.fit(frame, mtu);
    if (ip_bytes <= mtu) {
      RC_ASSERT(frames == std::vector<Frame>{frame});
      return;
    }
    RC_ASSERT(reassembled(frames, mtu) == without_fragment_fields(frame));
    RC_ASSERT(lab.counters.packets_fragmented == 1u);
    RC_ASSERT(lab.counters.fragments_made == frames.size());
    // No more than there must be: as full as 8-byte units let them be.
    for (size_t i = 0; i + 1 < frames.size(); ++i) {
      RC_ASSERT(frames[i].size() - FragmentView(frames[i]).ip + 8 > mtu - 40u);
    }
  }));
}

// ESP-15. The UE's end, suite by suite: what is put together opens, and is the plain packet.
// ESP-15, R9.
TEST(Oversize, EverySizeAroundTheMtuArrivesInEverySuite) {
  for (const SuiteInfo& info : kSuites) {
    for (const bool v4 : {true, false}) {
      for (const uint16_t mtu : std::initializer_list<uint16_t>{1280, 1400, 1500}) {
        SCOPED_TRACE(suite_label(info.suite) + (v4 ? " IPv4 " : " IPv6 ") + std::to_string(mtu));
        PathConfig config;
        config.access_mtu = mtu;
        PathLab lab(open_policy(), config);
        const Address& ue = v4 ? kUe4 : kUe6;
        const Address& pcscf = v4 ? kPcscf4 : kPcscf6;
        const TestSa sa{info.suite, 0x5002, {pcscf, ue, kPcscfPort, kUePort}};
        lab.install_out(sa);
        uint32_t number = 0;
        for (size_t ip_bytes = mtu - 80u; ip_bytes <= mtu + 16u; ++ip_bytes) {
          PacketBuilder plain = PacketBuilder().ip(pcscf, ue).udp(kPcscfPort, kUePort);
          plain.payload(ip_bytes - (v4 ? 28 : 48));
          const Frame expected = plain.esp(sa, ++number).frame();
          const Outcome outcome = lab.out(PacketBuilder()
                                              .ip(pcscf, ue)
                                              .udp(kPcscfPort, kUePort)
                                              .payload(ip_bytes - (v4 ? 28 : 48)));
          const bool fits = expected.size() - sizeof(EthernetHeader) <= mtu;
          ASSERT_EQ(outcome.frames.size(), fits ? 1u : 2u) << ip_bytes;
          const Frame whole =
              fits ? without_fragment_fields(outcome.frames[0]) : reassembled(outcome.frames, mtu);
          const auto open = [&](const Frame& frame) {
            return reference::open(info.suite, sa.keys(),
                                   std::span(frame).subspan(plain.esp_offset()));
          };
          ASSERT_EQ(whole.size(), expected.size());
          EXPECT_TRUE(open(whole));
          EXPECT_EQ(open(whole), open(expected));
          const Frame headers = without_fragment_fields(expected);
          EXPECT_TRUE(std::memcmp(whole.data(), headers.data(), plain.esp_offset()) == 0);
        }
      }
    }
  }
}

// RFC 791 3.1: options with the copied flag stand in every fragment, the others in the first.
TEST(Oversize, CopiesTheOptionsThatSaySo) {
  const Bytes record_route{7, 7, 4, 0, 0, 0, 0};        // not copied
  const Bytes router_alert{148, 4, 0, 0};               // copied
  const Bytes loose_route{131, 7, 4, 198, 51, 100, 7};  // copied
  const struct {
    Bytes options;
    Bytes later;
  } rows[] = {
      {concat(record_route, {1}), {}},
      {concat(record_route, concat(router_alert, {1})), router_alert},
      {concat(loose_route, concat({1}, router_alert)),
       concat(loose_route, concat(router_alert, {0}))},
      {{148, 4, 0, 0, 0, 148, 4, 0}, {148, 4, 0, 0}},    // behind the end of options
      {{148, 4, 0, 0, 148, 9, 0, 0}, {148, 4, 0, 0}},    // a length beyond the header
      {{148, 4, 0, 0, 148, 1, 148, 0}, {148, 4, 0, 0}},  // no length
  };
  for (const auto& row : rows) {
    OversizeLab lab;
    const Frame frame = ipv4_packet()
                            .ip_options(row.options)
                            .content(Protocol::esp, counting_bytes(3000, 1))
                            .frame();
    const std::vector<Frame> frames = lab.fit(frame, 1500);
    ASSERT_EQ(frames.size(), 3u);
    EXPECT_EQ(reassembled(frames, 1500), without_fragment_fields(frame));
    for (const size_t later : {1u, 2u}) {
      const FragmentView view(frames[later]);
      EXPECT_EQ(Bytes(frames[later].begin() + 34,
                      frames[later].begin() + static_cast<std::ptrdiff_t>(view.payload)),
                row.later);
    }
  }
}

// RFC 8200 4.5: destination options that follow the routing header are cut with the payload.
TEST(Oversize, PutsTheFragmentHeaderBehindTheRoutingHeader) {
  OversizeLab lab;
  const Bytes esp = counting_bytes(2000, 1);
  const auto fragment_header_at = [&](const PacketBuilder& packet) {
    return FragmentView(lab.fit(packet.frame(), 1500).at(0)).fragment_header;
  };
  const PacketBuilder base = ipv6_packet().content(Protocol::esp, esp);
  EXPECT_EQ(fragment_header_at(base), 54u);
  EXPECT_EQ(fragment_header_at(PacketBuilder(base).destination_options()), 54u);
  EXPECT_EQ(fragment_header_at(PacketBuilder(base).hop_by_hop().destination_options()), 62u);
  EXPECT_EQ(fragment_header_at(PacketBuilder(base).hop_by_hop().destination_options().routing(24)),
            54u + 8 + 8 + 24);
  EXPECT_EQ(fragment_header_at(PacketBuilder(base).routing(24).destination_options()), 54u + 24);
}

// RFC 6864 4.3: never twice for a pair while fragments may be on their way. RFC 7739 5: one pair's
// do not tell another's.
TEST(Oversize, GivesEachPacketOfAPairItsOwnIdentification) {
  OversizeLab lab(2000, 7), other(2000, 8);
  const auto identification = [](OversizeLab& from, const PacketBuilder& packet) {
    return FragmentView(from.fit(packet.frame(), 1280).at(0)).identification;
  };
  for (const bool v4 : {true, false}) {
    std::set<uint32_t> seen;
    const PacketBuilder packet =
        (v4 ? ipv4_packet() : ipv6_packet()).content(Protocol::esp, counting_bytes(1400, 1));
    const uint32_t first = identification(lab, packet);
    EXPECT_NE(first, identification(other, packet)) << "depends on the seed";
    for (uint32_t i = 1; i < 2000; ++i) {
      const uint32_t next = identification(lab, packet);
      EXPECT_EQ(next, (first + i) & (v4 ? 0xffffu : 0xffffffffu));
      EXPECT_TRUE(seen.insert(next).second);
    }
  }
  std::set<uint32_t> distances;
  uint32_t last = 0;
  for (uint8_t host = 1; host < 200; ++host) {
    const uint32_t one =
        identification(lab, PacketBuilder()
                                .ip(kPcscf6, *parse_address("2001:db8:1::" + std::to_string(host)))
                                .content(Protocol::esp, counting_bytes(1400, 1)));
    distances.insert(one - last);
    last = one;
  }
  EXPECT_GT(distances.size(), 190u) << "neighbours have nothing to do with each other";
}

// A receiver must never wait for the fragments that there was no buffer for.
TEST(Oversize, DropsAPacketWholeWhenItsFragmentsHaveNoBuffers) {
  OversizeLab lab(3);
  const PacketBuilder base = ipv4_packet();
  const Frame in_three =
      PacketBuilder(base).content(Protocol::esp, counting_bytes(4000, 1)).frame();
  const Frame in_four = PacketBuilder(base).content(Protocol::esp, counting_bytes(5000, 1)).frame();
  EXPECT_EQ(lab.fit(in_three, 1500).size(), 3u);
  EXPECT_EQ(lab.fit(in_four, 1500).size(), 0u);
  EXPECT_EQ(lab.counters[Drop::no_buffer], 1u);
  EXPECT_EQ(lab.counters.packets_fragmented, 1u);
  EXPECT_EQ(lab.counters.fragments_made, 3u);
  EXPECT_EQ(lab.fit(in_three, 1500).size(), 3u) << "all buffers came back";
}

TEST(Oversize, CutsABurstOfTheLargestDatagramsThere) {
  OversizeLab lab;
  const Frame frame =
      ipv4_packet().content(Protocol::esp, counting_bytes(PacketPool::kMaxBytes - 80, 1)).frame();
  Burst burst;
  for (size_t i = 0; i < Burst::kCapacity; ++i) {
    burst.push(make_packet(frame));
    ASSERT_TRUE(classify(burst[i]).is_pass());
  }
  burst.filter(lab.drops, [&](Packet& p) { return lab.oversize.fit_protected(p, 576); });
  EXPECT_TRUE(burst.empty());
  std::map<uint32_t, std::vector<Frame>> datagrams;
  while (lab.oversize.next_fragments(burst)) {
    for (const Packet& packet : burst) {
      const Frame fragment = frame_of(packet);
      datagrams[FragmentView(fragment).identification].push_back(fragment);
    }
    burst.clear();
  }
  EXPECT_EQ(datagrams.size(), Burst::kCapacity);
  for (const auto& [identification, frames] : datagrams) {
    EXPECT_EQ(reassembled(frames, 576), without_fragment_fields(frame));
  }
  EXPECT_EQ(lab.counters.packets_fragmented, Burst::kCapacity);
  EXPECT_EQ(lab.counters.fragments_made, datagrams.begin()->second.size() * Burst::kCapacity);
}

TEST(Oversize, DropsWhatHasHeadersAsLongAsTheMtu) {
  OversizeLab lab;
  const auto packet = [](size_t header) {
    return ipv6_packet().routing(header).content(Protocol::esp, counting_bytes(1000, 1)).frame();
  };
  EXPECT_EQ(lab.fit(packet(576), 576).size(), 0u);
  EXPECT_EQ(lab.fit(packet(576 - 48), 576).size(), 0u);
  EXPECT_EQ(lab.counters[Drop::packet_too_big], 2u);
  // Eight bytes a piece are as good as none.
  EXPECT_EQ(lab.fit(ipv6_packet()
                        .routing(576 - 56)
                        .content(Protocol::esp, counting_bytes(3000, 1))
                        .frame(),
                    576)
                .size(),
            0u);
  EXPECT_EQ(lab.counters[Drop::packet_too_big], 3u);
  EXPECT_EQ(lab.fit(packet(576 - 56), 576).size(), 125u);
}

// Fragments get a right checksum: a wrong one must not become right that way.
TEST(Oversize, DropsAWrongHeaderChecksumInsteadOfMendingIt) {
  OversizeLab lab;
  Frame frame = ipv4_packet().content(Protocol::esp, counting_bytes(2000, 1)).frame();
  frame[sizeof(EthernetHeader) + offsetof(Ipv4Header, time_to_live)] ^= 1;
  EXPECT_EQ(lab.fit(frame, 1500).size(), 0u);
  EXPECT_EQ(lab.counters[Drop::bad_ip_checksum], 1u);
}

// RFC 791 3.2: what may be fragmented keeps its sender's identification.
TEST(Oversize, FragmentsCleartextThatMayBe) {
  OversizeLab lab;
  const Frame frame = ipv4_packet().fragment_bits(0).udp(5060, 5060).payload(3000).frame();
  const std::vector<Frame> frames = lab.fit_cleartext(frame, 1500);
  EXPECT_EQ(reassembled(frames, 1500), without_fragment_fields(frame));
  EXPECT_EQ(FragmentView(frames[0]).identification, 0x1234u);
  EXPECT_TRUE(lab.take_answers().empty());
}

// Where datagrams out of ESP have the same addresses, nobody chooses one of theirs.
TEST(Oversize, IdentifiesCleartextItselfBesideProtectedDatagrams) {
  OversizeLab lab(2000, 42, Oversize::Identify::all);
  const Frame frame = ipv4_packet().fragment_bits(0).udp(5060, 5060).payload(3000).frame();
  const std::vector<Frame> first = lab.fit_cleartext(frame, 1500);
  const std::vector<Frame> second = lab.fit_cleartext(frame, 1500);
  EXPECT_EQ(reassembled(first, 1500), without_fragment_fields(frame));
  const uint32_t number = FragmentView(first[0]).identification;
  EXPECT_NE(number, FragmentView(second[0]).identification);
  EXPECT_NE(number, 0x1234u);
}

// RFC 8201: a path may take less than our link; the host has cut for it, and cannot be told more.
TEST(Oversize, CutsIpv6CleartextForTheLeastMtuThatItsHostCut) {
  PathLab lab;
  const auto whole = [](size_t ip_bytes) {
    return ipv6_packet().udp(5060, 5060).payload(ip_bytes - 48);
  };
  const Frame longer = whole(1400).frame();
  const Outcome outcome = lab.out(Fragmenter(whole(1400)).pieces(1232));
  EXPECT_EQ(outcome.frames.size(), 2u);
  EXPECT_EQ(reassembled(outcome.frames, 1280), without_fragment_fields(longer));
  EXPECT_EQ(lab.out(whole(1400)), passed(whole(1400))) << "never cut";
  EXPECT_EQ(lab.out(Fragmenter(whole(1280)).pieces(800)), passed(whole(1280)));
  const auto whole4 = ipv4_packet().fragment_bits(0).udp(5060, 5060).payload(1400);
  EXPECT_EQ(lab.out(Fragmenter(whole4).pieces(800)), passed(whole4)) << "routers may cut it";
}

// What came in fragments goes on in fragments: its sender has done what it could.
TEST(Oversize, FragmentsAgainWhatWasReassembledHere) {
  for (const bool v4 : {true, false}) {
    OversizeLab lab;
    const Frame frame = (v4 ? ipv4_packet() : ipv6_packet()).udp(5060, 5060).payload(3000).frame();
    Burst burst;
    Packet packet;
    ASSERT_TRUE(lab.pools.datagrams.allocate(packet, frame.size()));
    std::copy(frame.begin(), frame.end(), packet.data);
    burst.push(packet);
    ASSERT_TRUE(classify(burst[0]).is_pass());
    burst.filter(lab.drops, [&](Packet& p) { return lab.oversize.fit_cleartext(p, 1500, kHz); });
    std::vector<Frame> frames;
    while (lab.oversize.next_fragments(burst)) {
      for (const Packet& fragment : burst) frames.push_back(frame_of(fragment));
      burst.clear();
    }
    EXPECT_EQ(reassembled(frames, 1500), without_fragment_fields(frame));
    EXPECT_TRUE(lab.take_answers().empty());
  }
}

TEST(Oversize, TakesFramePaddingOffBeforeItJudges) {
  OversizeLab lab;
  const PacketBuilder packet = ipv6_packet().udp(1, 5060).payload(1500 - 48);
  EXPECT_EQ(lab.fit_cleartext(PacketBuilder(packet).frame_padding(20).frame(), 1500),
            std::vector<Frame>{packet.frame()});
  const Frame other = ethernet_frame({}, EtherType{0x88cc}, Bytes(2000, 1));
  EXPECT_EQ(lab.fit_cleartext(other, 1500), std::vector<Frame>{other}) << "the port judges it";
}

// 16 bits hold no more: before ESP writes into them.
TEST(Oversize, DropsWhatEspWouldMakeLongerThanAnyDatagram) {
  PathLab lab;
  const SaIndex index = lab.install_out({Suite::md5_null, 0x5002, {kPcscf4, kUe4}});
  const auto out = [&](size_t ip_bytes) {
    return lab.out(ipv4_packet().udp(1, 2).payload(ip_bytes - 28));
  };
  // 14 of Ethernet, 22 of ESP: the frame, which includes the packet, must not pass 65,535.
  EXPECT_EQ(out(65535 - 14 - 21), dropped(Drop::packet_too_big));
  EXPECT_EQ(lab.spd.sas()[index].last_sent, SequenceNumber{0});
  EXPECT_EQ(out(65535 - 14 - 24).frames.size(), 45u);
}

// The same towards the host: what was protected is its, in whatever size.
TEST(Oversize, FragmentsWhatIsLongerThanTheHostsMtu) {
  for (const bool v4 : {true, false}) {
    PathConfig config;
    config.host_mtu = 1280;
    PathLab lab(open_policy(), config);
    const Address& ue = v4 ? kUe4 : kUe6;
    const Address& pcscf = v4 ? kPcscf4 : kPcscf6;
    const TestSa sa{Suite::aes_gcm, 0x5001, {ue, pcscf, kUePort, kPcscfPort}};
    lab.install_in(sa);
    PacketBuilder plain = PacketBuilder().ip(ue, pcscf).udp(kUePort, kPcscfPort).payload(1380);
    const Outcome outcome = lab.in(PacketBuilder(plain).esp(sa, 1));
    EXPECT_EQ(outcome.frames.size(), 2u);
    EXPECT_EQ(reassembled(outcome.frames, 1280), without_fragment_fields(plain.frame()));
    // Cleartext from there follows IP's rules.
    const Outcome clear = lab.in(plain.udp(1, 5060));
    EXPECT_EQ(clear.drops, (std::map<Drop, uint64_t>{{Drop::packet_too_big, 1}}));
    EXPECT_EQ(clear.answers.size(), 1u);
  }
}

}  // namespace
}  // namespace gmesp
