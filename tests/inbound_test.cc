// SPDX-License-Identifier: BSD-3-Clause
// Inbound: RFC 4303 3.4 and RFC 4301 5.2, packet in, packet or drop reason out.
#include "dataplane/inbound.h"

#include "tests/fragments.h"
#include "tests/path_lab.h"

namespace gmesp {
namespace {

PacketBuilder request(const Address& ue = kUe6, const Address& pcscf = kPcscf6) {
  return PacketBuilder().ip(ue, pcscf).udp(kUePort, kPcscfPort).payload("REGISTER sip:ims SIP/2.0");
}

TestSa sa_for(const Address& ue, const Address& pcscf, Suite suite = Suite::sha1_aes_cbc) {
  return {suite, 0x10002, {ue, pcscf, kUePort, kPcscfPort}};
}

struct Family {
  Address ue;
  Address pcscf;
};
const Family kFamilies[] = {{kUe4, kPcscf4}, {kUe6, kPcscf6}};

// R11: transport checksums are left as they are.
TEST(Inbound, RestoresThePlainPacketOfEverySuiteAndFamily) {
  for (const SuiteInfo& info : kSuites) {
    for (const Family& family : kFamilies) {
      for (const size_t bytes : {0u, 1u, 13u, 64u, 500u, 1300u}) {
        PathLab lab;
        const TestSa sa = sa_for(family.ue, family.pcscf, info.suite);
        lab.install_in(sa);
        PacketBuilder packet = request(family.ue, family.pcscf).payload(bytes);
        EXPECT_EQ(lab.in(PacketBuilder(packet).esp(sa, 1)), passed(packet))
            << suite_label(info.suite) << ' ' << bytes;
        EXPECT_EQ(lab.counters.protected_in, 1u);
      }
    }
  }
}

// The whole frame around the ESP part stays: MAC addresses, tags, priority tag (id 0), QinQ.
TEST(Inbound, KeepsMacAddressesAndVlanTags) {
  PathLab lab;
  lab.install_in(sa_for(kUe6, kPcscf6));
  const PacketBuilder tagged[] = {request().vlan(7), request().vlan(0xe000),
                                  request().vlan(100, EtherType::qinq).vlan(7)};
  uint32_t number = 0;
  for (const PacketBuilder& packet : tagged) {
    EXPECT_EQ(lab.in(PacketBuilder(packet).esp(sa_for(kUe6, kPcscf6), ++number)), passed(packet));
  }
}

// ESP-12, R10.
TEST(Inbound, KeepsIpv4OptionsInFrontOfEsp) {
  PathLab lab;
  const TestSa sa = sa_for(kUe4, kPcscf4);
  lab.install_in(sa);
  const Bytes router_alert{0x94, 4, 0, 0};  // RFC 2113
  uint32_t number = 0;
  for (const Bytes& options : {router_alert, Bytes(40, 1)}) {
    const PacketBuilder packet = request(kUe4, kPcscf4).ip_options(options);
    EXPECT_EQ(lab.in(PacketBuilder(packet).esp(sa, ++number)), passed(packet));
  }
}

// RFC 4303 3.1.1: ESP stands behind hop-by-hop and routing headers; destination options may stand
// before it, inside it, or both.
// ESP-12, R10.
TEST(Inbound, FindsEspBehindIpv6ExtensionHeaders) {
  PathLab lab;
  const TestSa sa = sa_for(kUe6, kPcscf6);
  lab.install_in(sa);
  const PacketBuilder packets[] = {
      request().hop_by_hop(),
      request().routing(),
      request().destination_options(),
      request().hop_by_hop(16).destination_options().routing(),
      request().hop_by_hop().routing().destination_options(24),
      request().inside().destination_options(),
      request().hop_by_hop().routing().inside().destination_options(16).destination_options(),
  };
  uint32_t number = 0;
  for (const PacketBuilder& packet : packets) {
    EXPECT_EQ(lab.in(PacketBuilder(packet).esp(sa, ++number)), passed(packet)) << number;
  }
}

// ESP-16: reassembled first, then ESP, in one burst with others.
TEST(Inbound, TakesEspOutOfFragments) {
  PathLab lab;
  const TestSa sa6 = sa_for(kUe6, kPcscf6);
  const TestSa sa4{Suite::sha1_aes_cbc, 0x20000, {kUe4, kPcscf4}};
  lab.install_in(sa6);
  lab.install_in(sa4);
  uint32_t number = 0;
  for (const auto& [sa, packet] :
       {std::pair{sa4, request(kUe4, kPcscf4).payload(1400)},
        {sa6, request().payload(1300)},
        {sa6, request().hop_by_hop().routing().payload(900)},
        {sa6, request().destination_options().payload(900)},
        {sa4, request(kUe4, kPcscf4).vlan(7).ip_options(Bytes(12, 1)).payload(800)}}) {
    ++number;
    std::vector<Frame> frames = Fragmenter(PacketBuilder(packet).esp(sa, 2 * number)).pieces(400);
    std::reverse(frames.begin(), frames.end());
    frames.insert(frames.begin() + 1, request().esp(sa6, 2 * number + 1).frame());
    EXPECT_EQ(lab.in(frames), (Outcome{{request().frame(), packet.frame()}, {}})) << number;
    EXPECT_EQ(lab.counters.datagrams_joined, number);
  }
  EXPECT_EQ(lab.counters.protected_in, 2 * number);
  EXPECT_EQ(lab.counters.fragments_held, 0u);
}

// Fragments over several bursts, and too late.
TEST(Inbound, HoldsFragmentsBetweenBursts) {
  PathLab lab;
  const TestSa sa = sa_for(kUe6, kPcscf6);
  lab.install_in(sa);
  const PacketBuilder packet = request().payload(1000);
  const auto pieces = Fragmenter(PacketBuilder(packet).esp(sa, 1)).pieces(512);
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(lab.in(pieces[2]), Outcome{});
  EXPECT_EQ(lab.in(pieces[0]), Outcome{});
  EXPECT_EQ(lab.in(pieces[1]), passed(packet));
  EXPECT_EQ(lab.in(pieces[1]), Outcome{});
  EXPECT_EQ(lab.expire(4'999'000'000), Outcome{});
  EXPECT_EQ(lab.expire(1'000'000), dropped(Drop::fragment_timeout));
}

// Who has an SA back waits through a flood that fills the table many times over; a stranger not.
TEST(Inbound, AFloodOfForgedFragmentsPushesOutNoUeWithSas) {
  PathConfig config;
  config.reassembly.fragments = 128;
  PathLab lab(open_policy(), config);
  const TestSa sa = sa_for(kUe6, kPcscf6);
  lab.install_in(sa);
  lab.install_out(sa_for(kPcscf6, kUe6));
  const PacketBuilder packet = request().payload(1000);
  const auto pieces = Fragmenter(PacketBuilder(packet).esp(sa, 1)).pieces(512);
  const PacketBuilder initial = request(kUe4, kPcscf4).udp(kUePort, 5060).payload(1400);
  const auto strangers = Fragmenter(initial).pieces(512);
  EXPECT_EQ(lab.in({pieces[0], pieces[1], strangers[0], strangers[1]}), Outcome{});
  for (uint32_t number = 0; number < 1000; ++number) {
    Address forged = kUe6;
    forged.bytes[4] = 0xff;
    std::memcpy(&forged.bytes[5], &number, 3);
    lab.in(Fragmenter(request(forged, kPcscf6).payload(1000)).fragment({0, 512}));
  }
  EXPECT_EQ(lab.counters[Drop::fragment_evicted], 1000u + 2 - 64);
  EXPECT_EQ(lab.in(pieces[2]), passed(packet));
  EXPECT_EQ(lab.in(strangers[2]), dropped(Drop::fragment_evicted)) << "its others have gone";
}

// RFC 8200 4.4, RFC 791 3.1: what is to be sent on from here has not reached its end, whatever SA
// it has; nobody signed the header that says so.
TEST(Inbound, TakesNoEspOffThatIsRoutedThroughUs) {
  PathLab lab;
  const TestSa sa6 = sa_for(kUe6, kPcscf6);
  const TestSa sa4{Suite::sha1_aes_cbc, 0x20000, {kUe4, kPcscf4}};
  const SaIndex index = lab.install_in(sa6);
  lab.install_in(sa4);
  const auto routed4 = [](uint8_t pointer) {
    return request(kUe4, kPcscf4).ip_options({131, 7, pointer, 10, 1, 2, 3, 0});
  };
  EXPECT_EQ(lab.in(routed4(4).esp(sa4, 1)), dropped(Drop::unreachable_host));
  EXPECT_EQ(lab.in(routed4(8).esp(sa4, 1)), passed(routed4(8)));
  EXPECT_EQ(lab.in(request().routing(24, 1).esp(sa6, 1)), dropped(Drop::unreachable_host));
  EXPECT_EQ(lab.sad.sas()[index].window.highest(), SequenceNumber{0});
  EXPECT_EQ(lab.in(request().routing().esp(sa6, 1)), passed(request().routing())) << "used up";
}

// RFC 4303 3.4.4.1: one bit wrong in any fragment is the ICV's to find.
TEST(Inbound, AWrongBitInAFragmentFailsTheIcv) {
  PathLab lab;
  const TestSa sa = sa_for(kUe6, kPcscf6);
  lab.install_in(sa);
  std::vector<Frame> pieces = Fragmenter(request().payload(1000).esp(sa, 1)).pieces(512);
  pieces[1].back() ^= 1;
  EXPECT_EQ(lab.in(pieces), dropped(Drop::icv_mismatch));
}

// Cleartext in fragments has ports like any other.
TEST(Inbound, JudgesCleartextInFragmentsAsAWhole) {
  PathLab lab;
  const PacketBuilder open = request().udp(kUePort, 5060).payload(1000);
  EXPECT_EQ(lab.in(Fragmenter(open).pieces(256)), passed(open));
  EXPECT_EQ(lab.in(Fragmenter(request().payload(1000)).pieces(256)),
            dropped(Drop::cleartext_on_protected_port));
}

// ESP-16: what still is a fragment.
TEST(Inbound, DropsFragmentsInsideEspAndInFragments) {
  PathLab lab;
  const TestSa sa6 = sa_for(kUe6, kPcscf6);
  lab.install_in(sa6);
  EXPECT_EQ(lab.in(request().inside().fragment_header().esp(sa6, 3)), dropped(Drop::fragment));
  EXPECT_EQ(lab.in(request().inside().destination_options().fragment_header().esp(sa6, 4)),
            dropped(Drop::fragment));
  EXPECT_EQ(lab.in(request().fragment_header().fragment_header().esp(sa6, 5)),
            dropped(Drop::fragment));
  EXPECT_EQ(lab.in(request().hop_by_hop().fragment_header().esp(sa6, 6)),
            passed(request().hop_by_hop()))
      << "an atomic fragment is whole (RFC 6946)";
}

TEST(Inbound, TakesThePaddingOfAShortFrameForNoPartOfEsp) {
  PathLab lab;
  const TestSa sa = sa_for(kUe4, kPcscf4, Suite::md5_null);
  lab.install_in(sa);
  const PacketBuilder packet = request(kUe4, kPcscf4).payload("");
  EXPECT_EQ(lab.in(PacketBuilder(packet).esp(sa, 1).frame_padding(6)), passed(packet));
}

// RFC 4301 5.2 step 4: the protected packet against its own SA's selector.
// R1, INT-30, INT-44.
TEST(Inbound, ChecksTheSelectorOfTheInnerPacket) {
  const Address other6 = *parse_address("2001:db8:1::6");
  const Selector whole{kUe6, kPcscf6, kUePort, kPcscfPort};
  Selector udp = whole, tcp = whole, any_ports = whole, any_source_port = whole;
  udp.protocol = Protocol::udp;
  tcp.protocol = Protocol::tcp;
  any_ports.source_port = any_ports.destination_port = Selector::kAnyPort;
  any_source_port.source_port = Selector::kAnyPort;
  const PacketBuilder base = PacketBuilder().payload("x");
  const auto udp_packet = [&](uint16_t from, uint16_t to) {
    return PacketBuilder(base).udp(from, to);
  };
  const auto tcp_packet = [&](uint16_t from, uint16_t to) {
    return PacketBuilder(base).tcp(from, to);
  };
  const struct {
    Selector selector;
    PacketBuilder packet;
    bool matches;
  } rows[] = {
      {whole, udp_packet(5100, 6101), true},
      {whole, tcp_packet(5100, 6101), true},
      {whole, udp_packet(5101, 6101), false},
      {whole, udp_packet(5100, 6100), false},
      {whole, udp_packet(6101, 5100), false},
      {whole, udp_packet(5100, 6101).ip(other6, kPcscf6), false},
      {whole, udp_packet(5100, 6101).ip(kUe6, other6), false},
      {whole, udp_packet(5100, 6101).ip(kPcscf6, kUe6), false},
      {udp, udp_packet(5100, 6101), true},
      {udp, tcp_packet(5100, 6101), false},
      {tcp, tcp_packet(5100, 6101), true},
      {tcp, udp_packet(5100, 6101), false},
      {any_ports, udp_packet(1, 2), true},
      {any_ports, tcp_packet(65535, 1), true},
      {any_ports, PacketBuilder().icmp(128), false},
      {any_ports, PacketBuilder().content(Protocol::ah, Bytes(24)), false},
      {any_ports, PacketBuilder().content(Protocol::esp, Bytes(24)), false},
      {any_ports, PacketBuilder().content(Protocol::hop_by_hop, Bytes(24)), false},
      {any_source_port, udp_packet(9, 6101), true},
      {any_source_port, udp_packet(9, 6102), false},
  };
  size_t number = 0;
  for (const auto& row : rows) {
    PathLab lab;
    const TestSa sa{Suite::aes_gcm, 0x777, row.selector};
    const SaIndex index = lab.install_in(sa);
    const Outcome expected = row.matches ? passed(row.packet) : dropped(Drop::selector_mismatch);
    EXPECT_EQ(lab.in(PacketBuilder(row.packet).esp(sa, 1)), expected) << "row " << number;
    EXPECT_EQ(lab.sad.sas().record(lab.sad.sas()[index]).selector_mismatches,
              row.matches ? 0u : 1u);
    ++number;
  }
}

// SPEC 6, 9.1 weakness 2: UEs are seen to send uc->pc or ps->us. INT-30: a strict SA takes its own
// ports alone.
TEST(Inbound, TakesEveryPortPairOfTheSetWhereToldSo) {
  for (const bool ports_of_set : {false, true}) {
    PathLab lab;
    TestSa sa = sa_for(kUe6, kPcscf6);
    if (ports_of_set) sa.alternate = {kUePort + 1, kPcscfPort + 1};
    const SaIndex index = lab.install_in(sa);
    uint32_t number = 0;
    uint32_t refused = 0;
    for (const uint16_t from : std::initializer_list<uint16_t>{kUePort, kUePort + 1, kUePort + 2}) {
      for (const uint16_t to :
           std::initializer_list<uint16_t>{kPcscfPort, kPcscfPort + 1, kPcscfPort + 2}) {
        const PacketBuilder packet = request().udp(from, to);
        const bool own = from == kUePort && to == kPcscfPort;
        const bool of_set = from <= kUePort + 1 && to <= kPcscfPort + 1;
        const bool taken = own || (ports_of_set && of_set);
        EXPECT_EQ(lab.in(PacketBuilder(packet).esp(sa, ++number)),
                  taken ? passed(packet) : dropped(Drop::selector_mismatch))
            << ports_of_set << ' ' << from << ' ' << to;
        refused += !taken;
      }
    }
    EXPECT_EQ(lab.sad.sas().record(lab.sad.sas()[index]).selector_mismatches, refused);
  }
}

// R14: keys that do not agree, or somebody who tries.
// R15.
TEST(Inbound, ReportsABurstOfBadIcvs) {
  PathLab lab;
  const TestSa sa = sa_for(kUe6, kPcscf6);
  const SaIndex index = lab.install_in(sa);
  for (uint32_t number = 1; number <= 64; ++number) {
    Frame forged = request().esp(sa, number).frame();
    forged.back() ^= 1;
    EXPECT_EQ(lab.in(forged), dropped(Drop::icv_mismatch));
    const bool told = number == 32 || number == 64;
    EXPECT_EQ(PathLab::take_events(lab.sad).size(), told ? 1u : 0u) << number;
  }
  EXPECT_EQ(lab.sad.sas().record(lab.sad.sas()[index]).icv_failures, 64u);
}

// RFC 4303 2.6: after the ICV, so the number counts as received.
// ESP-10, R8.
TEST(Inbound, DropsDummyPacketsAndMovesTheWindow) {
  PathLab lab;
  const TestSa sa = sa_for(kUe6, kPcscf6);
  const SaIndex index = lab.install_in(sa);
  EXPECT_EQ(lab.in(request().esp(sa, 9).esp_next_header(Protocol::none)),
            dropped(Drop::dummy_packet));
  EXPECT_EQ(lab.sad.sas()[index].window.highest(), SequenceNumber{9});
  EXPECT_EQ(lab.in(request().esp(sa, 9)), dropped(Drop::replayed));
  EXPECT_TRUE(PathLab::take_events(lab.sad).empty()) << "a dummy is no use of the SA";
}

// RFC 4303 2.4: up to 255 bytes of padding, more than the block needs.
TEST(Inbound, AcceptsEveryLengthOfDefaultPadding) {
  PathLab lab;
  const TestSa sa = sa_for(kUe6, kPcscf6, Suite::sha1_null);
  lab.install_in(sa);
  const PacketBuilder packet = request().payload("12");  // 8 + 2 + 2 bytes: aligned
  Bytes padding;
  for (uint32_t length = 0; length <= 252; length += 4) {
    EXPECT_EQ(lab.in(PacketBuilder(packet).esp(sa, length + 1).esp_padding(padding)),
              passed(packet));
    for (int i = 0; i < 4; ++i) padding.push_back(static_cast<uint8_t>(padding.size() + 1));
  }
}

// ESP-09, R8.
TEST(Inbound, ChecksPaddingBytesUnlessToldToIgnoreThem) {
  const TestSa sa = sa_for(kUe6, kPcscf6, Suite::md5_aes_cbc);
  const PacketBuilder packet = request().payload("1234");  // 2 bytes short of a block
  const Bytes wrong[] = {
      {1, 3}, {0, 0}, {2, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19}};
  for (const bool strict : {true, false}) {
    PathConfig config;
    config.check_padding = strict;
    PathLab lab(open_policy(), config);
    lab.install_in(sa);
    uint32_t number = 0;
    for (const Bytes& padding : wrong) {
      const Outcome expected = strict ? dropped(Drop::bad_padding) : passed(packet);
      EXPECT_EQ(lab.in(PacketBuilder(packet).esp(sa, ++number).esp_padding(padding)), expected);
    }
  }
}

// RFC 4303 2.7: trailing bytes reach the host, whose UDP takes the UDP length's worth.
TEST(Inbound, LeavesTrafficFlowPaddingToTheUdpLength) {
  PathLab lab;
  const TestSa sa = sa_for(kUe4, kPcscf4, Suite::sha1_null);
  lab.install_in(sa);
  const PacketBuilder packet = request(kUe4, kPcscf4).payload("REGISTER");
  const Outcome outcome =
      lab.in(PacketBuilder(packet).esp(sa, 1).traffic_flow_padding(Bytes(100, 0xee)));
  ASSERT_EQ(outcome.frames.size(), 1u);
  const Frame& frame = outcome.frames[0];
  const Frame plain = packet.frame();
  ASSERT_EQ(frame.size(), plain.size() + 100);
  // Behind the IP header all is as sent, the UDP length with it; the IP length bounds the rest.
  EXPECT_TRUE(std::equal(plain.begin() + 34, plain.end(), frame.begin() + 34));
  EXPECT_EQ(internet_checksum(Bytes(frame.begin() + 14, frame.begin() + 34)), 0);
}

TEST(Inbound, DropsAnInnerPacketThatEndsInsideItsTransportHeader) {
  PathLab lab;
  const TestSa sa = sa_for(kUe6, kPcscf6);
  lab.install_in(sa);
  uint32_t number = 0;
  for (const Protocol protocol : {Protocol::udp, Protocol::tcp}) {
    const size_t whole = protocol == Protocol::udp ? sizeof(UdpHeader) : sizeof(TcpHeader);
    for (size_t bytes = 0; bytes < whole; ++bytes) {
      const Bytes cut(bytes, 0x13);
      EXPECT_EQ(lab.in(PacketBuilder().content(protocol, cut).esp(sa, ++number)),
                dropped(Drop::transport_runt));
    }
  }
}

TEST(Inbound, DropsCutOffDestinationOptionsInsideEsp) {
  PathLab lab;
  const TestSa sa = sa_for(kUe6, kPcscf6);
  lab.install_in(sa);
  const Bytes beyond{17, 3, 1, 4, 0, 0, 0, 0};  // says 32 bytes
  EXPECT_EQ(lab.in(PacketBuilder().content(Protocol::destination_options, beyond).esp(sa, 1)),
            dropped(Drop::malformed_extension_header));
  EXPECT_EQ(lab.in(PacketBuilder().content(Protocol::destination_options, {17}).esp(sa, 2)),
            dropped(Drop::malformed_extension_header));
}

// PUB-04, once per SA, whoever comes first; again only for another SA.
TEST(Inbound, ReportsTheFirstUseOfAnSaOnce) {
  PathLab lab;
  const TestSa sa = sa_for(kUe6, kPcscf6);
  const SaIndex index = lab.install_in(sa);
  EXPECT_EQ(lab.in(request().udp(1, 2).esp(sa, 1)), dropped(Drop::selector_mismatch));
  EXPECT_TRUE(PathLab::take_events(lab.sad).empty()) << "only a packet that passes all checks";
  lab.in({request().esp(sa, 2).frame(), request().esp(sa, 3).frame()});
  EXPECT_EQ(PathLab::take_events(lab.sad), std::vector{SaEventKind::first_use});
  lab.in(request().esp(sa, 4));
  EXPECT_TRUE(PathLab::take_events(lab.sad).empty());
  const SaRecord& record = lab.sad.sas().record(lab.sad.sas()[index]);
  EXPECT_EQ(record.packets, 3u);
  EXPECT_EQ(record.bytes, 3 * request().ip_packet().size());
  EXPECT_EQ(record.last_used_tsc, lab.now_tsc);
}

// Or an attacker keeps a dead SA in use with packets that he cannot even sign.
// R7: nothing of a packet counts before its ICV is good.
TEST(Inbound, LeavesTheIdleTimerAloneWhenACheckFails) {
  PathLab lab;
  const TestSa sa = sa_for(kUe6, kPcscf6);
  const SaIndex index = lab.install_in(sa);
  lab.in(request().esp(sa, 1));
  const uint64_t used = lab.now_tsc;
  lab.now_tsc += 1000;
  Frame forged = request().esp(sa, 2).frame();
  forged.back() ^= 1;
  EXPECT_EQ(lab.in(forged), dropped(Drop::icv_mismatch));
  EXPECT_EQ(lab.in(request().esp(sa, 1)), dropped(Drop::replayed));
  EXPECT_EQ(lab.in(request().udp(1, 2).esp(sa, 3)), dropped(Drop::selector_mismatch));
  const SaRecord& record = lab.sad.sas().record(lab.sad.sas()[index]);
  EXPECT_EQ(record.last_used_tsc, used);
  EXPECT_EQ(record.icv_failures, 1u);
  EXPECT_EQ(record.replayed, 1u);
}

}  // namespace
}  // namespace gmesp
