// SPDX-License-Identifier: BSD-3-Clause
// What ICMP errors about ESP teach, and to whom: RFC 4301 8.2, RFC 1191, RFC 8201.
#include <functional>

#include "dataplane/path_mtu.h"
#include "dataplane/tcp_mss.h"
#include "tests/naive_reassembly.h"
#include "tests/path_lab.h"

namespace gmesp {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;  // PathConfig::tsc_hz

struct Family {
  Address ue, pcscf, router;
  int type, code;
  size_t ip_bytes;
  uint16_t floor;
  bool v4() const { return ue.is_v4(); }
};
const Family kFamilies[] = {
    {kUe4, kPcscf4, *parse_address("203.0.113.9"), 3, 4, 20, 576},
    {kUe6, kPcscf6, *parse_address("2001:db8:9::1"), 2, 0, 40, 1280},
};

// A lab with one outbound SA that has sent 70,000 packets, and errors about them.
struct Learner : PathLab {
  static constexpr uint32_t kSent = 70'000;

  explicit Learner(const Family& of, const PathConfig& config = {})
      : PathLab(open_policy(), config),
        family(of),
        sa{Suite::sha1_aes_cbc, 0x5002, {of.pcscf, of.ue, kPcscfPort, kUePort}},
        index(install_out(sa, kSent)) {}

  PacketBuilder plain() const {
    return PacketBuilder().ip(family.pcscf, family.ue).udp(kPcscfPort, kUePort);
  }
  Bytes sent(uint32_t number = kSent) const {
    return plain().payload(1400).esp(sa, number).ip_packet();
  }
  PacketBuilder error(uint32_t mtu, const Bytes& quoted) const {
    return PacketBuilder()
        .ip(family.router, family.pcscf)
        .icmp_error(family.type, family.code, mtu, quoted);
  }
  // Of the SA after such an error; 0: nothing was learned.
  uint16_t learned(const PacketBuilder& packet) {
    EXPECT_EQ(in(packet), dropped(Drop::icmp_about_esp));
    return path_mtu();
  }
  uint16_t learned(uint32_t mtu, const Bytes& quoted) { return learned(error(mtu, quoted)); }
  uint16_t learned(uint32_t mtu) { return learned(mtu, sent()); }
  uint16_t path_mtu(SaIndex of) { return spd.sas()[of].path_mtu; }
  uint16_t path_mtu() { return path_mtu(index); }

  const Family& family;
  TestSa sa;
  SaIndex index;
};

template <typename Check>
void for_each_family(Check&& check) {
  for (const Family& family : kFamilies) {
    SCOPED_TRACE(family.v4() ? "IPv4" : "IPv6");
    check(family);
  }
}

// ESP-15
TEST(PathMtuLearning, FitsTheNextPacketToWhatARouterTold) {
  for_each_family([](const Family& family) {
    Learner lab(family);
    EXPECT_EQ(lab.out(lab.plain().payload(1400)).frames.size(), 1u);
    EXPECT_EQ(lab.learned(1400, lab.sent(Learner::kSent + 1)), 1400);
    const Outcome outcome = lab.out(lab.plain().payload(1400));
    EXPECT_EQ(outcome.frames.size(), 2u);
    const Frame whole = reassembled(outcome.frames, 1400);
    const size_t esp = lab.plain().esp_offset();
    EXPECT_TRUE(reference::open(lab.sa.suite, lab.sa.keys(), std::span(whole).subspan(esp)));
    EXPECT_EQ(lab.out(lab.plain().payload(1200)).frames.size(), 1u);
  });
}

TEST(PathMtuLearning, IsForAllSasOfTheUeAndForThoseToCome) {
  for_each_family([](const Family& family) {
    Learner lab(family);
    const auto install = [&](uint32_t spi, const Address& ue, uint16_t port) {
      return lab.install_out({Suite::md5_null, spi, {family.pcscf, ue, kPcscfPort, port}});
    };
    const Address other = family.v4() ? *parse_address("192.0.2.99") : *parse_address("2001::99");
    const SaIndex same_ue = install(0x6000, family.ue, 7000);
    const SaIndex other_ue = install(0x6001, other, kUePort);
    EXPECT_EQ(lab.learned(1333), 1333);
    EXPECT_EQ(lab.path_mtu(same_ue), 1333);
    EXPECT_EQ(lab.path_mtu(other_ue), 0);
    const SaIndex later = install(0x6002, family.ue, 7001);
    EXPECT_EQ(lab.path_mtu(later), 1333);
    lab.now_tsc += (kPathMtuLifetimeS + 2) * kSecond;
    forget_old_path_mtu(lab.spd, lab.spd.sas()[later], lab.now_tsc);
    EXPECT_EQ(lab.path_mtu(later), 0);
  });
}

// RFC 1191 6.3: paths change.
TEST(PathMtuLearning, ForgetsAfterTenMinutes) {
  for_each_family([](const Family& family) {
    Learner lab(family);
    EXPECT_EQ(lab.learned(1300), 1300);
    lab.now_tsc += (kPathMtuLifetimeS - 2) * kSecond;
    EXPECT_EQ(lab.out(lab.plain().payload(1400)).frames.size(), 2u);
    lab.now_tsc += 4 * kSecond;
    EXPECT_EQ(lab.out(lab.plain().payload(1400)).frames.size(), 1u);
    EXPECT_EQ(lab.path_mtu(), 0);
    EXPECT_EQ(lab.learned(1350), 1350) << "higher than before, but that is over";
  });
}

TEST(PathMtuLearning, NobodyRaisesIt) {
  for_each_family([](const Family& family) {
    Learner lab(family);
    for (const uint32_t more : {1500u, 1501u, 9000u, 65535u}) EXPECT_EQ(lab.learned(more), 0);
    EXPECT_EQ(lab.learned(1400), 1400);
    for (const uint32_t more : {1400u, 1401u, 1499u, 1500u, 65535u}) {
      EXPECT_EQ(lab.learned(more), 1400);
    }
    EXPECT_EQ(lab.learned(1399), 1399);
  });
}

// An error that says nothing new does not keep the old one alive.
TEST(PathMtuLearning, NobodyKeepsItFromAgeing) {
  for_each_family([](const Family& family) {
    Learner lab(family);
    EXPECT_EQ(lab.learned(1400), 1400);
    lab.now_tsc += (kPathMtuLifetimeS - 2) * kSecond;
    EXPECT_EQ(lab.learned(1400), 1400);
    lab.now_tsc += 4 * kSecond;
    EXPECT_EQ(lab.out(lab.plain().payload(1400)).frames.size(), 1u);
  });
}

TEST(PathMtuLearning, StopsAtTheFloorOfTheFamily) {
  const struct {
    uint32_t told;
    uint16_t ipv4, ipv6;  // 0: nothing
  } rows[] = {
      {0, 1006, 0},  // RFC 1191 7: the plateau below the quoted packet's 1452 bytes
      {1, 0, 0},     // no link carries less than 68 (RFC 791)
      {67, 0, 0},         {68, 576, 0},
      {575, 576, 0},      {576, 576, 0},
      {577, 577, 0},      {1279, 1279, 0},             // RFC 8201 4: discarded
      {1280, 1280, 1280}, {0x10000u + 1400, 1400, 0},  // IPv4: 16 bits are the MTU; IPv6: 32
      {0xffffffff, 0, 0},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(Learner(kFamilies[0]).learned(row.told), row.ipv4) << row.told;
    EXPECT_EQ(Learner(kFamilies[1]).learned(row.told), row.ipv6) << row.told;
  }
}

// RFC 1191 5, 7: routers that tell none.
TEST(PathMtuLearning, TakesTheNextPlateauFromARouterOfOld) {
  const struct {
    uint16_t quoted, plateau;
  } rows[] = {{1500, 1492}, {1492, 1006}, {1007, 1006}, {1006, 576}, {100, 576}, {68, 576}};
  for (const auto& row : rows) {
    Learner lab(kFamilies[0]);
    Bytes quoted = lab.sent();
    put_number(quoted, 2, row.quoted);
    EXPECT_EQ(lab.learned(0, quoted), row.plateau) << row.quoted;
  }
}

TEST(PathMtuLearning, NeedsALiveSaAndANumberJustUsed) {
  for_each_family([](const Family& family) {
    Learner lab(family);
    const auto about = [&](const Address& from, const Address& to, uint32_t spi, uint32_t number) {
      const TestSa claimed{Suite::sha1_aes_cbc, spi, {}};
      return PacketBuilder().ip(from, to).udp(1, 2).payload(1400).esp(claimed, number).ip_packet();
    };
    const Address stranger = family.router;
    const uint32_t spi = lab.sa.spi, number = Learner::kSent;
    EXPECT_EQ(lab.learned(1400, about(family.pcscf, family.ue, spi + 1, number)), 0);
    EXPECT_EQ(lab.learned(1400, about(family.pcscf, stranger, spi, number)), 0);
    EXPECT_EQ(lab.learned(1400, about(stranger, family.ue, spi, number)), 0);
    EXPECT_EQ(lab.learned(1400, about(family.ue, family.pcscf, spi, number)), 0);
    for (const uint32_t stale : {0u, 1u, number - kPathMtuRecentPackets, number + 1, number + 2,
                                 0xffffffffu, 0x80000000u}) {
      EXPECT_EQ(lab.learned(1400, about(family.pcscf, family.ue, spi, stale)), 0) << stale;
    }
    const uint32_t oldest = number - kPathMtuRecentPackets + 1;
    EXPECT_EQ(lab.learned(1400, about(family.pcscf, family.ue, spi, oldest)), 1400);
    EXPECT_EQ(lab.learned(1399, about(family.pcscf, family.ue, spi, number)), 1399);
  });
}

// PRV-21: what comes from the access side in our own name comes from a liar.
TEST(PathMtuLearning, BelievesNobodyWhoHasOurAddress) {
  for_each_family([](const Family& family) {
    Learner lab(family);
    Policy policy = open_policy();
    policy.own_prefixes = {*parse_prefix(to_string(family.router))};
    lab.use(policy);
    EXPECT_EQ(lab.in(lab.error(1400, lab.sent())), dropped(Drop::spoofed_source));
    EXPECT_EQ(lab.path_mtu(), 0);
    policy.own_prefixes = {*parse_prefix(to_string(family.pcscf))};
    EXPECT_EQ(lab.learned(1400), 1400);
  });
}

TEST(PathMtuLearning, NeedsARightChecksum) {
  for_each_family([](const Family& family) {
    Learner lab(family);
    Frame frame = lab.error(1400, lab.sent()).frame();
    const size_t icmp = sizeof(EthernetHeader) + family.ip_bytes;
    for (const size_t at : {icmp + 2, icmp + 7, frame.size() - 1}) {
      Frame wrong = frame;
      wrong[at] ^= 4;
      EXPECT_EQ(lab.in(wrong), dropped(Drop::icmp_about_esp));
      EXPECT_EQ(lab.path_mtu(), 0);
    }
    frame.resize(frame.size() + 9, 0xaa);  // frame padding is no part of it
    EXPECT_EQ(lab.in(frame), dropped(Drop::icmp_about_esp));
    EXPECT_EQ(lab.path_mtu(), 1400);
  });
}

// Wrong ones take none of the lessons that right ones may give.
TEST(PathMtuLearning, AWrongChecksumTakesNobodysLesson) {
  for_each_family([](const Family& family) {
    Learner lab(family);
    Frame wrong = lab.error(1400, lab.sent()).frame();
    wrong.back() ^= 1;
    for (uint32_t n = 0; n < PathMtu::kLessonsPerSecond; ++n) {
      EXPECT_EQ(lab.in(wrong), dropped(Drop::icmp_about_esp));
    }
    EXPECT_EQ(lab.path_mtu(), 0);
    EXPECT_EQ(lab.learned(1400), 1400);
  });
}

// However many guesses come, so many of them are looked up and no more; true ones are heard again a
// moment later.
TEST(PathMtuLearning, LooksUpAtABoundedRate) {
  for_each_family([](const Family& family) {
    Learner lab(family);
    const Bytes unsent = lab.sent(Learner::kSent + 1);
    for (uint32_t n = 0; n < PathMtu::kLooksAtOnce; ++n) EXPECT_EQ(lab.learned(1400, unsent), 0);
    EXPECT_EQ(lab.learned(1400), 0);
    lab.now_tsc += kSecond / PathMtu::kLooksPerSecond;
    EXPECT_EQ(lab.learned(1400), 1400);
  });
}

// Up to the byte that makes it readable; before the protocol it may be about anything.
TEST(PathMtuLearning, ReadsAQuoteCutOffAnywhere) {
  for_each_family([](const Family& family) {
    const Bytes whole = Learner(family).sent();
    for (size_t bytes = 0; bytes < family.ip_bytes + 40; ++bytes) {
      Learner lab(family);
      const PacketBuilder error =
          lab.error(1400, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes)));
      if (bytes < family.ip_bytes) {
        EXPECT_EQ(lab.in(error), dropped(Drop::icmp_quotes_protected)) << bytes;
      } else {
        EXPECT_EQ(lab.learned(error), bytes < family.ip_bytes + 8 ? 0 : 1400) << bytes;
      }
    }
  });
}

TEST(PathMtuLearning, ReadsThroughOptionsAndExtensionHeaders) {
  Learner v4(kFamilies[0]);
  EXPECT_EQ(
      v4.learned(
          1400,
          v4.plain().ip_options(Bytes(40, 1)).payload(1400).esp(v4.sa, Learner::kSent).ip_packet()),
      1400);
  const Family& family = kFamilies[1];
  const Bytes whole = Learner(family)
                          .plain()
                          .hop_by_hop()
                          .destination_options(16)
                          .routing(24)
                          .payload(1400)
                          .esp(Learner(family).sa, Learner::kSent)
                          .ip_packet();
  for (size_t bytes = 40; bytes < 110; ++bytes) {
    Learner lab(family);
    const PacketBuilder error =
        lab.error(1400, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes)));
    const size_t esp_named = 40 + 8 + 16 + 2, number_read = 40 + 8 + 16 + 24 + 8;
    if (bytes < esp_named) {
      EXPECT_EQ(lab.in(error), dropped(Drop::icmp_quotes_protected)) << bytes;
    } else {
      EXPECT_EQ(lab.learned(error), bytes < number_read ? 0 : 1400) << bytes;
    }
  }
}

// Our own fragments come back quoted too; only the first has SPI and number.
TEST(PathMtuLearning, HearsAboutTheFirstFragmentOfAPacket) {
  for_each_family([](const Family& family) {
    Learner lab(family);
    const Outcome outcome = lab.out(lab.plain().payload(2800));
    ASSERT_EQ(outcome.frames.size(), 2u);
    for (const size_t i : {1u, 0u}) {
      const Frame& frame = outcome.frames[i];
      EXPECT_EQ(lab.learned(1300, Bytes(frame.begin() + sizeof(EthernetHeader), frame.end())),
                i == 0 ? 1300 : 0);
    }
  });
}

// RFC 4301 8.2: nothing about ESP is the host's business; only "too big" teaches.
TEST(PathMtuLearning, OtherErrorsAboutEspEndHereAndTeachNothing) {
  for_each_family([](const Family& family) {
    Learner lab(family);
    const std::vector<std::pair<int, int>> kinds =
        family.v4() ? std::vector<std::pair<int, int>>{{3, 0}, {3, 1},  {3, 13}, {4, 0},
                                                       {5, 1}, {11, 0}, {12, 0}}
                    : std::vector<std::pair<int, int>>{{1, 0}, {1, 4}, {3, 0}, {4, 0}, {127, 0}};
    for (const auto& [type, code] : kinds) {
      EXPECT_EQ(lab.learned(PacketBuilder()
                                .ip(family.router, family.pcscf)
                                .icmp_error(type, code, 1400, lab.sent())),
                0);
    }
    // Of the other family's making, and about the other family.
    const Family& other = kFamilies[family.v4() ? 1 : 0];
    EXPECT_EQ(lab.learned(PacketBuilder()
                              .ip(other.router, other.pcscf)
                              .icmp_error(other.type, other.code, 1400, lab.sent())),
              0);
    // No error, or about something else: the rules'.
    Bytes quoted = lab.sent();
    quoted.resize(200);
    const PacketBuilder echo =
        PacketBuilder().ip(family.router, family.pcscf).icmp(family.v4() ? 8 : 128, quoted);
    EXPECT_EQ(lab.in(echo), passed(echo));
    const PacketBuilder about_udp =
        lab.error(1400, lab.plain().udp(5060, 1).payload(9).ip_packet());
    EXPECT_EQ(lab.in(about_udp), passed(about_udp));
  });
}

TEST(PathMtuLearning, LearnsAtABoundedRate) {
  for_each_family([](const Family& family) {
    Learner lab(family);
    constexpr uint32_t kUes = 180;
    std::vector<TestSa> sas;
    std::vector<SaIndex> indexes;
    for (uint32_t n = 0; n < kUes; ++n) {
      const std::string host = std::to_string(n + 1);
      const Address ue = *parse_address((family.v4() ? "10.9.8." : "2001:db8:7::") + host);
      sas.push_back({Suite::md5_null, 0x7000 + n, {family.pcscf, ue}});
      indexes.push_back(lab.install_out(sas.back(), 5));
    }
    const auto tell_all = [&] {
      size_t learned = 0;
      for (const TestSa& sa : sas) {
        const Bytes quoted = PacketBuilder()
                                 .ip(family.pcscf, sa.selector.destination)
                                 .udp(1, 2)
                                 .esp(sa, 5)
                                 .ip_packet();
        EXPECT_EQ(lab.in(lab.error(1400, quoted)), dropped(Drop::icmp_about_esp));
      }
      for (const SaIndex index : indexes) learned += lab.path_mtu(index) != 0;
      return learned;
    };
    EXPECT_EQ(tell_all(), PathMtu::kLessonsPerSecond);
    EXPECT_EQ(tell_all(), PathMtu::kLessonsPerSecond);
    lab.now_tsc += kSecond / 2;
    EXPECT_EQ(tell_all(), PathMtu::kLessonsPerSecond * 3 / 2);
    lab.now_tsc += kSecond;
    EXPECT_EQ(tell_all(), kUes);
  });
}

// RFC 9293 3.7.1: both ends' segments fit the path, not only the access MTU.
TEST(PathMtuLearning, ClampsTheMssOfBothDirections) {
  for_each_family([](const Family& family) {
    Learner lab(family);
    const TestSa sa_in{Suite::md5_null, 0x5001, {family.ue, family.pcscf, kUePort, kPcscfPort}};
    lab.install_in(sa_in);
    uint32_t number = 0;
    const Bytes offer{2, 4, 1460 >> 8, 1460 & 0xff};
    const auto mss_of_inbound = [&] {
      const PacketBuilder syn =
          PacketBuilder().ip(family.ue, family.pcscf).tcp(kUePort, kPcscfPort, kTcpSyn, offer);
      const Outcome outcome = lab.in(PacketBuilder(syn).esp(sa_in, ++number));
      EXPECT_EQ(outcome.frames.size(), 1u);
      return number_at(outcome.frames.at(0), 14 + family.ip_bytes + 22, 2);
    };
    const auto mss_of_outbound = [&] {
      const PacketBuilder syn =
          PacketBuilder().ip(family.pcscf, family.ue).tcp(kPcscfPort, kUePort, kTcpSyn, offer);
      const Outcome outcome = lab.out(syn);
      EXPECT_EQ(outcome.frames.size(), 1u);
      const Frame& frame = outcome.frames.at(0);
      const auto plain =
          reference::open(lab.sa.suite, lab.sa.keys(), std::span(frame).subspan(syn.esp_offset()));
      EXPECT_TRUE(plain);
      return number_at(plain.value_or(Bytes(30)), 22, 2);
    };
    const auto fits = [&](Suite suite, uint16_t mtu) {
      return uint32_t{largest_mss(suite_info(suite), family.v4(), mtu)};
    };
    ASSERT_NE(fits(sa_in.suite, 1500), fits(lab.sa.suite, 1500));
    EXPECT_EQ(mss_of_inbound(), fits(lab.sa.suite, 1500)) << "of the SA that answers";
    EXPECT_EQ(mss_of_outbound(), fits(lab.sa.suite, 1500));
    EXPECT_EQ(lab.learned(1300), 1300);
    EXPECT_EQ(mss_of_inbound(), fits(lab.sa.suite, 1300));
    EXPECT_EQ(mss_of_outbound(), fits(lab.sa.suite, 1300));
    lab.now_tsc += (kPathMtuLifetimeS + 2) * kSecond;
    EXPECT_EQ(mss_of_inbound(), fits(lab.sa.suite, 1500));
    EXPECT_EQ(mss_of_outbound(), fits(lab.sa.suite, 1500));
  });
}

// With "too-big" configured the host hears of the path, as far as it must listen.
TEST(PathMtuLearning, TellsTheHostOfThePath) {
  PathConfig config;
  config.answer_too_big = true;
  Learner lab(kFamilies[0], config);
  EXPECT_EQ(lab.learned(1000), 1000);
  const Outcome outcome = lab.out(lab.plain().payload(1300));
  EXPECT_EQ(outcome.drops, (std::map<Drop, uint64_t>{{Drop::packet_too_big, 1}}));
  ASSERT_EQ(outcome.answers.size(), 1u);
  const uint32_t told = number_at(outcome.answers[0], 14 + 20 + 6, 2);
  EXPECT_EQ(lab.out(lab.plain().payload(told - 28)).frames.size(), 1u);
  EXPECT_EQ(lab.out(lab.plain().payload(told - 27)).answers.size(), 1u);
}

}  // namespace
}  // namespace gmesp
