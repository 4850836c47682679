// SPDX-License-Identifier: BSD-3-Clause
// What passes without ESP, through the packet paths (RFC 4301 5.1, 5.2; TS 33.203 7.1, Annex J).
#include "dataplane/cleartext.h"

#include "tests/path_lab.h"

namespace gmesp {
namespace {

constexpr uint16_t kOpenPort = 5060;

PolicyRule rule(Match match, bool pass = true) { return {"rule", true, true, match, {}, {}, pass}; }

Policy policy_of(std::vector<PolicyRule> rules) {
  Policy policy = open_policy();
  policy.rules = std::move(rules);
  return policy;
}

PacketBuilder packet6() { return PacketBuilder().ip(kPcscf6, kUe6); }
PacketBuilder packet4() { return PacketBuilder().ip(kPcscf4, kUe4); }
Frame arp(const Bytes& tags = {}) { return arp_frame(kArpRequest, kUe4, kPcscf4, tags); }
Frame lldp() { return ethernet_frame({}, EtherType{0x88cc}, Bytes(46, 2)); }

// A packet of no port, quoted by ICMP errors that carry nothing protected.
Bytes harmless(const Address& source, const Address& destination) {
  return PacketBuilder().ip(source, destination).icmp(source.is_v4() ? 8 : 128).ip_packet();
}

struct Kind {
  Match match;
  std::vector<Frame> frames;
};

std::vector<Kind> all_kinds() {
  std::vector<Kind> kinds = {
      {Match::arp, {arp(), arp({0x81, 0, 0, 7})}},
      {Match::other_frame, {lldp(), ethernet_frame({}, EtherType{60}, Bytes(60, 0xaa))}},
      {Match::nd, {}},
      {Match::nd_router,
       {packet6().icmp(134, Bytes(16, 3)).frame(),
        packet6().icmp(134, Bytes(8)).hop_by_hop().frame()}},
      {Match::icmp_echo, {}},
      {Match::icmp_error, {}},
      {Match::icmp_other,
       {packet4().icmp(13).frame(), packet6().icmp(130).frame(), packet6().icmp(132).frame(),
        packet6().icmp(138).frame(), packet4().content(Protocol::icmp, {8}).frame()}},
      {Match::udp,
       {packet4().udp(1, 2).frame(), packet6().udp(1, 2).frame(),
        packet6().destination_options().udp(1, 2).frame()}},
      {Match::tcp, {packet4().tcp(1, 2).frame(), packet6().tcp(1, 2).frame()}},
      {Match::ip_other,
       {packet4().content(Protocol::none, Bytes(8)).frame(),
        packet6().content(Protocol::ah, Bytes(24)).frame(),
        packet4().content(Protocol::icmpv6, Bytes{128, 0, 0, 0, 0, 0, 0, 0}).frame(),
        packet6().content(Protocol::icmp, Bytes{8, 0, 0, 0, 0, 0, 0, 0}).frame()}},
  };
  for (const int type : {133, 135, 136})
    kinds[2].frames.push_back(packet6().icmp(type, Bytes(16, 3)).frame());
  for (const int type : {0, 8}) kinds[4].frames.push_back(packet4().icmp(type).frame());
  for (const int type : {128, 129}) kinds[4].frames.push_back(packet6().icmp(type).frame());
  for (const int type : {3, 4, 11, 12}) {
    kinds[5].frames.push_back(packet4().icmp(type, harmless(kUe4, kPcscf4)).frame());
  }
  for (const int type : {1, 2, 3, 4, 100, 127}) {
    kinds[5].frames.push_back(packet6().icmp(type, harmless(kUe6, kPcscf6)).frame());
  }
  return kinds;
}

bool expected_to_cover(Match rule, Match kind) {
  const bool frame = kind == Match::arp || kind == Match::other_frame;
  const bool icmp = kind == Match::nd || kind == Match::nd_router || kind == Match::icmp_echo ||
                    kind == Match::icmp_error || kind == Match::icmp_other;
  return rule == kind || rule == Match::any || (rule == Match::ip && !frame) ||
         (rule == Match::icmp && icmp);
}

// PRV-20.
TEST(Cleartext, IsDroppedWhenNoRulePassesIt) {
  PathLab lab(policy_of({}));
  for (const Kind& kind : all_kinds()) {
    for (const Frame& frame : kind.frames) {
      EXPECT_EQ(lab.in(frame), dropped(Drop::policy_default));
      EXPECT_EQ(lab.out(frame), dropped(Drop::policy_default));
    }
  }
}

TEST(Cleartext, ARulePassesOrDropsTheKindItNamesAndNoOther) {
  constexpr Match kRules[] = {Match::arp,        Match::nd,  Match::nd_router, Match::icmp_echo,
                              Match::icmp_error, Match::udp, Match::tcp,       Match::icmp,
                              Match::ip,         Match::any};
  for (const Match match : kRules) {
    PathLab passing(policy_of({rule(match)})), dropping(policy_of({rule(match, false)}));
    for (const Kind& kind : all_kinds()) {
      const bool covered = expected_to_cover(match, kind.match);
      for (const Frame& frame : kind.frames) {
        const Outcome expected = covered ? passed(frame) : dropped(Drop::policy_default);
        EXPECT_EQ(passing.in(frame), expected) << static_cast<int>(match);
        EXPECT_EQ(passing.out(frame), expected) << static_cast<int>(match);
        EXPECT_EQ(dropping.in(frame), dropped(covered ? Drop::policy_rule : Drop::policy_default));
      }
    }
  }
}

TEST(Cleartext, TheFirstRuleThatMatchesDecides) {
  PathLab lab(policy_of({rule(Match::udp, false), rule(Match::ip), rule(Match::tcp, false)}));
  EXPECT_EQ(lab.in(packet6().udp(1, 2)), dropped(Drop::policy_rule));
  EXPECT_EQ(lab.in(packet6().tcp(1, 2)), passed(packet6().tcp(1, 2)));
}

TEST(Cleartext, ARuleHoldsForItsDirectionOnly) {
  PolicyRule in = rule(Match::udp), out = rule(Match::tcp);
  in.out = out.in = false;
  PathLab lab(policy_of({in, out}));
  EXPECT_EQ(lab.in(packet6().udp(1, 2)), passed(packet6().udp(1, 2)));
  EXPECT_EQ(lab.out(packet6().udp(1, 2)), dropped(Drop::policy_default));
  EXPECT_EQ(lab.out(packet6().tcp(1, 2)), passed(packet6().tcp(1, 2)));
  EXPECT_EQ(lab.in(packet6().tcp(1, 2)), dropped(Drop::policy_default));
  EXPECT_EQ(lab.counters.bypassed_in, 1u);
  EXPECT_EQ(lab.counters.bypassed_out, 1u);
}

// Local is the host port's side: the destination of what comes in, the source of what goes out.
TEST(Cleartext, APortRangeHoldsBothItsEnds) {
  PolicyRule local = rule(Match::udp), remote = rule(Match::tcp);
  local.local_ports = {{5060, 5062}, {7000, 7000}};
  remote.remote_ports = {{1024, 65535}};
  PathLab lab(policy_of({local, remote}));
  const struct {
    uint16_t port;
    bool local;
    bool remote;
  } rows[] = {{5059, false, true}, {5060, true, true},  {5062, true, true},  {5063, false, true},
              {6999, false, true}, {7000, true, true},  {7001, false, true}, {1023, false, false},
              {1024, false, true}, {65535, false, true}};
  for (const auto& row : rows) {
    const auto verdict = [](const PacketBuilder& packet, bool passes) {
      return passes ? passed(packet) : dropped(Drop::policy_default);
    };
    const PacketBuilder in_local = packet6().udp(9, row.port);
    const PacketBuilder out_local = packet6().udp(row.port, 9);
    EXPECT_EQ(lab.in(in_local), verdict(in_local, row.local)) << row.port;
    EXPECT_EQ(lab.out(out_local), verdict(out_local, row.local)) << row.port;
    const PacketBuilder in_remote = packet6().tcp(row.port, 9);
    const PacketBuilder out_remote = packet6().tcp(9, row.port);
    EXPECT_EQ(lab.in(in_remote), verdict(in_remote, row.remote)) << row.port;
    EXPECT_EQ(lab.out(out_remote), verdict(out_remote, row.remote)) << row.port;
  }
}

// Local and remote as for ports; a frame without addresses is in no prefix, ARP has the two it is
// about.
TEST(Cleartext, ARuleHoldsForItsPrefixesOnly) {
  const Address ue = *parse_address("192.0.2.5"), pcscf = *parse_address("198.51.100.10");
  const Address other = *parse_address("203.0.113.1");
  const auto udp = [](const Address& from, const Address& to) {
    return PacketBuilder().ip(from, to).udp(1, 2).frame();
  };
  PolicyRule one = rule(Match::any);
  one.local = {*parse_prefix("2001:db8:9::/48"), *parse_prefix("198.51.100.0/24")};
  one.remote = {*parse_prefix("192.0.2.4/31"), *parse_prefix("::/0")};
  PathLab lab(policy_of({one}));
  EXPECT_EQ(lab.in(udp(ue, pcscf)), passed(udp(ue, pcscf)));
  EXPECT_EQ(lab.out(udp(pcscf, ue)), passed(udp(pcscf, ue)));
  EXPECT_EQ(lab.in(arp_frame(kArpRequest, ue, pcscf)), passed(arp_frame(kArpRequest, ue, pcscf)));
  EXPECT_EQ(lab.out(arp_frame(kArpReply, pcscf, ue)), passed(arp_frame(kArpReply, pcscf, ue)));
  for (const Frame& frame : {udp(pcscf, ue), udp(other, pcscf), udp(ue, other), lldp(),
                             arp_frame(kArpRequest, other, pcscf)}) {
    EXPECT_EQ(lab.in(frame), dropped(Drop::policy_default));
  }
  EXPECT_EQ(lab.out(udp(ue, pcscf)), dropped(Drop::policy_default));
}

// What decided: each packet is one hit of one rule, or of none.
TEST(Cleartext, CountsTheHitsOfEachRuleUntilAnotherPolicyIsUsed) {
  PolicyRule out = rule(Match::tcp, false);
  out.in = false;
  Policy policy = policy_of({rule(Match::udp), out, rule(Match::ip)});
  policy.rules[2].rate_per_source = 2;
  PathLab lab(policy);
  for (int i = 0; i < 5; ++i) lab.in(packet6().tcp(1, 2));
  lab.in(packet6().udp(1, 2));
  lab.out(packet6().udp(1, 2));
  lab.out(packet6().tcp(1, 2));
  lab.in(lldp());
  const auto hits = [&](size_t rule) { return lab.counters.rules[rule].hits; };
  EXPECT_EQ(hits(0), 2u);
  EXPECT_EQ(hits(1), 1u);
  EXPECT_EQ(hits(2), 5u);
  EXPECT_EQ(lab.counters.rules[2].limited, 3u);
  EXPECT_EQ(lab.counters[Drop::rate_of_source], 3u);
  EXPECT_EQ(lab.counters[Drop::policy_rule], 1u);
  EXPECT_EQ(lab.counters[Drop::policy_default], 1u);
  const Policy other = policy_of({rule(Match::ip), rule(Match::any, false)});
  lab.use(other);
  EXPECT_EQ(lab.in(packet6().tcp(1, 2)), passed(packet6().tcp(1, 2)));
  EXPECT_EQ(lab.in(lldp()), dropped(Drop::policy_rule));
  EXPECT_EQ(hits(0) + hits(1) + hits(2), 2u);
}

// INT-33, R4: from the host, whatever stands between the IP header and the ports, and whatever tags
// the frame has.
TEST(Cleartext, NeverLeavesFromAProtectedPortInWhateverDisguise) {
  PathLab lab;
  const auto from4 = [](bool tcp) {
    PacketBuilder packet = PacketBuilder().ip(kPcscf4, kUe4);
    return tcp ? packet.tcp(kPcscfPort, 9) : packet.udp(kPcscfPort, 9);
  };
  const auto from6 = [](bool tcp) {
    PacketBuilder packet = PacketBuilder().ip(kPcscf6, kUe6);
    return tcp ? packet.tcp(kPcscfPort, 9) : packet.udp(kPcscfPort, 9);
  };
  for (const bool tcp : {false, true}) {
    for (const PacketBuilder& packet :
         {from4(tcp), from4(tcp).ip_options(Bytes(4, 1)), from4(tcp).ip_options(Bytes(40, 1)),
          from4(tcp).vlan(7), from4(tcp).vlan(7, EtherType::qinq).vlan(0).ip_options(Bytes(8, 1)),
          from4(tcp).frame_padding(9), from6(tcp), from6(tcp).vlan(0), from6(tcp).hop_by_hop(16),
          from6(tcp).routing(), from6(tcp).destination_options().routing(),
          from6(tcp).hop_by_hop().destination_options().routing().inside().destination_options(),
          from6(tcp).vlan(1).vlan(2).destination_options(64)}) {
      EXPECT_EQ(lab.out(packet), dropped(Drop::cleartext_on_protected_port));
    }
  }
}

// TS 33.203 7.1: whatever the rules say. The other end's port of that number is its own business.
// R3, R4, INT-33.
TEST(Cleartext, NeverPassesAtAProtectedPortOfThePcscf) {
  PathLab lab;
  for (const bool tcp : {false, true}) {
    const auto packet = [&](uint16_t from, uint16_t to) {
      return tcp ? packet6().tcp(from, to) : packet4().udp(from, to);
    };
    EXPECT_EQ(lab.in(packet(9, kPcscfPort)), dropped(Drop::cleartext_on_protected_port));
    EXPECT_EQ(lab.out(packet(kPcscfPort, 9)), dropped(Drop::cleartext_on_protected_port));
    EXPECT_EQ(lab.in(packet(kPcscfPort, 9)), passed(packet(kPcscfPort, 9)));
    EXPECT_EQ(lab.out(packet(9, kPcscfPort)), passed(packet(9, kPcscfPort)));
  }
  EXPECT_EQ(lab.in(packet6().inside().destination_options().udp(9, kPcscfPort)),
            dropped(Drop::cleartext_on_protected_port));
}

// INT-33, INT-35: role ue learns the ports from its SAs and holds them on for a time.
TEST(Cleartext, NeverPassesAtThePortsOfAUesSas) {
  Policy policy = open_policy();
  policy.role = Role::ue;
  policy.protected_port_hold_s = 1;
  PathLab lab(policy);
  const PacketBuilder to_ue = PacketBuilder().ip(kPcscf6, kUe6).udp(kPcscfPort, kUePort);
  const PacketBuilder from_ue = PacketBuilder().ip(kUe6, kPcscf6).udp(kUePort, kOpenPort);
  EXPECT_EQ(lab.in(to_ue), passed(to_ue)) << "the configured ports are the P-CSCF's";
  lab.ports.add(kUePort);
  lab.ports.add(kUePort);
  EXPECT_EQ(lab.in(to_ue), dropped(Drop::cleartext_on_protected_port));
  EXPECT_EQ(lab.out(from_ue), dropped(Drop::cleartext_on_protected_port));
  lab.ports.remove(kUePort, lab.now_tsc);
  EXPECT_EQ(lab.in(to_ue), dropped(Drop::cleartext_on_protected_port)) << "one SA is left";
  lab.ports.remove(kUePort, lab.now_tsc);
  lab.now_tsc += PathLab::kTscHz - 1;
  EXPECT_EQ(lab.in(to_ue), dropped(Drop::cleartext_on_protected_port)) << "held";
  EXPECT_EQ(lab.out(from_ue), dropped(Drop::cleartext_on_protected_port)) << "held";
  lab.now_tsc += 1;
  EXPECT_EQ(lab.in(to_ue), passed(to_ue));
  EXPECT_EQ(lab.out(from_ue), passed(from_ue));
}

// PRV-21: of whatever protocol; only from the access side.
// PRV-21, R20.
TEST(Cleartext, NeverComesInFromAnOwnAddress) {
  Policy policy = open_policy();
  policy.own_prefixes = {*parse_prefix("198.51.100.0/24"), *parse_prefix("2001:db8::10")};
  PathLab lab(policy);
  for (const PacketBuilder& packet :
       {packet4().udp(1, 2), packet6().udp(1, 2), packet4().icmp(8), packet6().icmp(136, Bytes(16)),
        packet6().tcp(1, kPcscfPort)}) {
    EXPECT_EQ(lab.in(packet), dropped(Drop::spoofed_source));
    EXPECT_EQ(lab.out(packet), passed(packet));
  }
  const PacketBuilder neighbour = packet6().ip(*parse_address("2001:db8::11"), kPcscf6).udp(1, 2);
  EXPECT_EQ(lab.in(neighbour), passed(neighbour));
}

// RFC 4301 5.2: an SA that leaves ports open protects more than the protected ports.
TEST(Cleartext, NeverComesInWhereAnSaProtectsTheAnswer) {
  PathLab lab;
  const PacketBuilder from_ue = PacketBuilder().ip(kUe6, kPcscf6);
  const PacketBuilder any_ports = PacketBuilder(from_ue).udp(1, 2);
  const PacketBuilder tcp = PacketBuilder(from_ue).tcp(1, 2);
  EXPECT_EQ(lab.in(any_ports), passed(any_ports));
  TestSa sa{Suite::sha1_aes_cbc, 0x1000, {kPcscf6, kUe6}};
  sa.selector.protocol = Protocol::udp;
  const SaIndex index = lab.install_out(sa);
  EXPECT_EQ(lab.in(any_ports), dropped(Drop::cleartext_on_protected_port));
  EXPECT_EQ(lab.in(tcp), passed(tcp)) << "another protocol";
  const PacketBuilder ping = PacketBuilder(from_ue).icmp(128);
  const PacketBuilder neighbour = PacketBuilder().ip(kUe4, kPcscf4).udp(1, 2);
  EXPECT_EQ(lab.in(ping), passed(ping));
  EXPECT_EQ(lab.in(neighbour), passed(neighbour)) << "another pair";
  lab.spd.remove(index);
  EXPECT_EQ(lab.in(any_ports), passed(any_ports));
}

}  // namespace
}  // namespace gmesp
