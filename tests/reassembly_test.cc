// SPDX-License-Identifier: BSD-3-Clause
// Datagrams out of fragments, and every way in which fragments are refused (RFC 791 3.2, RFC 8200
// 4.5, and what was learned since). What bounds them: reassembly_bounds_test.cc. Random
// ones: reassembly_model_test.cc.
#include "dataplane/reassembly.h"

#include <algorithm>
#include <numeric>

#include "tests/reassembly_lab.h"

namespace gmesp {
namespace {

PacketBuilder v6_without_headers() { return v6(0); }
const TestSa kSa{Suite::sha1_aes_cbc, 0x1000, {}};

struct Shape {
  const char* name;
  PacketBuilder packet;
  PacketKind kind = PacketKind::cleartext;
};

// All of the same 108 bytes or a few more behind what is in front of the fragments.
std::vector<Shape> shapes() {
  const auto esp = PacketKind::esp;
  return {
      {"v4", v4()},
      {"v4, don't fragment", v4().fragment_bits(0x4000)},
      {"v4, options", v4().ip_options({0x94, 4, 0, 0, 1, 1, 1, 0})},
      {"v4, two VLAN tags", v4().vlan(0x6007, EtherType::qinq).vlan(9)},
      {"v4, ESP", v4().esp(kSa, 1), esp},
      {"v4, TCP", PacketBuilder().ip(kUe4, kPcscf4).tcp(1, 2).payload(88)},
      {"v6", v6()},
      {"v6, VLAN tag", v6().vlan(100)},
      {"v6, ESP", v6().esp(kSa, 1), esp},
      {"v6, hop-by-hop in front", v6().hop_by_hop(16).inside()},
      {"v6, routing in front, ESP", v6().routing().esp(kSa, 1), esp},
      {"v6, all in front", v6().hop_by_hop().destination_options().routing().inside()},
      {"v6, destination options in front", v6().destination_options().inside()},
      {"v6, destination options in front, ESP", v6().destination_options().esp(kSa, 1), esp},
      {"v6, destination options behind", v6(76).inside().destination_options(24)},
      {"v6, routing behind", v6(76).inside().routing(24)},
      {"v6, ICMP", PacketBuilder().icmp(128).payload(100)},
  };
}

// ESP-16: reassembled before ESP; every order of 2 to 5 pieces gives the same frame, every byte of
// it, sums included.
TEST(Reassembly, EveryOrderGivesTheDatagramAsItWas) {
  for (const Shape& shape : shapes()) {
    const Fragmenter datagram(shape.packet);
    for (const size_t count : {2u, 3u, 4u, 5u}) {
      std::vector<size_t> places;
      for (size_t i = 1; i < count; ++i) places.push_back(32 + 16 * i);
      const std::vector<Frame> fragments = datagram.fragments(places);
      std::vector<size_t> order(count);
      std::iota(order.begin(), order.end(), 0);
      do {
        ReassemblyLab lab;
        for (size_t i = 0; i + 1 < count; ++i) {
          ASSERT_EQ(lab.add(fragments[order[i]]), kHeld) << shape.name;
          ASSERT_EQ(lab.counters.fragments_held, i + 1);
        }
        ASSERT_EQ(lab.add(fragments[order[count - 1]]), passed(datagram.whole())) << shape.name;
        EXPECT_EQ(lab.kind, shape.kind) << shape.name;
        EXPECT_EQ(lab.counters.fragments_held, 0u);
        EXPECT_EQ(lab.counters.fragments_joined, count);
        EXPECT_EQ(lab.counters.datagrams_joined, 1u);
      } while (std::next_permutation(order.begin(), order.end()));
    }
  }
}

TEST(Reassembly, WhatIsNoFragmentPasses) {
  ReassemblyLab lab;
  for (const Frame& frame : {v4().frame(), v6().frame(), v6().esp(kSa, 1).frame(),
                             ethernet_frame({}, EtherType::arp, Bytes(28, 1))}) {
    EXPECT_EQ(lab.add(frame), passed(frame));
  }
}

TEST(Reassembly, PaddingOfShortFramesDoesNotEnter) {
  for (const PacketBuilder& packet : {v4(12), v6(12)}) {
    const Fragmenter datagram(packet);
    std::vector<Frame> fragments = datagram.fragments({8});
    for (Frame& frame : fragments) frame.resize(frame.size() + 9, 0xaa);
    ReassemblyLab lab;
    EXPECT_EQ(lab.add(fragments), passed(datagram.whole()));
    std::reverse(fragments.begin(), fragments.end());
    EXPECT_EQ(lab.add(fragments), passed(datagram.whole()));
  }
}

// RFC 791 3.2: source, destination, identification, protocol; RFC 8200 4.5: without protocol.
TEST(Reassembly, OnlyFragmentsOfOneDatagramAreJoined) {
  const Fragmenter datagram(v6());
  const Frame first = datagram.fragments({64})[0];
  const Address other = parse_address("2001:db8:7::1").value();
  for (const Frame& foreign :
       {datagram.fragments({64}, 99)[1], Fragmenter(v6().ip(other, kPcscf6)).fragments({64})[1],
        Fragmenter(v6().ip(kUe6, other)).fragments({64})[1],
        Fragmenter(v6().vlan(5)).fragments({64})[1]}) {
    ReassemblyLab lab;
    EXPECT_EQ(lab.add({first, foreign}), kHeld);
    EXPECT_EQ(lab.add(datagram.fragments({64})[1]), passed(datagram.whole()));
    EXPECT_EQ(lab.counters.fragments_held, 1u);
  }
  ReassemblyLab lab;
  const Fragmenter udp(v4()), raw(v4().content(Protocol{200}, Bytes(108, 1)));
  EXPECT_EQ(lab.add({udp.fragments({64})[0], raw.fragments({64})[1]}), kHeld);
  EXPECT_EQ(lab.add(udp.fragments({64})[1]), passed(udp.whole()));
  // A priority tag is no other network.
  EXPECT_EQ(lab.add({first, Fragmenter(v6().vlan(0x6000)).fragments({64})[1]}),
            passed(datagram.whole()));
}

TEST(Reassembly, TheFirstFragmentsHeadersCount) {
  ReassemblyLab lab;
  const Fragmenter datagram(v4().vlan(7).ip_options(Bytes(8, 1)));
  const Fragmenter bare(v4().vlan(0x6007));
  EXPECT_EQ(lab.add({bare.fragments({64})[1], datagram.fragments({64})[0]}),
            passed(datagram.whole()));
  const Fragmenter routed(v6().hop_by_hop().inside());
  EXPECT_EQ(lab.add({Fragmenter(v6()).fragments({64})[1], routed.fragments({64})[0]}),
            passed(routed.whole()));
}

// RFC 3168 5.3.
TEST(Reassembly, CongestionOfAnyFragmentIsTheDatagrams) {
  const auto with_ecn = [](Frame frame, uint8_t ecn) {
    const bool v4 = frame[14] >> 4 == 4;
    uint8_t& byte = frame[15];
    byte = static_cast<uint8_t>(v4 ? (byte & ~3) | ecn : (byte & ~0x30) | ecn << 4);
    if (!v4) return frame;
    frame[24] = frame[25] = 0;
    const uint16_t sum = internet_checksum(Bytes(frame.begin() + 14, frame.begin() + 34));
    frame[24] = static_cast<uint8_t>(sum >> 8);
    frame[25] = static_cast<uint8_t>(sum);
    return frame;
  };
  for (const Fragmenter& datagram : {Fragmenter(v4()), Fragmenter(v6())}) {
    const std::vector<Frame> pieces = datagram.fragments({64});
    for (const auto& [a, b, ecn] :
         {std::array<uint8_t, 3>{1, 1, 1}, {2, 3, 3}, {3, 2, 3}, {0, 0, 0}, {0, 2, 0}, {3, 3, 3}}) {
      ReassemblyLab lab;
      EXPECT_EQ(lab.add({with_ecn(pieces[0], a), with_ecn(pieces[1], b)}),
                passed(with_ecn(datagram.whole(), ecn)));
    }
    ReassemblyLab lab;
    EXPECT_EQ(lab.add({with_ecn(pieces[0], 0), with_ecn(pieces[1], 3)}),
              dropped(Drop::bad_fragment, 2));
  }
}

// RFC 6946: by itself, in place, whatever waits under its identification.
TEST(Reassembly, AnAtomicFragmentIsADatagramByItself) {
  ReassemblyLab lab({}, 0);  // needs no buffer
  const Fragmenter other(v6(200));
  EXPECT_EQ(lab.add(other.fragments({64})[0]), kHeld);
  for (const PacketBuilder& packet :
       {v6(), v6().hop_by_hop().inside(), v6().vlan(3), v6().esp(kSa, 1),
        v6().destination_options().inside(), v6().inside().destination_options()}) {
    const Fragmenter datagram(packet);
    Frame atomic = datagram.fragment({0, datagram.bytes(), false});
    EXPECT_EQ(lab.add(atomic), passed(datagram.whole()));
    atomic.resize(atomic.size() + 5, 0xaa);
    EXPECT_EQ(lab.add(atomic), passed(datagram.whole()));
  }
  EXPECT_EQ(lab.counters.fragments_held, 1u);
}

struct Refusal {
  const char* name;
  Drop reason;
  PacketBuilder packet;
  Cut cut;
};

// What cannot be by itself.
TEST(Reassembly, AFragmentThatCannotBeIsDroppedAtOnce) {
  const PacketBuilder tcp4 = PacketBuilder().ip(kUe4, kPcscf4).tcp(1, 2).payload(100);
  const PacketBuilder tcp6 = PacketBuilder().tcp(1, 2).payload(100);
  const PacketBuilder mss = PacketBuilder().tcp(1, 2, kTcpSyn, Bytes(12, 1)).payload(100);
  const PacketBuilder options = v6().inside().destination_options(24);
  const auto nd = [](int type) { return PacketBuilder().icmp(type, Bytes(100, 0)); };
  const auto bad = Drop::bad_fragment;
  const Refusal refusals[] = {
      {"empty", bad, v4(), {64, 64}},
      {"empty first", bad, v4(), {0, 0}},
      {"empty last", bad, v6(), {64, 64, false}},
      {"empty atomic", bad, v6(), {0, 0, false}},
      {"not a multiple of 8", bad, v4(), {8, 23}},
      {"not a multiple of 8, first", bad, v6(), {0, 63}},
      {"TCP at offset 1 (RFC 3128)", bad, tcp4, {8, 32}},
      {"TCP at offset 1", bad, tcp6, {8, 32}},
      {"tiny first of TCP (RFC 1858)", bad, tcp4, {0, 16}},
      {"tiny first of TCP", bad, tcp6, {0, 16}},
      {"TCP options cut off (RFC 7112)", bad, mss, {0, 24}},
      {"options header cut off", bad, options, {0, 16}},
      {"options whole, UDP header cut off", bad, options, {0, 24}},
      {"options over the end", bad, v6().inside().destination_options(2048), {0, 64}},
      {"router solicitation (RFC 6980)", bad, nd(133), {0, 64}},
      {"redirect", bad, nd(137), {0, 64}},
      {"neighbour advertisement, atomic", bad, nd(136), {0, 108, false}},
      {"nd behind options", bad, nd(135).inside().destination_options(), {0, 64}},
      {"hop-by-hop behind", Drop::malformed_extension_header, v6().inside().hop_by_hop(), {0, 64}},
      {"hop-by-hop behind, atomic",
       Drop::malformed_extension_header,
       v6().inside().hop_by_hop(),
       {0, 116, false}},
      {"longer than configured", Drop::datagram_too_long, v4(), {16360, 16368}},
      {"longer than 65,535 bytes", Drop::datagram_too_long, v4(), {65528, 65536}},
      {"longer than 65,535 bytes, v6", Drop::datagram_too_long, v6(), {65528, 65529, false}},
  };
  for (const Refusal& refusal : refusals) {
    ReassemblyLab lab;
    EXPECT_EQ(lab.add(Fragmenter(refusal.packet).fragment(refusal.cut)), dropped(refusal.reason))
        << refusal.name;
    EXPECT_EQ(lab.counters.fragments_held, 0u) << refusal.name;
  }
}

// The least first fragments that are not tiny.
TEST(Reassembly, AFirstFragmentNeedsNoMoreThanItsHeaders) {
  const PacketBuilder mss = PacketBuilder().tcp(1, 2, kTcpSyn, Bytes(4, 1)).payload(100);
  const std::pair<PacketBuilder, size_t> kRows[] = {
      {v4(), 8},
      {v6(), 8},
      {v6().esp(kSa, 1), 8},
      {mss, 24},
      {v6().inside().destination_options(24), 32},
      {PacketBuilder().content(Protocol{200}, Bytes(64, 1)), 8}};
  for (const auto& [packet, bytes] : kRows) {
    ReassemblyLab lab;
    const Fragmenter datagram(packet);
    EXPECT_EQ(lab.add(datagram.fragments({bytes})), passed(datagram.whole()));
  }
}

TEST(Reassembly, CutOffAndBrokenHeadersAreDropped) {
  ReassemblyLab lab;
  Frame cut_off = Fragmenter(v6_without_headers()).fragment({0, 0});
  for (size_t missing = 1; missing < 8; ++missing) {
    Frame frame = cut_off;
    frame.resize(frame.size() - missing);
    frame[19] = static_cast<uint8_t>(8 - missing);
    EXPECT_EQ(lab.add(frame), dropped(Drop::malformed_extension_header)) << missing;
  }
  // RFC 1122 3.2.1.2: a whole datagram with a sum of our own must not hide it.
  Frame broken = Fragmenter(v4()).fragments({64})[1];
  broken[22] ^= 1;
  EXPECT_EQ(lab.add(broken), dropped(Drop::bad_ip_checksum));
}

TEST(Reassembly, AFragmentOfAFragmentIsDroppedWhenItIsWhole) {
  ReassemblyLab lab;
  const Fragmenter nested(v6().inside().fragment_header());
  EXPECT_EQ(lab.add(nested.fragments({64})), dropped(Drop::fragment));
  EXPECT_EQ(lab.add(nested.fragment({0, nested.bytes(), false})), dropped(Drop::fragment));
  EXPECT_EQ(lab.counters.datagrams_joined, 1u);
}

TEST(Reassembly, WhatClassifyRefusesOfTheWholeIsDropped) {
  ReassemblyLab lab;
  PacketBuilder packet = v6();
  for (int i = 0; i < 5; ++i) packet.destination_options();
  packet.inside();
  for (int i = 0; i < 4; ++i) packet.destination_options();  // nine in all
  EXPECT_EQ(lab.add(Fragmenter(packet).fragments({64})), dropped(Drop::malformed_extension_header));
}

// Bytes 16..32 and 48..64 are here, with others in front or not.
struct Overlap {
  const char* name;
  Cut cut;
  Drop reason;
};

// RFC 5722: the datagram dies, and what is still to come of it.
TEST(Reassembly, AnOverlapEndsTheDatagram) {
  const Overlap overlaps[] = {
      {"head", {8, 24}, Drop::overlapping_fragment},
      {"tail", {24, 40}, Drop::overlapping_fragment},
      {"tail of the last", {56, 72}, Drop::overlapping_fragment},
      {"end of the last", {56, 64, false}, Drop::overlapping_fragment},
      {"inside", {16, 24}, Drop::overlapping_fragment},
      {"inside, at the end", {24, 32}, Drop::overlapping_fragment},
      {"around", {8, 40}, Drop::overlapping_fragment},
      {"same start, longer", {16, 40}, Drop::overlapping_fragment},
      {"across both", {24, 56}, Drop::overlapping_fragment},
      {"over all", {0, 104}, Drop::overlapping_fragment},
      {"last inside", {16, 24, false}, Drop::overlapping_fragment},
      {"last, same place", {48, 64, false}, Drop::overlapping_fragment},
      {"last before another", {32, 48, false}, Drop::bad_fragment},
      {"last before all", {8, 16, false}, Drop::bad_fragment},
  };
  for (const Overlap& overlap : overlaps) {
    for (const PacketBuilder& packet : {v4(), v6()}) {
      const Fragmenter datagram(packet);
      ReassemblyLab lab;
      EXPECT_EQ(lab.add({datagram.fragment({48, 64}), datagram.fragment({16, 32})}), kHeld);
      EXPECT_EQ(lab.add(datagram.fragment(overlap.cut)), dropped(overlap.reason, 3))
          << overlap.name;
      EXPECT_EQ(lab.counters.fragments_held, 0u);
      EXPECT_EQ(lab.add(datagram.pieces(16)), dropped(overlap.reason, 7)) << overlap.name;
      EXPECT_EQ(lab.wait(5'000'000), kHeld) << "nothing is left to be counted";
      EXPECT_EQ(lab.add(datagram.pieces(16)), passed(datagram.whole())) << "it may come again";
    }
  }
}

TEST(Reassembly, WhatContradictsTheEndEndsTheDatagram) {
  const Fragmenter datagram(v6(200));
  const Cut kLast{64, 80, false};
  for (const Cut& cut : {Cut{80, 96}, Cut{80, 96, false}, Cut{160, 168}, Cut{32, 40, false}}) {
    ReassemblyLab lab;
    EXPECT_EQ(lab.add({datagram.fragment({0, 16}), datagram.fragment(kLast)}), kHeld);
    EXPECT_EQ(lab.add(datagram.fragment(cut)), dropped(Drop::bad_fragment, 3)) << cut.start;
    EXPECT_EQ(lab.add(datagram.fragment({16, 64})), dropped(Drop::bad_fragment));
  }
}

TEST(Reassembly, AnExactDuplicateIsDroppedAlone) {
  for (const PacketBuilder& packet : {v4(), v6()}) {
    const Fragmenter datagram(packet);
    const std::vector<Frame> pieces = datagram.fragments({32, 64});
    ReassemblyLab lab;
    for (const size_t i : {2u, 0u}) {
      EXPECT_EQ(lab.add(pieces[i]), kHeld);
      EXPECT_EQ(lab.add(pieces[i]), dropped(Drop::duplicate_fragment));
    }
    EXPECT_EQ(lab.add(pieces[1]), passed(datagram.whole()));
    Frame other = pieces[1];
    other.back() ^= 1;
    EXPECT_EQ(lab.add(pieces[1]), kHeld);
    EXPECT_EQ(lab.add(other), dropped(Drop::overlapping_fragment, 2)) << "other bytes: an overlap";
  }
}

TEST(Reassembly, ADatagramMayBeAsLongAsConfiguredAndNoLonger) {
  for (const uint16_t longest : {uint16_t{1500}, uint16_t{16384}, uint16_t{kMaxDatagramBytes}}) {
    ReassemblyConfig config;
    config.max_datagram_bytes = longest;
    for (const size_t more : {0u, 1u}) {
      for (const PacketBuilder& packet :
           {v4(longest - 28u + more), v6(longest - 48u + more).vlan(1).vlan(2)}) {
        const Fragmenter datagram(packet);
        const std::vector<Frame> pieces = datagram.pieces(1448);
        ReassemblyLab lab(config);
        EXPECT_EQ(lab.add(pieces), more == 0 ? passed(datagram.whole())
                                             : dropped(Drop::datagram_too_long, pieces.size()));
        EXPECT_EQ(lab.counters.fragments_held, 0u);
      }
    }
  }
}

// Each fits with its own headers; only the first one's are too long.
TEST(Reassembly, TheFirstFragmentsHeadersCountForTheLength) {
  ReassemblyConfig config;
  config.max_datagram_bytes = 1500;
  const Fragmenter longer(v6(1448).hop_by_hop().inside());
  const Fragmenter bare(v6(1448));
  ReassemblyLab lab(config);
  EXPECT_EQ(lab.add({bare.fragments({64})[1], longer.fragments({64})[0]}),
            dropped(Drop::datagram_too_long, 2));
}

TEST(Reassembly, ADatagramMayHaveSixtyFourPiecesAndNoMore) {
  for (const size_t count : {64u, 65u}) {
    const Fragmenter datagram(v6(8 * count - 8));
    const std::vector<Frame> pieces = datagram.pieces(8);
    ASSERT_EQ(pieces.size(), count);
    ReassemblyLab lab;
    EXPECT_EQ(lab.add(pieces),
              count == 64 ? passed(datagram.whole()) : dropped(Drop::too_many_fragments, 65));
  }
}

}  // namespace
}  // namespace gmesp
