// SPDX-License-Identifier: BSD-3-Clause
// What fragments may take: buffers, time, places, and the share of one source.
#include <algorithm>

#include "tests/reassembly_lab.h"

namespace gmesp {
namespace {

TEST(ReassemblyBounds, WithoutABufferTheDatagramIsDropped) {
  ReassemblyLab lab({}, 0);
  EXPECT_EQ(lab.add(Fragmenter(v6()).fragments({32, 64})), dropped(Drop::no_buffer, 3));
  EXPECT_EQ(lab.add(Fragmenter(v6()).fragments({64})[0]), kHeld) << "forgotten";
}

// RFC 1122 3.3.2, RFC 8200 4.5: from the first arrival on.
TEST(ReassemblyBounds, AnIncompleteDatagramIsDroppedInTime) {
  ReassemblyConfig config;
  config.timeout_ms = 100;
  const Fragmenter datagram(v6());
  ReassemblyLab lab(config);
  EXPECT_EQ(lab.add(datagram.fragment({0, 32})), kHeld);
  EXPECT_EQ(lab.wait(60'000), kHeld);
  EXPECT_EQ(lab.add(datagram.fragment({32, 64})), kHeld);
  EXPECT_EQ(lab.add(datagram.fragment({0, 32, true, 2})), kHeld);
  EXPECT_EQ(lab.wait(39'999), kHeld);
  EXPECT_EQ(lab.wait(1), dropped(Drop::fragment_timeout, 2));
  EXPECT_EQ(lab.wait(59'999), kHeld);
  EXPECT_EQ(lab.wait(1), dropped(Drop::fragment_timeout));
  EXPECT_EQ(lab.add(datagram.pieces(32)), passed(datagram.whole()));
}

// A poll gives up so many that packets do not wait; none is forgotten.
TEST(ReassemblyBounds, ManyTimeOutOverSeveralPolls) {
  const Fragmenter datagram(v6());
  ReassemblyConfig config;
  config.per_source = config.fragments;
  ReassemblyLab lab(config);
  for (uint32_t id = 0; id < 1000; ++id) {
    EXPECT_EQ(lab.add(datagram.fragment({0, 32, true, id})), kHeld);
  }
  uint64_t dropped_in_all = 0;
  for (Outcome once = lab.wait(5'000'000); !once.drops.empty(); once = lab.wait(1)) {
    EXPECT_LE(once.drops[Drop::fragment_timeout], 64u);
    dropped_in_all += once.drops[Drop::fragment_timeout];
  }
  EXPECT_EQ(dropped_in_all, 1000u);
}

TEST(ReassemblyBounds, TheOldestDatagramGivesWay) {
  ReassemblyConfig config;
  config.fragments = 4;
  ReassemblyLab lab(config);
  const Fragmenter datagram(v6());
  for (const uint32_t id : {1u, 2u, 3u}) {
    EXPECT_EQ(lab.add(datagram.fragment({0, 32, true, id})), kHeld);
  }
  EXPECT_EQ(lab.add(datagram.fragment({32, 64, true, 1})), kHeld);
  EXPECT_EQ(lab.add(datagram.fragment({64, 96, true, 1})), dropped(Drop::fragment_evicted))
      << "the oldest other";
  EXPECT_EQ(lab.add(datagram.fragment({0, 32, true, 4})), dropped(Drop::fragment_evicted, 3));
  EXPECT_EQ(lab.add(datagram.fragments({32}, 3)[1]), passed(datagram.whole()));
  EXPECT_EQ(lab.add(datagram.fragments({32}, 4)[1]), passed(datagram.whole()));
}

// Half of the room is for UEs with SAs, half for strangers: who forges addresses, of whichever,
// pushes out nothing of the others.
TEST(ReassemblyBounds, StrangersAndUesWithSasTakeNoRoomFromEachOther) {
  ReassemblyConfig config;
  config.fragments = 8;
  const auto spd = peers({kUe6, kUe4});
  ReassemblyLab lab(config, 8, spd.get());
  const Fragmenter ue(v6()), ue4(v4());
  const Fragmenter stranger(v6().ip(parse_address("2001:db8:bad::1").value(), kPcscf6));
  const Fragmenter elsewhere(v6().ip(kUe6, parse_address("2001:db8:ffff::2").value()));
  for (const Fragmenter* of : {&ue4, &ue}) {
    for (const uint32_t id : {1u, 2u}) EXPECT_EQ(lab.add(of->fragment({0, 32, true, id})), kHeld);
  }
  for (uint32_t id = 1; id <= 4; ++id) {
    EXPECT_EQ(lab.add(stranger.fragment({0, 32, true, id})), kHeld);
  }
  for (uint32_t id = 5; id < 100; ++id) {
    EXPECT_EQ(lab.add((id % 2 ? stranger : elsewhere).fragment({0, 32, true, id})),
              dropped(Drop::fragment_evicted))
        << "the oldest stranger, whoever is older still";
  }
  EXPECT_EQ(lab.add(ue.fragment({32, 64, true, 1})), dropped(Drop::fragment_evicted))
      << "the oldest UE with SAs, however many strangers there are";
  EXPECT_EQ(lab.add(ue.fragments({32, 64}, 1)[2]), passed(ue.whole()));
  for (const uint32_t id : {3u, 4u}) EXPECT_EQ(lab.add(ue.fragment({0, 32, true, id})), kHeld);
  for (uint32_t id = 5; id < 100; ++id) {
    EXPECT_EQ(lab.add(ue.fragment({0, 32, true, id})), dropped(Drop::fragment_evicted));
  }
  EXPECT_EQ(lab.add(stranger.fragments({32}, 99)[1]), passed(stranger.whole()));
}

// However many there are: their shares meet in places, but not in those of UEs with SAs.
TEST(ReassemblyBounds, StrangersOverTheirShareTakeNoneOfAUes) {
  ReassemblyConfig config;
  config.fragments = 64;
  config.per_source = 2;
  const auto spd = peers({kUe6});
  ReassemblyLab lab(config, 8, spd.get());
  const std::vector<Frame> of_ue = Fragmenter(v6()).fragments({64});
  EXPECT_EQ(lab.add(of_ue[0]), kHeld);
  Address stranger = kUe6;
  for (uint32_t n = 1; n < 2000; ++n) {
    stranger.bytes[6] = static_cast<uint8_t>(n >> 8);
    stranger.bytes[7] = static_cast<uint8_t>(n);
    const Fragmenter datagram(v6().ip(stranger, kPcscf6));
    for (uint32_t id = 1; id <= 3; ++id) lab.add(datagram.fragment({0, 64, true, id}));
  }
  EXPECT_GE(lab.counters[Drop::fragment_source_limit], 1999u);
  EXPECT_EQ(lab.add(of_ue[1]), passed(Fragmenter(v6()).whole()));
}

// Each copy costs a search among the pieces.
TEST(ReassemblyBounds, ADatagramEndsWithMoreCopiesThanItMayHavePieces) {
  ReassemblyLab lab;
  const std::vector<Frame> pieces = Fragmenter(v6()).fragments({32, 64});
  EXPECT_EQ(lab.add({pieces[0], pieces[1]}), kHeld);
  for (size_t i = 0; i < Reassembler::kMaxPieces; ++i) {
    EXPECT_EQ(lab.add(pieces[i % 2]), dropped(Drop::duplicate_fragment));
  }
  EXPECT_EQ(lab.add(pieces[0]), dropped(Drop::too_many_fragments, 3));
  EXPECT_EQ(lab.add(pieces[2]), dropped(Drop::too_many_fragments));
}

// All time out alike.
TEST(ReassemblyBounds, StrangersAndUesWithSasWaitForTheSameTime) {
  const auto spd = peers({kUe6});
  ReassemblyLab lab({}, 8, spd.get());
  EXPECT_EQ(lab.add(Fragmenter(v6()).fragment({0, 32})), kHeld);
  EXPECT_EQ(lab.add(Fragmenter(v4()).fragment({0, 32})), kHeld);
  EXPECT_EQ(lab.wait(4'999'999), kHeld);
  EXPECT_EQ(lab.wait(1), dropped(Drop::fragment_timeout, 2));
}

// Memory is bounded also where one datagram could have it all.
TEST(ReassemblyBounds, ADatagramInMorePiecesThanAreHeldIsDropped) {
  ReassemblyConfig config;
  config.fragments = 4;
  ReassemblyLab lab(config);
  EXPECT_EQ(lab.add(Fragmenter(v6()).pieces(16)), dropped(Drop::too_many_fragments, 7));
}

// Given-up datagrams take no fragment's place, but one of their own.
TEST(ReassemblyBounds, GivenUpDatagramsGiveWayToo) {
  ReassemblyConfig config;
  config.fragments = 4;
  ReassemblyLab lab(config);
  const Fragmenter datagram(v6());
  for (const uint32_t id : {1u, 2u, 3u, 4u}) {
    EXPECT_EQ(
        lab.add({datagram.fragment({16, 32, true, id}), datagram.fragment({24, 40, true, id})}),
        dropped(Drop::overlapping_fragment, 2));
  }
  EXPECT_EQ(lab.add(datagram.fragment({0, 32, true, 4})), dropped(Drop::overlapping_fragment));
  EXPECT_EQ(lab.add(datagram.fragment({0, 32, true, 5})), kHeld);
  EXPECT_EQ(lab.add(datagram.fragment({0, 32, true, 1})), kHeld) << "had to go for 5";
}

TEST(ReassemblyBounds, OneSourceHasItsShareAndNoMore) {
  ReassemblyConfig config;
  config.per_source = 4;
  ReassemblyLab lab(config);
  const Fragmenter datagram(v6());
  const Address neighbour = parse_address("2001:db8:1::ffff:1").value();  // of the same /64
  ASSERT_TRUE(std::equal(neighbour.bytes.begin(), neighbour.bytes.begin() + 8, kUe6.bytes.begin()));
  const Fragmenter beside(v6().ip(neighbour, kPcscf6));
  const Fragmenter other(v6().ip(kPcscf6, kUe6));
  for (const uint32_t id : {1u, 2u, 3u}) {
    EXPECT_EQ(lab.add(datagram.fragment({0, 64, true, id})), kHeld);
  }
  EXPECT_EQ(lab.add(beside.fragment({0, 64, true, 1})), kHeld);
  EXPECT_EQ(lab.add(datagram.fragment({0, 64, true, 4})), dropped(Drop::fragment_source_limit))
      << "its oldest, 1";
  EXPECT_EQ(lab.add(datagram.fragment({64, 72, true, 2})), dropped(Drop::fragment_source_limit))
      << "its oldest other, 3";
  EXPECT_EQ(lab.add(beside.fragment({0, 64, true, 2})), dropped(Drop::fragment_source_limit, 2));
  EXPECT_EQ(lab.add(other.fragment({0, 64, true, 1})), kHeld) << "not another's";
  EXPECT_EQ(lab.add(datagram.fragments({64}, 4)[1]), passed(datagram.whole()));
  for (const uint32_t id : {5u, 6u}) {
    EXPECT_EQ(lab.add(datagram.fragment({0, 64, true, id})), kHeld);
  }
  EXPECT_EQ(lab.add(beside.fragments({64}, 2)[1]), passed(beside.whole()))
      << "what completes a datagram needs no room";
  EXPECT_EQ(lab.wait(5'000'000), dropped(Drop::fragment_timeout, 4));
}

// What arrives together gets through, however many fragments are forged in a UE's name.
TEST(ReassemblyBounds, AFloodInASourcesNameDoesNotKeepItOut) {
  ReassemblyConfig config;
  config.per_source = 4;
  ReassemblyLab lab(config);
  const Fragmenter datagram(v6());
  for (uint32_t id = 1000; id < 1100; ++id) lab.add(datagram.fragment({64, 72, true, id}));
  EXPECT_EQ(lab.counters[Drop::fragment_source_limit], 96u);
  EXPECT_EQ(lab.add(datagram.fragments({64}, 1)),
            (Outcome{{datagram.whole()}, {{Drop::fragment_source_limit, 1}}}));
}

TEST(ReassemblyBounds, ADatagramInMorePiecesThanASourceMayHaveIsNotJoined) {
  ReassemblyConfig config;
  config.per_source = 2;
  ReassemblyLab lab(config);
  const Fragmenter datagram(v6());
  EXPECT_EQ(lab.add(datagram.fragments({32, 64, 72})), dropped(Drop::fragment_source_limit, 2))
      << "the third of four, and the last, which completes nothing";
}

TEST(ReassemblyBounds, DatagramsGivenUpCountForTheirSource) {
  ReassemblyConfig config;
  config.per_source = 2;
  ReassemblyLab lab(config);
  const Fragmenter datagram(v4());
  for (const uint32_t id : {1u, 2u}) {
    EXPECT_EQ(
        lab.add({datagram.fragment({16, 32, true, id}), datagram.fragment({24, 40, true, id})}),
        dropped(Drop::overlapping_fragment, 2));
  }
  EXPECT_EQ(lab.add(datagram.fragment({0, 64, true, 3})), kHeld) << "1 is forgotten for it";
  EXPECT_EQ(lab.add(datagram.fragment({0, 64, true, 2})), dropped(Drop::overlapping_fragment));
  EXPECT_EQ(lab.add(datagram.fragment({0, 64, true, 1})), kHeld) << "and now 2";
  EXPECT_EQ(lab.add(datagram.fragment({0, 64, true, 4})), dropped(Drop::fragment_source_limit))
      << "3";
}

TEST(ReassemblyBounds, WhatIsHeldAtTheEndIsFreed) {
  {
    ReassemblyLab lab;
    EXPECT_EQ(lab.add(Fragmenter(v6()).fragments({32, 64})[1]), kHeld);
    EXPECT_EQ(live_packets(), 1u);
  }
  EXPECT_EQ(live_packets(), 0u);
}

}  // namespace
}  // namespace gmesp
