// SPDX-License-Identifier: BSD-3-Clause
// ICMP errors of the host that would carry back to the wire, in clear, what came in under ESP
// (DESIGN 3: dropped under their own reason).
#include "tests/path_lab.h"

namespace gmesp {
namespace {

constexpr uint16_t kOpenPort = 5060;

struct Quote {
  Address ue;
  Address pcscf;
  std::vector<uint8_t> error_types;
};
const Quote kQuotes[] = {{kUe4, kPcscf4, {3, 4, 5, 11, 12}}, {kUe6, kPcscf6, {1, 2, 3, 4, 127}}};

// A packet that came in under ESP must not go back in clear inside the host's complaint about it.
TEST(IcmpError, IsDroppedWhenItQuotesAProtectedPort) {
  for (const Quote& quote : kQuotes) {
    PathLab lab;
    const auto quoting = [&](uint8_t type, const PacketBuilder& packet) {
      return PacketBuilder().ip(quote.pcscf, quote.ue).icmp(type, packet.ip_packet());
    };
    const PacketBuilder from_ue = PacketBuilder().ip(quote.ue, quote.pcscf).payload("secret");
    for (const uint8_t type : quote.error_types) {
      for (const bool tcp : {false, true}) {
        const auto packet = [&](uint16_t from, uint16_t to) {
          return tcp ? PacketBuilder(from_ue).tcp(from, to) : PacketBuilder(from_ue).udp(from, to);
        };
        EXPECT_EQ(lab.out(quoting(type, packet(kUePort, kPcscfPort))),
                  dropped(Drop::icmp_quotes_protected));
        EXPECT_EQ(lab.out(quoting(type, packet(kPcscfPort, kUePort))),
                  dropped(Drop::icmp_quotes_protected));
        const PacketBuilder open = quoting(type, packet(kUePort, kOpenPort));
        EXPECT_EQ(lab.out(open), passed(open));
      }
    }
  }
}

// Ports that only an SA protects: in its direction and in its peer's.
TEST(IcmpError, IsDroppedWhenItQuotesTheFlowOfAnSa) {
  for (const Quote& quote : kQuotes) {
    PathLab lab;
    lab.install_out({Suite::md5_null, 0x4000, {quote.pcscf, quote.ue, 7000, 7001}});
    const PacketBuilder asked = PacketBuilder().ip(quote.ue, quote.pcscf).udp(7001, 7000);
    const PacketBuilder answered = PacketBuilder().ip(quote.pcscf, quote.ue).udp(7000, 7001);
    const PacketBuilder other = PacketBuilder().ip(quote.ue, quote.pcscf).udp(7001, 7002);
    const auto quoting = [&](const PacketBuilder& packet) {
      return PacketBuilder().ip(quote.pcscf, quote.ue).icmp(3, packet.ip_packet());
    };
    EXPECT_EQ(lab.out(quoting(asked)), dropped(Drop::icmp_quotes_protected));
    EXPECT_EQ(lab.out(quoting(answered)), dropped(Drop::icmp_quotes_protected));
    EXPECT_EQ(lab.out(quoting(other)), passed(quoting(other)));
  }
}

// The same for ports that the SA takes besides its selector's.
TEST(IcmpError, IsDroppedWhenItQuotesAPortPairOfTheSet) {
  for (const Quote& quote : kQuotes) {
    PathLab lab;
    lab.install_out({Suite::md5_null, 0x4000, {quote.pcscf, quote.ue, 7000, 7001}, {7010, 7011}});
    const auto quoting = [&](uint16_t ue_port, uint16_t pcscf_port) {
      const PacketBuilder asked =
          PacketBuilder().ip(quote.ue, quote.pcscf).udp(ue_port, pcscf_port);
      return PacketBuilder().ip(quote.pcscf, quote.ue).icmp(3, asked.ip_packet());
    };
    for (const uint16_t pcscf_port : std::initializer_list<uint16_t>{7000, 7010}) {
      EXPECT_EQ(lab.out(quoting(7011, pcscf_port)), dropped(Drop::icmp_quotes_protected));
      EXPECT_EQ(lab.out(quoting(7012, pcscf_port)), passed(quoting(7012, pcscf_port)));
    }
  }
}

// What cannot be read cannot be cleared, up to the byte that makes it readable.
TEST(IcmpError, IsDroppedWhenItsQuoteIsCutOffBeforeThePorts) {
  for (const Quote& quote : kQuotes) {
    PathLab lab;
    const bool v4 = quote.ue.is_v4();
    const Bytes whole = PacketBuilder().ip(quote.ue, quote.pcscf).udp(9, kOpenPort).ip_packet();
    const size_t readable = (v4 ? 20u : 40u) + 4;
    for (size_t bytes = 0; bytes <= whole.size(); ++bytes) {
      const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes));
      const PacketBuilder error =
          PacketBuilder().ip(quote.pcscf, quote.ue).icmp(quote.error_types[0], cut);
      EXPECT_EQ(lab.out(error),
                bytes < readable ? dropped(Drop::icmp_quotes_protected) : passed(error))
          << bytes;
    }
  }
}

TEST(IcmpError, IsDroppedWhenItHidesTheQuotedPorts) {
  PathLab lab;
  const auto quoting = [](const Bytes& quote) {
    return PacketBuilder().ip(kPcscf6, kUe6).icmp(1, quote);
  };
  const auto asked = [](uint16_t port) { return PacketBuilder().ip(kUe6, kPcscf6).udp(9, port); };
  // Extension headers are read through.
  for (const uint16_t port : {kPcscfPort, kOpenPort}) {
    const PacketBuilder error =
        quoting(asked(port).hop_by_hop().routing().inside().destination_options().ip_packet());
    EXPECT_EQ(lab.out(error),
              port == kPcscfPort ? dropped(Drop::icmp_quotes_protected) : passed(error));
  }
  // A fragment has no ports; garbage has no headers.
  EXPECT_EQ(lab.out(quoting(asked(kOpenPort).fragment_header().ip_packet())),
            dropped(Drop::icmp_quotes_protected));
  EXPECT_EQ(lab.out(quoting(Bytes(80, 0))), dropped(Drop::icmp_quotes_protected));
  EXPECT_EQ(lab.out(quoting(Bytes(80, 0xff))), dropped(Drop::icmp_quotes_protected));
}

// RFC 4861 4.5: target and destination, then options that quote. The addresses in front can be
// made to look like a harmless packet.
TEST(IcmpError, NeverGoesOutAsAnIpv6Redirect) {
  PathLab lab;
  const Bytes quoted = PacketBuilder().ip(kUe6, kPcscf6).udp(kUePort, kPcscfPort).ip_packet();
  Bytes looks_harmless = PacketBuilder().ip(kUe4, kPcscf4).udp(1, 2).ip_packet();
  looks_harmless.resize(32);
  Bytes plain_addresses = concat(Bytes(kUe6.bytes.begin(), kUe6.bytes.end()),
                                 Bytes(kUe6.bytes.begin(), kUe6.bytes.end()));
  for (Bytes body : {plain_addresses, looks_harmless}) {
    append(body, {4, 7, 0, 0, 0, 0, 0, 0});
    append(body, quoted);
    EXPECT_EQ(lab.out(PacketBuilder().ip(kPcscf6, kUe6).icmp(137, body)),
              dropped(Drop::icmp_quotes_protected));
  }
}

// Nobody outside can have seen a protected packet in clear: who quotes one has made it up, to have
// the host send less (RFC 1191 8) or give up (RFC 5927).
TEST(IcmpError, FromTheAccessSideQuotesNoProtectedPacket) {
  PathLab lab;
  const auto error = [](uint16_t from_port, uint16_t to_port) {
    return PacketBuilder()
        .ip(kUe6, kPcscf6)
        .icmp(2, PacketBuilder().ip(kPcscf6, kUe6).udp(from_port, to_port).ip_packet());
  };
  EXPECT_EQ(lab.in(error(kPcscfPort, kUePort)), dropped(Drop::icmp_quotes_protected));
  EXPECT_EQ(lab.in(error(5060, kUePort)), passed(error(5060, kUePort)));
  lab.install_out({Suite::sha1_aes_cbc, 0x1000, {kPcscf6, kUe6, Selector::kAnyPort, 7000}});
  EXPECT_EQ(lab.in(error(5060, 7000)), dropped(Drop::icmp_quotes_protected)) << "an SA's";
}

// Where no rule can pass an error at all, the rules drop it, whatever it quotes; a rule that passes
// some of them is enough for the quote to be read first. From the host the quote is read always.
TEST(IcmpError, FromTheAccessSideIsReadOnlyWhereARuleCanPassIt) {
  const auto error = [](const Address& from, const Address& to, uint16_t port) {
    const PacketBuilder quoted = PacketBuilder().ip(to, from).udp(port, kUePort);
    return PacketBuilder().ip(from, to).icmp(1, quoted.ip_packet());
  };
  const PacketBuilder in = error(kUe6, kPcscf6, kPcscfPort);
  const PacketBuilder out = error(kPcscf6, kUe6, kPcscfPort);
  const PacketBuilder harmless = error(kUe6, kPcscf6, kOpenPort);
  PolicyRule passes{.name = "rule", .match = Match::icmp_error}, drops = passes, leaves = passes;
  PolicyRule echo = passes, far = passes;
  drops.pass = leaves.in = false;
  echo.match = Match::icmp_echo;
  far.remote = {*parse_prefix("2001:db8:77::/48")};
  const struct {
    std::vector<PolicyRule> rules;
    Drop quoting, other;
  } rows[] = {{{}, Drop::policy_default, Drop::policy_default},
              {{leaves, echo}, Drop::policy_default, Drop::policy_default},
              {{drops}, Drop::policy_rule, Drop::policy_rule},
              {{far}, Drop::icmp_quotes_protected, Drop::policy_default},
              {{drops, passes}, Drop::icmp_quotes_protected, Drop::policy_rule}};
  for (const auto& row : rows) {
    const Policy open = open_policy();
    Policy policy = open;
    policy.rules = row.rules;
    PathLab lab(open);
    lab.use(policy);
    EXPECT_EQ(lab.in(in), dropped(row.quoting));
    EXPECT_EQ(lab.in(harmless), dropped(row.other));
    EXPECT_EQ(lab.out(out), dropped(Drop::icmp_quotes_protected));
    lab.use(open);
    EXPECT_EQ(lab.in(in), dropped(Drop::icmp_quotes_protected));
    EXPECT_EQ(lab.in(harmless), passed(harmless));
  }
}

// Hosts read more than we do: fragments, further headers, a wrong version. Empty quotes tell nobody
// anything.
TEST(IcmpError, FromTheAccessSideIsDroppedWhenItHidesTheQuotedPorts) {
  PathLab lab;
  const PacketBuilder about6 = PacketBuilder().ip(kPcscf6, kUe6).udp(kPcscfPort, kUePort);
  const PacketBuilder about4 = PacketBuilder().ip(kPcscf4, kUe4).udp(kPcscfPort, kUePort);
  const auto with = [](const PacketBuilder& packet, size_t at, uint8_t byte) {
    Bytes bytes = packet.ip_packet();
    bytes.at(at) = byte;
    return bytes;
  };
  Bytes ah = with(about6, 6, 51);  // RFC 4302 2, with 4 bytes of ICV
  const Bytes header{17, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0};
  ah.insert(ah.begin() + 40, header.begin(), header.end());
  for (const Bytes& quote :
       {Bytes{}, Bytes(80, 0), PacketBuilder(about6).fragment_header().ip_packet(), ah,
        with(about6, 0, 0x00)}) {
    EXPECT_EQ(lab.in(PacketBuilder().ip(kUe6, kPcscf6).icmp(1, quote)),
              dropped(Drop::icmp_quotes_protected));
  }
  for (const Bytes& quote :
       {with(about4, 6, 0x20), with(about4, 7, 0x01), with(about4, 0, 0x05), with(about4, 9, 51)}) {
    EXPECT_EQ(lab.in(PacketBuilder().ip(kUe4, kPcscf4).icmp(3, quote)),
              dropped(Drop::icmp_quotes_protected));
  }
}

// Hosts go by the error's own family. What says the other in its first four bits can be two packets
// at once: a harmless one to us, one of the protected port to the host.
TEST(IcmpError, FromTheAccessSideQuotesAPacketOfItsOwnFamily) {
  PathLab lab;
  // An IPv6 header with next header 64; for a host IPv4, DF, UDP from the protected port.
  Bytes six = PacketBuilder().ip(kPcscf4, kUe4).udp(kPcscfPort, kUePort).ip_packet();
  six.at(0) = 0x65;
  six.at(6) = 64;
  six.resize(60, 0x77);
  EXPECT_EQ(lab.in(PacketBuilder().ip(kUe4, kPcscf4).icmp(3, six)),
            dropped(Drop::icmp_quotes_protected));
  // An IPv4 header of 64 bytes in all whose protocol is a byte of an address; for a host IPv6 with
  // a hop-by-hop header before the UDP.
  Bytes four = PacketBuilder().ip(kPcscf6, kUe6).udp(kPcscfPort, kUePort).hop_by_hop().ip_packet();
  four.at(0) = 0x45;
  four.at(2) = 0;
  four.at(3) = 64;
  four.at(6) = four.at(7) = 0;
  ASSERT_EQ(four.at(9), 0x01) << "2001:..., to us ICMP";
  EXPECT_EQ(lab.in(PacketBuilder().ip(kUe6, kPcscf6).icmp(2, four)),
            dropped(Drop::icmp_quotes_protected));
}

// RFC 4861 8, RFC 1122 3.2.2.2: hosts send a UE's packets where a redirect says. Only a router has
// a say in that, by a rule of its own, as for advertisements.
TEST(IcmpError, RedirectsFromTheAccessSideAreForRoutersAlone) {
  const PacketBuilder redirect6 = PacketBuilder().ip(kUe6, kPcscf6).icmp(137, Bytes(32, 0));
  const PacketBuilder redirect4 =
      PacketBuilder()
          .ip(kUe4, kPcscf4)
          .icmp(5, PacketBuilder().ip(kPcscf4, kUe4).udp(5060, 5060).ip_packet());
  for (const Match match : {Match::icmp_error, Match::nd, Match::nd_router}) {
    Policy policy = open_policy();
    policy.rules = {{.name = "rule", .match = match}};
    PathLab lab(policy);
    for (const PacketBuilder& redirect : {redirect6, redirect4}) {
      EXPECT_EQ(lab.in(redirect),
                match == Match::nd_router ? passed(redirect) : dropped(Drop::policy_default));
    }
  }
}

}  // namespace
}  // namespace gmesp
