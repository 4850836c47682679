// SPDX-License-Identifier: BSD-3-Clause
// Outbound: RFC 4301 5.1 and RFC 4303 3.3, packet in, ESP or drop reason out.
#include "dataplane/outbound.h"

#include "tests/fragments.h"
#include "tests/path_lab.h"

namespace gmesp {
namespace {

// From here on the host is the P-CSCF: what it sends to the UE is protected.
PacketBuilder answer(const Address& pcscf = kPcscf6, const Address& ue = kUe6) {
  return PacketBuilder().ip(pcscf, ue).udp(kPcscfPort, kUePort).payload("SIP/2.0 200 OK");
}

TestSa sa_to(const Address& pcscf, const Address& ue, Suite suite = Suite::sha1_aes_cbc) {
  return {suite, 0x20003, {pcscf, ue, kPcscfPort, kUePort}};
}

struct Family {
  Address ue;
  Address pcscf;
};
const Family kFamilies[] = {{kUe4, kPcscf4}, {kUe6, kPcscf6}};

// The frame is what the reference makes of the same packet, but for the IV and what depends on it.
void expect_protected(const Outcome& outcome, const PacketBuilder& packet, const TestSa& sa,
                      uint32_t number) {
  const Frame expected = PacketBuilder(packet).esp(sa, number).frame();
  ASSERT_EQ(outcome.frames.size(), 1u) << testing::PrintToString(outcome);
  const Frame& frame = outcome.frames[0];
  ASSERT_EQ(frame.size(), expected.size()) << suite_label(sa.suite);
  const size_t esp = packet.esp_offset();
  const auto front = static_cast<std::ptrdiff_t>(esp + sizeof(EspHeader));
  EXPECT_EQ(Bytes(frame.begin(), frame.begin() + front),
            Bytes(expected.begin(), expected.begin() + front));
  const auto opened = reference::open(sa.suite, sa.keys(), std::span(frame).subspan(esp));
  EXPECT_TRUE(opened) << suite_label(sa.suite);
  EXPECT_EQ(opened, reference::open(sa.suite, sa.keys(), std::span(expected).subspan(esp)));
}

uint32_t spi_sent(const Outcome& outcome, const PacketBuilder& packet) {
  if (outcome.frames.size() != 1) return 0;
  const uint8_t* const esp = outcome.frames[0].data() + packet.esp_offset();
  return uint32_t{esp[0]} << 24 | uint32_t{esp[1]} << 16 | uint32_t{esp[2]} << 8 | esp[3];
}

TEST(Outbound, ProtectsEveryLengthWithEverySuiteAndFamily) {
  for (const SuiteInfo& info : kSuites) {
    for (const Family& family : kFamilies) {
      PathLab lab;
      const TestSa sa = sa_to(family.pcscf, family.ue, info.suite);
      lab.install_out(sa);
      uint32_t number = 0;
      for (size_t bytes = 0; bytes < 40; ++bytes) {
        const PacketBuilder packet = answer(family.pcscf, family.ue).payload(bytes);
        expect_protected(lab.out(packet), packet, sa, ++number);
      }
      EXPECT_EQ(lab.counters.protected_out, 40u);
    }
  }
}

// ESP-04.
TEST(Outbound, CountsOnePerPacketFromTheNumberAfterTheLastSent) {
  PathLab lab;
  const TestSa sa = sa_to(kPcscf6, kUe6);
  lab.install_out(sa, 1000);
  std::vector<Frame> frames(5, answer().frame());
  const Outcome outcome = lab.out(frames);
  ASSERT_EQ(outcome.frames.size(), 5u);
  for (uint32_t i = 0; i < 5; ++i) {
    expect_protected({{outcome.frames[i]}, {}}, answer(), sa, 1001 + i);
  }
}

// SPEC R18: SPI and number are the IV, so no two packets under one key share one.
TEST(Outbound, BuildsCounterModeIvsFromSpiAndNumber) {
  for (const Suite suite : {Suite::aes_gcm, Suite::aes_gmac}) {
    PathLab lab;
    lab.install_out(sa_to(kPcscf6, kUe6, suite), 41);
    const Outcome outcome = lab.out(answer());
    ASSERT_EQ(outcome.frames.size(), 1u);
    const auto esp = outcome.frames[0].begin() + static_cast<int>(answer().esp_offset());
    EXPECT_TRUE(std::equal(esp, esp + 8, esp + 8));
  }
}

// RFC 4303 3.1.1: behind IPv4 options; behind hop-by-hop and routing headers; last destination
// options travel inside.
TEST(Outbound, PutsEspAtItsPlaceAmongOptionsAndExtensionHeaders) {
  const PacketBuilder packets[] = {
      answer().vlan(7),
      answer().vlan(0),
      answer().vlan(100, EtherType::qinq).vlan(7),
      answer().hop_by_hop(),
      answer().routing(),
      answer().hop_by_hop(24).destination_options().routing(),
      answer().inside().destination_options(16),
      answer().hop_by_hop().inside().destination_options(),
      answer().hop_by_hop().routing().inside().destination_options().destination_options(),
  };
  PathLab lab;
  const TestSa sa6 = sa_to(kPcscf6, kUe6), sa4 = sa_to(kPcscf4, kUe4);
  lab.install_out(sa6);
  lab.install_out(sa4);
  uint32_t number = 0;
  for (const PacketBuilder& packet : packets) {
    expect_protected(lab.out(packet), packet, sa6, ++number);
  }
  number = 0;
  for (const Bytes& options : {Bytes{0x94, 4, 0, 0}, Bytes(40, 1)}) {
    const PacketBuilder packet = answer(kPcscf4, kUe4).ip_options(options);
    expect_protected(lab.out(packet), packet, sa4, ++number);
  }
}

TEST(Outbound, ProtectsTheIpPacketWithoutThePaddingOfItsFrame) {
  PathLab lab;
  const TestSa sa = sa_to(kPcscf4, kUe4);
  lab.install_out(sa);
  const PacketBuilder packet = answer(kPcscf4, kUe4).payload("");
  expect_protected(lab.out(PacketBuilder(packet).frame_padding(18)), packet, sa, 1);
}

// ESP-15: ESP on whole datagrams only. What the host fragmented becomes one ESP packet.
TEST(Outbound, ProtectsTheDatagramThatTheHostFragmented) {
  PathLab lab;
  uint32_t spi = 0x3000;
  for (const PacketBuilder& packet :
       {answer(kPcscf4, kUe4).fragment_bits(0).payload(1300), answer().payload(1300),
        answer().vlan(5).hop_by_hop().inside().payload(1000)}) {
    const bool v4 = packet.ip_packet()[0] >> 4 == 4;
    TestSa sa = v4 ? sa_to(kPcscf4, kUe4) : sa_to(kPcscf6, kUe6);
    sa.spi = ++spi;
    lab.install_out(sa);
    std::vector<Frame> pieces = Fragmenter(packet).pieces(512);
    std::rotate(pieces.begin(), pieces.begin() + 1, pieces.end());
    expect_protected(lab.out(pieces), packet, sa, 1);
  }
  EXPECT_EQ(lab.counters.fragments_held, 0u);
}

// The host's source address is one for all UEs: no bound for each source there.
TEST(Outbound, HoldsFragmentsOfOneHostForManyUes) {
  PathLab lab;
  const PacketBuilder packet = answer().payload(1000);
  const size_t more = ReassemblyConfig{}.per_source + 10;
  for (uint32_t id = 0; id < more; ++id) {
    EXPECT_EQ(lab.out(Fragmenter(packet).fragment({0, 512, true, id})), Outcome{});
  }
  EXPECT_EQ(lab.counters.fragments_held, more);
  lab.expire(5'000'000'000);
  while (lab.counters.fragments_held != 0 && !lab.expire(1).drops.empty()) {
  }
  EXPECT_EQ(lab.counters[Drop::fragment_timeout], more);
}

TEST(Outbound, DropsWhatStillIsAFragment) {
  PathLab lab;
  EXPECT_EQ(lab.out(answer().fragment_header().fragment_header()), dropped(Drop::fragment));
}

// RFC 4303 3.3.3: the last number is 0xffffffff; nothing is sent in clear instead.
// ESP-05, R6.
TEST(Outbound, StopsAtTheLastSequenceNumberAndSaysSoOnce) {
  PathLab lab;
  const TestSa sa = sa_to(kPcscf6, kUe6, Suite::aes_gcm);
  const SaIndex index = lab.install_out(sa, 0xfffffffd);
  expect_protected(lab.out(answer()), answer(), sa, 0xfffffffe);
  EXPECT_EQ(PathLab::take_events(lab.spd),
            (std::vector{SaEventKind::first_use, SaEventKind::sequence_soft_limit}));
  expect_protected(lab.out(answer()), answer(), sa, 0xffffffff);
  EXPECT_TRUE(PathLab::take_events(lab.spd).empty());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(lab.out(answer()), dropped(Drop::sequence_exhausted));
  EXPECT_EQ(PathLab::take_events(lab.spd), std::vector{SaEventKind::sequence_exhausted});
  EXPECT_EQ(lab.spd.sas()[index].last_sent, SequenceNumber{0xffffffff});
}

TEST(Outbound, StopsInTheMiddleOfABurst) {
  PathLab lab;
  lab.install_out(sa_to(kPcscf6, kUe6), 0xfffffffc);
  const Outcome outcome = lab.out(std::vector<Frame>(10, answer().frame()));
  EXPECT_EQ(outcome.frames.size(), 3u);
  EXPECT_EQ(outcome.drops, (std::map<Drop, uint64_t>{{Drop::sequence_exhausted, 7}}));
  EXPECT_EQ(PathLab::take_events(lab.spd),
            (std::vector{SaEventKind::first_use, SaEventKind::sequence_soft_limit,
                         SaEventKind::sequence_exhausted}));
}

// ESP-05, R6.
TEST(Outbound, WarnsOnceAtTheSoftLimit) {
  PathLab lab;
  lab.install_out(sa_to(kPcscf6, kUe6), kSequenceSoftLimit - 2);
  lab.out(answer());
  EXPECT_EQ(PathLab::take_events(lab.spd), std::vector{SaEventKind::first_use});
  lab.out(answer());
  EXPECT_EQ(PathLab::take_events(lab.spd), std::vector{SaEventKind::sequence_soft_limit});
  lab.out(answer());
  EXPECT_TRUE(PathLab::take_events(lab.spd).empty());
}

TEST(Outbound, UsesAnSaForAPacketThatLeavesInFragments) {
  PathLab lab;
  const SaIndex index = lab.install_out(sa_to(kPcscf6, kUe6));
  EXPECT_EQ(lab.out(answer().payload(1500)).frames.size(), 2u);
  EXPECT_EQ(PathLab::take_events(lab.spd), std::vector{SaEventKind::first_use});
  EXPECT_EQ(lab.spd.sas()[index].last_sent, SequenceNumber{1});
  EXPECT_EQ(lab.counters.protected_out, 1u);
}

// Not for a packet that does not leave.
TEST(Outbound, ReportsTheFirstUseOfAnSaOnce) {
  PathConfig config;
  config.answer_too_big = true;
  PathLab lab(open_policy(), config);
  lab.install_out(sa_to(kPcscf6, kUe6));
  EXPECT_EQ(lab.out(answer().payload(1500)).answers.size(), 1u);
  EXPECT_TRUE(PathLab::take_events(lab.spd).empty());
  lab.out(std::vector<Frame>(3, answer().frame()));
  EXPECT_EQ(PathLab::take_events(lab.spd), std::vector{SaEventKind::first_use});
  lab.out(answer());
  EXPECT_TRUE(PathLab::take_events(lab.spd).empty());
}

// DESIGN 3: the most specific selector, ports before protocol; then the latest; deleting one falls
// back to the one before.
// R2.
TEST(Outbound, ChoosesTheSaBySpecificityThenAgeAndFallsBack) {
  PathLab lab(Policy{}, {});
  const auto install = [&](uint32_t spi, uint16_t from, uint16_t to, Protocol protocol) {
    return lab.install_out({Suite::md5_null, spi, {kPcscf6, kUe6, from, to, protocol}});
  };
  const uint16_t any = Selector::kAnyPort;
  const SaIndex both = install(501, kPcscfPort, kUePort, Selector::kAnyProtocol);
  install(101, any, any, Selector::kAnyProtocol);
  install(102, any, any, Protocol::udp);
  const SaIndex one_port = install(301, kPcscfPort, any, Selector::kAnyProtocol);
  const SaIndex newer = install(502, kPcscfPort, kUePort, Selector::kAnyProtocol);
  const auto used = [&] { return spi_sent(lab.out(answer()), answer()); };
  const auto used_tcp = [&] {
    const PacketBuilder packet = answer().tcp(kPcscfPort, kUePort);
    return spi_sent(lab.out(packet), packet);
  };
  EXPECT_EQ(used(), 502u);
  lab.spd.remove(newer);
  EXPECT_EQ(used(), 501u) << "the one before";
  const SaIndex again = install(503, kPcscfPort, kUePort, Protocol::udp);
  EXPECT_EQ(used(), 503u);
  EXPECT_EQ(used_tcp(), 501u);
  lab.spd.remove(again);
  lab.spd.remove(both);
  EXPECT_EQ(used(), 301u) << "ports before protocol";
  lab.spd.remove(one_port);
  EXPECT_EQ(used(), 102u);
  EXPECT_EQ(used_tcp(), 101u);
  EXPECT_EQ(lab.out(PacketBuilder().ip(kPcscf6, kUe6).icmp(129)), dropped(Drop::policy_default));
  EXPECT_EQ(lab.out(answer().ip(kUe6, kPcscf6)), dropped(Drop::policy_default));
  EXPECT_EQ(lab.out(answer(kPcscf6, *parse_address("2001:db8:1::6"))),
            dropped(Drop::policy_default));
}

// SPEC 6, ports-of-set: what the set takes never leaves in clear. INT-30: a strict set does not
// have those flows; they are cleartext and the protected port's business.
TEST(Outbound, ProtectsEveryPortPairOfTheSetWhereToldSo) {
  for (const bool ports_of_set : {false, true}) {
    PathLab lab;
    TestSa sa = sa_to(kPcscf6, kUe6);
    if (ports_of_set) sa.alternate = {kPcscfPort + 1, kUePort + 1};
    lab.install_out(sa);
    uint32_t number = 0;
    for (const uint16_t from :
         std::initializer_list<uint16_t>{kPcscfPort, kPcscfPort + 1, kPcscfPort + 2}) {
      for (const uint16_t to : std::initializer_list<uint16_t>{kUePort, kUePort + 1, kUePort + 2}) {
        const PacketBuilder packet = answer().udp(from, to);
        const bool own = from == kPcscfPort && to == kUePort;
        const bool of_set = from <= kPcscfPort + 1 && to <= kUePort + 1;
        const Outcome outcome = lab.out(packet);
        if (own || (ports_of_set && of_set)) {
          expect_protected(outcome, packet, sa, ++number);
        } else {
          EXPECT_EQ(outcome, from == kPcscfPort ? dropped(Drop::cleartext_on_protected_port)
                                                : passed(packet))
              << ports_of_set << ' ' << from << ' ' << to;
        }
      }
    }
    EXPECT_EQ(lab.counters.protected_out, number);
  }
}

// The UDP and TCP checksums are the last thing that says whether the host's packet was whole.
TEST(Outbound, DropsUnfinishedChecksumsWhereConfigured) {
  PathConfig config;
  config.verify_checksums = true;
  PathLab lab(open_policy(), config);
  lab.install_out(sa_to(kPcscf4, kUe4));
  lab.install_out(sa_to(kPcscf6, kUe6));
  const auto broken = [](const PacketBuilder& packet, size_t checksum_offset, uint8_t value) {
    Frame frame = packet.frame();
    frame[packet.esp_offset() + checksum_offset] = value;
    frame[packet.esp_offset() + checksum_offset + 1] = value;
    return frame;
  };
  for (const Family& family : kFamilies) {
    const PacketBuilder udp = answer(family.pcscf, family.ue);
    const PacketBuilder tcp = answer(family.pcscf, family.ue).tcp(kPcscfPort, kUePort);
    const PacketBuilder odd = answer(family.pcscf, family.ue).payload(7);
    for (const PacketBuilder& packet : {udp, tcp, odd}) {
      EXPECT_EQ(lab.out(packet).frames.size(), 1u);
    }
    EXPECT_EQ(lab.out(broken(udp, 6, 0x5a)), dropped(Drop::bad_checksum));
    EXPECT_EQ(lab.out(broken(tcp, 16, 0x5a)), dropped(Drop::bad_checksum));
    EXPECT_EQ(lab.out(broken(tcp, 16, 0)), dropped(Drop::bad_checksum));
  }
  // RFC 768: none at all, over IPv4 only (RFC 8200 8.1).
  EXPECT_EQ(lab.out(broken(answer(kPcscf4, kUe4), 6, 0)).frames.size(), 1u);
  EXPECT_EQ(lab.out(broken(answer(), 6, 0)), dropped(Drop::bad_checksum));
}

// What the host port's device has found is taken in place of our own sum; what it doubts is summed
// again: some doubt every UDP packet without a checksum.
TEST(Outbound, TakesTheDevicesWordForGoodChecksumsAndLooksAtThoseItDoubts) {
  const Frame right = answer(kPcscf4, kUe4).frame();
  Frame wrong = right;
  wrong.back() ^= 1;
  Frame none = right;
  const size_t checksum = answer(kPcscf4, kUe4).esp_offset() + offsetof(UdpHeader, checksum);
  none[checksum] = none[checksum + 1] = 0;
  struct {
    bool verify;
    bool device;
    DeviceChecksum says;
    bool wrong_passes;
  } const rows[] = {
      {false, false, DeviceChecksum::unknown, true}, {false, true, DeviceChecksum::unknown, true},
      {false, true, DeviceChecksum::good, true},     {false, true, DeviceChecksum::doubtful, false},
      {true, false, DeviceChecksum::unknown, false}, {true, true, DeviceChecksum::unknown, false},
      {true, true, DeviceChecksum::good, true},      {true, true, DeviceChecksum::doubtful, false},
  };
  for (const auto& row : rows) {
    PathConfig config;
    config.verify_checksums = row.verify;
    config.device_checksums = row.device;
    PathLab lab(open_policy(), config);
    lab.install_out(sa_to(kPcscf4, kUe4));
    const DeviceFindings findings{.checksum = row.says};
    EXPECT_EQ(lab.out(right, findings).frames.size(), 1u);
    EXPECT_EQ(lab.out(none, findings).frames.size(), 1u)
        << "RFC 768: no checksum is not a wrong one";
    const Outcome outcome = lab.out(wrong, findings);
    EXPECT_EQ(outcome.frames.size(), row.wrong_passes ? 1u : 0u)
        << row.verify << row.device << static_cast<int>(row.says);
    if (!row.wrong_passes) {
      EXPECT_EQ(outcome, dropped(Drop::bad_checksum));
    }
  }
}

}  // namespace
}  // namespace gmesp
