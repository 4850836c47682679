// SPDX-License-Identifier: BSD-3-Clause
// What nobody sends in clear from the access side, through the inbound path, with a rule that
// passes everything.
#include "dataplane/access_check.h"

#include "tests/path_lab.h"

namespace gmesp {
namespace {

Address ip(const char* text) { return *parse_address(text); }

Policy own_policy() {
  Policy policy = open_policy();
  policy.own_prefixes = {*parse_prefix("198.51.100.0/24"), *parse_prefix("2001:db8::10"),
                         *parse_prefix("fe80::10")};
  return policy;
}

Policy reachable_policy() {
  Policy policy = own_policy();
  policy.reachable = {*parse_prefix("198.51.100.10"), *parse_prefix("2001:db8::10")};
  return policy;
}

PacketBuilder from(const Address& source) {
  return PacketBuilder().ip(source, source.is_v4() ? kPcscf4 : kPcscf6);
}

// RFC 4861 4.3, 4.4: behind the ICMPv6 header, the target.
PacketBuilder nd(int type, const Address& source, const Address& destination,
                 const Address& target) {
  return PacketBuilder()
      .ip(source, destination)
      .icmp(type, Bytes(target.bytes.begin(), target.bytes.end()));
}

const Address kNobody = ip("::");
const Address kAllNodes = ip("ff02::1");
const Address kSolicited = ip("ff02::1:ff00:10");
const Address kOwnLinkLocal = ip("fe80::10");

// PRV-21, R20: whoever answers for an address gets what is meant for it.
TEST(AccessCheck, OwnAddressesAreNotClaimedByArp) {
  PathLab lab(own_policy());
  const Address own = kPcscf4, ue = kUe4, none = ip("0.0.0.0");
  for (const uint16_t operation : {kArpRequest, kArpReply}) {
    for (const Frame& claim :
         {arp_frame(operation, own, ue), arp_frame(operation, own, own),
          arp_frame(operation, none, own), arp_frame(operation, ip("198.51.100.77"), ue),
          arp_frame(operation, own, ue, {0x81, 0, 0, 7})}) {
      EXPECT_EQ(lab.in(claim), dropped(Drop::spoofed_source));
    }
    for (const Frame& good : {arp_frame(operation, ue, own), arp_frame(operation, ue, ue),
                              arp_frame(operation, none, ue)}) {
      EXPECT_EQ(lab.in(good), passed(good));
    }
    EXPECT_EQ(lab.out(arp_frame(operation, own, ue)), passed(arp_frame(operation, own, ue)));
  }
}

// The fields stand elsewhere then, and receivers differ in where they look.
TEST(AccessCheck, ArpIsReadAsIpv4OverEthernetOrNotAtAll) {
  PathLab lab(own_policy());
  const Frame good = arp_frame(kArpRequest, kUe4, kPcscf4);
  for (const size_t at : {16u, 17u, 18u, 19u}) {  // protocol type and both lengths
    Frame odd = good;
    odd[at] ^= 2;
    EXPECT_EQ(lab.in(odd), dropped(Drop::malformed_ip)) << at;
  }
  Frame other_hardware = arp_frame(kArpRequest, kPcscf4, kUe4);
  other_hardware[15] = 6;  // IEEE 802, which Linux takes for Ethernet
  EXPECT_EQ(lab.in(other_hardware), dropped(Drop::spoofed_source));
  for (size_t bytes = 14; bytes < good.size(); ++bytes) {
    EXPECT_EQ(lab.in(Frame(good.begin(), good.begin() + static_cast<long>(bytes))),
              dropped(Drop::runt));
  }
}

// PRV-21: an advertisement of our address, and duplicate address detection for it (RFC 4862 5.4).
TEST(AccessCheck, OwnAddressesAreNotClaimedByNd) {
  PathLab lab(own_policy());
  for (const Address& own : {kPcscf6, kOwnLinkLocal}) {
    for (const PacketBuilder& claim :
         {nd(136, kUe6, kAllNodes, own), nd(136, ip("fe80::5"), kPcscf6, own),
          nd(135, kNobody, kSolicited, own), nd(135, own, kSolicited, kUe6),
          nd(133, own, ip("ff02::2"), own), nd(134, own, kAllNodes, kUe6),
          nd(136, kUe6, kAllNodes, own).hop_by_hop(), nd(136, kUe6, kAllNodes, own).vlan(5),
          nd(136, kUe6, kAllNodes, own).inside().destination_options(16)}) {
      EXPECT_EQ(lab.in(claim), dropped(Drop::spoofed_source));
      EXPECT_EQ(lab.out(claim), passed(claim));
    }
    for (const PacketBuilder& good :
         {nd(135, kUe6, kSolicited, own), nd(135, kNobody, kSolicited, kUe6),
          nd(136, kUe6, kAllNodes, kUe6), nd(134, ip("fe80::1"), kAllNodes, own)}) {
      EXPECT_EQ(lab.in(good), passed(good));
    }
  }
}

TEST(AccessCheck, AnNdMessageHasItsWholeTarget) {
  PathLab lab(own_policy());
  for (const int type : {135, 136}) {
    for (const size_t bytes : {0u, 1u, 15u}) {
      const PacketBuilder cut = from(kUe6).icmp(type, Bytes(bytes)).frame_padding(16);
      EXPECT_EQ(lab.in(cut), dropped(Drop::transport_runt)) << bytes;
    }
  }
}

// RFC 1122 3.2.1.3, RFC 6890 2.2, RFC 4291 2.5.2, 2.5.3, 2.7.
// PRV-22, R20.
TEST(AccessCheck, NothingComesFromWhatIsNoSource) {
  PathLab lab;
  const struct {
    const char* source;
    bool passes;
  } rows[] = {{"0.0.0.0", false},   {"0.255.255.255", false},
              {"1.0.0.0", true},    {"126.255.255.255", true},
              {"127.0.0.1", false}, {"127.255.255.255", false},
              {"128.0.0.0", true},  {"223.255.255.255", true},
              {"224.0.0.0", false}, {"239.255.255.255", false},
              {"240.0.0.1", false}, {"255.255.255.255", false},
              {"::", false},        {"::1", false},
              {"::2", true},        {"::100", true},
              {"fe80::1", true},    {"ff00::1", false},
              {"ff02::1", false},   {"feff:ffff::1", true}};
  for (const auto& row : rows) {
    for (const PacketBuilder& packet :
         {from(ip(row.source)).udp(1, 2), from(ip(row.source)).tcp(1, 2),
          from(ip(row.source)).icmp(ip(row.source).is_v4() ? 8 : 128)}) {
      EXPECT_EQ(lab.in(packet), row.passes ? passed(packet) : dropped(Drop::martian_source))
          << row.source;
      EXPECT_EQ(lab.out(packet), passed(packet)) << "what the host sends is its own business";
    }
    if (!ip(row.source).is_v4() || row.source == std::string("0.0.0.0")) continue;
    const Frame arp = arp_frame(kArpReply, ip(row.source), kPcscf4);
    EXPECT_EQ(lab.in(arp), row.passes ? passed(arp) : dropped(Drop::martian_source)) << row.source;
  }
}

TEST(AccessCheck, NothingComesFromItsOwnDestination) {
  PathLab lab;
  for (const PacketBuilder& land : {PacketBuilder().ip(kPcscf4, kPcscf4).tcp(5060, 5060, kTcpSyn),
                                    PacketBuilder().ip(kPcscf6, kPcscf6).udp(5060, 5060)}) {
    EXPECT_EQ(lab.in(land), dropped(Drop::martian_source));
  }
}

// RFC 4861 4.1, 4.3; RFC 3590 4: before there is an address.
TEST(AccessCheck, OnlyTheFirstMessagesOfANodeComeFromTheUnspecifiedAddress) {
  PathLab lab;
  for (int type = 0; type < 256; ++type) {
    const bool first = type == 131 || type == 132 || type == 133 || type == 135 || type == 143;
    const PacketBuilder packet = nd(type, kNobody, kSolicited, kUe6);
    EXPECT_EQ(lab.in(packet), first ? passed(packet) : dropped(Drop::martian_source)) << type;
  }
  EXPECT_EQ(lab.in(PacketBuilder().ip(kNobody, kSolicited).content(Protocol::icmpv6, {135})),
            dropped(Drop::martian_source))
      << "cut off inside the header";
}

// PRV-20: only the hosts named; no other, not even its neighbour. And no loopback from a wire.
TEST(AccessCheck, OtherHostsBehindTheHostPortAreUnreachable) {
  PathLab lab(reachable_policy()), open(own_policy());
  for (const char* host : {"198.51.100.11", "10.0.0.1", "255.255.255.255", "224.0.0.1",
                           "2001:db8::11", "fe80::10", "ff02::1", "ff05::2"}) {
    const Address& ue = ip(host).is_v4() ? kUe4 : kUe6;
    for (const PacketBuilder& packet :
         {PacketBuilder().ip(ue, ip(host)).udp(1, 5060), PacketBuilder().ip(ue, ip(host)).tcp(1, 2),
          PacketBuilder().ip(ue, ip(host)).icmp(ue.is_v4() ? 8 : 128)}) {
      EXPECT_EQ(lab.in(packet), dropped(Drop::unreachable_host)) << host;
      EXPECT_EQ(open.in(packet), passed(packet)) << host;
    }
    const PacketBuilder back = PacketBuilder().ip(ip(host), ue).udp(5060, 1);
    EXPECT_EQ(lab.out(back), passed(back)) << "what the host says is for rules to judge";
  }
  for (const PacketBuilder& packet : {from(kUe4).udp(1, 5060), from(kUe6).tcp(1, 5060)}) {
    EXPECT_EQ(lab.in(packet), passed(packet));
  }
  for (const char* nobody : {"127.0.0.1", "0.0.0.0", "::1", "::"}) {
    const Address& ue = ip(nobody).is_v4() ? kUe4 : kUe6;
    EXPECT_EQ(open.in(PacketBuilder().ip(ue, ip(nobody)).udp(1, 2)),
              dropped(Drop::unreachable_host))
        << nobody;
  }
}

// PRV-20, RFC 7126 4.3, RFC 5095: nor by way of a host that may be reached.
TEST(AccessCheck, NobodyIsReachedByASourceRoute) {
  PathLab lab(reachable_policy()), open(own_policy());
  const auto routed4 = [](int option, int pointer, Bytes before = {}) {
    const Bytes route = {
        static_cast<uint8_t>(option), 7, static_cast<uint8_t>(pointer), 10, 0, 0, 1, 0};
    before.insert(before.end(), route.begin(), route.end());
    return from(kUe4).ip_options(before).udp(1, 5060);
  };
  for (const PacketBuilder& packet :
       {routed4(131, 4), routed4(137, 4), routed4(131, 4, {1, 1, 1, 1}),
        routed4(137, 4, {148, 4, 0, 0}), from(kUe6).routing(24, 1).udp(1, 5060),
        from(kUe6).hop_by_hop().destination_options().routing(8, 1).tcp(1, 5060)}) {
    EXPECT_EQ(lab.in(packet), dropped(Drop::unreachable_host));
    EXPECT_EQ(open.in(packet), passed(packet)) << "every host may be reached";
  }
  // Used up, a record of the way, and options that are cut off.
  for (const PacketBuilder& packet :
       {routed4(131, 8), routed4(7, 4), from(kUe4).ip_options({1, 1, 1, 131}).udp(1, 5060),
        from(kUe4).ip_options({131, 9, 4, 10}).udp(1, 5060),
        from(kUe4).ip_options({0, 131, 3, 3}).udp(1, 5060)}) {
    EXPECT_EQ(lab.in(packet), passed(packet));
  }
  const PacketBuilder used_up = from(kUe6).routing(8, 0).udp(1, 5060);
  EXPECT_EQ(lab.in(used_up), passed(used_up));
}

// PRV-20: nor is anybody told that they exist.
TEST(AccessCheck, UnreachableHostsAreNotAskedFor) {
  PathLab lab(reachable_policy());
  const Address hidden4 = ip("203.0.113.9"), hidden6 = ip("2001:db8:2::9");
  for (const uint16_t operation : {kArpRequest, kArpReply}) {
    EXPECT_EQ(lab.in(arp_frame(operation, kUe4, hidden4)), dropped(Drop::unreachable_host));
    for (const Frame& good :
         {arp_frame(operation, kUe4, kPcscf4),
          arp_frame(operation, kUe4, kUe4)}) {  // an announcement (RFC 5227 2.3)
      EXPECT_EQ(lab.in(good), passed(good));
    }
  }
  EXPECT_EQ(lab.in(nd(135, kUe6, kSolicited, hidden6)), dropped(Drop::unreachable_host));
  EXPECT_EQ(lab.in(nd(135, kUe6, hidden6, kPcscf6)), dropped(Drop::unreachable_host));
  for (const PacketBuilder& good :
       {nd(135, kUe6, kSolicited, kPcscf6), nd(135, ip("fe80::5"), kOwnLinkLocal, kOwnLinkLocal),
        nd(135, kNobody, kSolicited, kUe6), nd(136, kUe6, kAllNodes, kUe6),
        nd(136, kUe6, kPcscf6, kUe6), nd(134, ip("fe80::1"), kAllNodes, hidden6),
        nd(143, kUe6, ip("ff02::16"), kUe6), nd(130, ip("fe80::1"), kAllNodes, kNobody)}) {
    EXPECT_EQ(lab.in(good), passed(good));
  }
}

}  // namespace
}  // namespace gmesp
