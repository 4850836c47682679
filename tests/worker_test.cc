// SPDX-License-Identifier: BSD-3-Clause
// One worker: commands, acknowledgements and events between its bursts (DESIGN 2, 4).
#include "perf/resident_memory.h"
#include "tests/fragments.h"
#include "tests/sanitizers.h"
#include "tests/worker_lab.h"

namespace gmesp {
namespace {

constexpr SaIndex kIndex{7};

PacketBuilder request() {
  return PacketBuilder().udp(kUePort, kPcscfPort).payload("REGISTER sip:ims SIP/2.0");
}
PacketBuilder answer() {
  return PacketBuilder().ip(kPcscf6, kUe6).udp(kPcscfPort, kUePort).payload("SIP/2.0 200 OK");
}
const TestSa kIn{Suite::sha1_aes_cbc, 0x10002, {kUe6, kPcscf6, kUePort, kPcscfPort}};
const TestSa kOut{Suite::sha1_aes_cbc, 0x20003, {kPcscf6, kUe6, kPcscfPort, kUePort}};

// INT-53: "Installed" is the promise that the next packet is served.
TEST(Worker, ServesAnSaFromItsAcknowledgementOn) {
  const AssumeRole role(worker_thread);
  WorkerLab lab;
  lab.access.feed(0, request().esp(kIn, 1).frame());
  lab.host.feed(0, answer().frame());
  lab.settle();
  EXPECT_TRUE(lab.host.take_sent().empty() && lab.access.take_sent().empty());
  EXPECT_EQ(lab.counters(0)[Drop::unknown_spi], 1u);
  EXPECT_EQ(lab.counters(0)[Drop::cleartext_on_protected_port], 1u);

  lab.command(lab.install_in(kIn, kIndex));
  lab.command(lab.install_out(kOut, kIndex));
  EXPECT_TRUE(lab.take_events().empty());
  lab.settle();
  const auto installed = lab.take<Installed>();
  ASSERT_EQ(installed.size(), 2u);
  EXPECT_EQ(installed[0].direction, Direction::in);
  EXPECT_EQ(installed[1].direction, Direction::out);
  EXPECT_EQ(installed[0].index, kIndex);
  lab.access.feed(0, request().esp(kIn, 1).frame());
  lab.host.feed(0, answer().frame());
  lab.settle();
  EXPECT_EQ(lab.host.take_sent(), std::vector<Frame>{request().frame()});
  const auto sent = lab.access.take_sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_TRUE(
      reference::open(kOut.suite, kOut.keys(), std::span(sent[0]).subspan(answer().esp_offset())));
  lab.expect_conserved();
}

TEST(Worker, InstallsBeforeItServesThePacketsOfTheSameRound) {
  const AssumeRole role(worker_thread);
  WorkerLab lab;
  lab.command(lab.install_in(kIn, kIndex));
  lab.access.feed(0, request().esp(kIn, 1).frame());
  lab.workers[0]->poll();
  EXPECT_EQ(lab.host.take_sent(), std::vector<Frame>{request().frame()});
}

TEST(Worker, RefusesWhatDoesNotFitAndChangesNothing) {
  const AssumeRole role(worker_thread);
  WorkerLab lab;
  TestSa other_spi = kIn;
  other_spi.spi = 0x30000;
  lab.command(lab.install_in(kIn, kIndex));
  lab.command(lab.install_in(other_spi, kIndex));
  lab.command(lab.install_in(kIn, SaIndex{8}));
  lab.command(lab.install_in(other_spi, SaIndex{64}));
  lab.command(lab.install_out(kOut, kIndex));
  lab.command(lab.install_out(kOut, kIndex));
  lab.command(lab.install_out(kOut, SaIndex{0xffffffff}));
  lab.settle();
  const auto rejected = lab.take<Rejected>();
  const InstallError expected[] = {InstallError::index_in_use, InstallError::spi_in_use,
                                   InstallError::table_full, InstallError::index_in_use,
                                   InstallError::table_full};
  ASSERT_EQ(rejected.size(), std::size(expected));
  for (size_t i = 0; i < rejected.size(); ++i) EXPECT_EQ(rejected[i].error, expected[i]) << i;
  lab.access.feed(0, request().esp(kIn, 1).frame());
  lab.access.feed(0, request().esp(other_spi, 1).frame());
  lab.settle();
  EXPECT_EQ(lab.host.take_sent(), std::vector<Frame>{request().frame()});
  EXPECT_EQ(lab.counters(0)[Drop::unknown_spi], 1u);
}

// "Deleted" is the promise that key, window and index are the control thread's again, whatever
// packets of the SA are on their way.
TEST(Worker, ForgetsAnSaWithItsPacketsAlreadyQueuedAndMoreToCome) {
  const AssumeRole role(worker_thread);
  WorkerLab lab;
  const InstallInbound in = lab.install_in(kIn, kIndex);
  const InstallOutbound out = lab.install_out(kOut, kIndex);
  lab.command(in);
  lab.command(out);
  for (uint32_t n = 1; n <= 3; ++n) lab.access.feed(0, request().esp(kIn, n).frame());
  lab.host.feed(0, answer().frame());
  lab.settle();
  EXPECT_EQ(lab.host.take_sent().size(), 3u);
  EXPECT_EQ(lab.access.take_sent().size(), 1u);
  lab.take_events();

  for (uint32_t n = 4; n <= 6; ++n) lab.access.feed(0, request().esp(kIn, n).frame());
  lab.host.feed(0, answer().frame());
  lab.command(DeleteSa{Direction::in, kIndex});
  lab.command(DeleteSa{Direction::out, kIndex});
  lab.access.feed(0, request().esp(kIn, 7).frame());
  lab.workers[0]->poll();
  EXPECT_EQ(lab.take<Deleted>().size(), 2u);
  lab.keys.release(in.key, kIn.suite);
  lab.keys.release(out.key, kOut.suite);
  lab.access.feed(0, request().esp(kIn, 8).frame());
  lab.settle();
  EXPECT_TRUE(lab.host.take_sent().empty() && lab.access.take_sent().empty());
  EXPECT_EQ(lab.counters(0)[Drop::unknown_spi], 5u);
  EXPECT_EQ(lab.counters(0)[Drop::cleartext_on_protected_port], 1u);
  lab.expect_conserved();
}

// The SA is looked for when the datagram is whole.
TEST(Worker, ForgetsAnSaWhileFragmentsOfItsPacketsWait) {
  const AssumeRole role(worker_thread);
  WorkerLab lab;
  const InstallInbound in = lab.install_in(kIn, kIndex);
  lab.command(in);
  const Fragmenter whole(request().payload(400).esp(kIn, 1));
  const std::vector<Frame> halves = whole.fragments({whole.bytes() / 16 * 8});
  lab.access.feed(0, halves[0]);
  lab.settle();
  EXPECT_EQ(lab.counters(0).fragments_held, 1u);
  lab.command(DeleteSa{Direction::in, kIndex});
  lab.settle();
  EXPECT_EQ(lab.take<Deleted>().size(), 1u);
  lab.keys.release(in.key, kIn.suite);
  lab.access.feed(0, halves[1]);
  lab.settle();
  EXPECT_TRUE(lab.host.take_sent().empty());
  EXPECT_EQ(lab.counters(0).datagrams_joined, 1u);
  EXPECT_EQ(lab.counters(0)[Drop::unknown_spi], 1u);
  lab.expect_conserved();
}

TEST(Worker, StartsAfreshWhenAnSaTakesThePlaceOfADeletedOne) {
  const AssumeRole role(worker_thread);
  WorkerLab lab;
  TestSa again = kIn;
  again.suite = Suite::aes_gcm;
  lab.command(lab.install_in(kIn, kIndex));
  lab.access.feed(0, request().esp(kIn, 50).frame());
  lab.settle();
  lab.command(DeleteSa{Direction::in, kIndex});
  lab.command(lab.install_in(again, kIndex));
  lab.access.feed(0, request().esp(kIn, 51).frame());
  lab.access.feed(0, request().esp(again, 1).frame());
  lab.settle();
  EXPECT_EQ(lab.host.take_sent().size(), 2u);
  EXPECT_EQ(lab.counters(0)[Drop::icv_mismatch], 1u) << "the old key's packet";
  EXPECT_EQ(lab.take<SaStateEvent>().size(), 2u) << "each SA has its own first use";
}

// A storm of commands takes a bounded share of every poll, and no command overtakes another.
TEST(Worker, TakesSoManyCommandsAPollInTheirOrder) {
  const AssumeRole role(worker_thread);
  WorkerLab lab;
  const InstallInbound in = lab.install_in(kIn, kIndex);
  const InstallOutbound out = lab.install_out(kOut, kIndex);
  constexpr size_t kCycles = 2 * Worker::kCommandsPerPoll;
  for (size_t i = 0; i < kCycles; ++i) {
    lab.command(in);
    lab.command(out);
    lab.command(DeleteSa{Direction::out, kIndex});
    lab.command(DeleteSa{Direction::in, kIndex});
  }
  std::vector<SaEvent> events;
  while (events.size() < 4 * kCycles) {
    lab.workers[0]->poll();
    const std::vector<SaEvent> new_events = lab.take_events();
    ASSERT_EQ(new_events.size(), Worker::kCommandsPerPoll);
    events.insert(events.end(), new_events.begin(), new_events.end());
  }
  for (size_t i = 0; i < events.size(); ++i) {
    const Direction direction = i % 4 == 0 || i % 4 == 3 ? Direction::in : Direction::out;
    if (i % 4 < 2) {
      ASSERT_TRUE(std::holds_alternative<Installed>(events[i])) << i;
      ASSERT_EQ(std::get<Installed>(events[i]).direction, direction);
    } else {
      ASSERT_TRUE(std::holds_alternative<Deleted>(events[i])) << i;
      ASSERT_EQ(std::get<Deleted>(events[i]).direction, direction);
    }
  }
}

// No install and no packet waits for a page, or for a rehash: capacity is configuration.
TEST(Worker, HasTheMemoryOfItsWholeCapacityAfterPrepare) {
  if (kThreadSanitizer) GTEST_SKIP() << "its own memory grows with every page touched";
  const AssumeRole role(worker_thread);
  constexpr size_t kCapacity = 200'000;
  constexpr size_t kTableBytes = 2 * kCapacity * (sizeof(InboundSa) + sizeof(SaRecord));
  WorkerLab lab({.sa_capacity = kCapacity});
  const size_t before = resident_bytes();
  lab.workers[0]->prepare();
  const size_t prepared = resident_bytes();
  EXPECT_GT(prepared - before, kTableBytes);

  InstallInbound install = lab.install_in(kIn, SaIndex{0});
  for (uint32_t i = 0; i < kCapacity; ++i) {
    install.spi = Spi{0x10000 + i};
    install.index = SaIndex{i};
    lab.command(install);
    lab.workers[0]->poll();
    lab.channels[0]->events.reset();
  }
  EXPECT_LT(resident_bytes() - prepared, kTableBytes / 10);
}

TEST(Worker, AnswersQueriesWithWhatTheSaHasSeen) {
  const AssumeRole role(worker_thread);
  WorkerLab lab;
  lab.command(lab.install_in(kIn, kIndex));
  lab.command(lab.install_out(kOut, SaIndex{9}, 1000));
  lab.command(QuerySa{Direction::in, kIndex});
  lab.settle();
  const auto fresh = lab.take<SaStatus>();
  ASSERT_EQ(fresh.size(), 1u);
  EXPECT_EQ(fresh[0].packets, 0u);
  EXPECT_EQ(fresh[0].idle_ns, UINT64_MAX);

  Frame forged = request().esp(kIn, 12).frame();
  forged.back() ^= 1;
  for (const Frame& frame : {request().esp(kIn, 10).frame(), request().esp(kIn, 10).frame(), forged,
                             request().udp(1, 2).esp(kIn, 11).frame()}) {
    lab.access.feed(0, frame);
  }
  lab.host.feed(0, answer().frame());
  lab.settle();
  lab.command(QuerySa{Direction::in, kIndex});
  lab.command(QuerySa{Direction::out, SaIndex{9}});
  lab.settle();
  const auto status = lab.take<SaStatus>();
  ASSERT_EQ(status.size(), 2u);
  EXPECT_EQ(status[0].index, kIndex);
  EXPECT_EQ(status[0].sequence, SequenceNumber{11});
  EXPECT_EQ(status[0].packets, 1u);
  EXPECT_EQ(status[0].bytes, request().ip_packet().size());
  EXPECT_EQ(status[0].replayed, 1u);
  EXPECT_EQ(status[0].icv_failures, 1u);
  EXPECT_EQ(status[0].selector_mismatches, 1u);
  EXPECT_LT(status[0].idle_ns, 60'000'000'000u);
  EXPECT_EQ(status[1].direction, Direction::out);
  EXPECT_EQ(status[1].sequence, SequenceNumber{1001});
  EXPECT_EQ(status[1].packets, 1u);
}

// DESIGN 2: state events are sticky. Answers have their half of the ring whatever happens.
TEST(Worker, KeepsEventsWhileTheRingIsFullAndDeliversEachOnce) {
  const AssumeRole role(worker_thread);
  WorkerLab lab;
  const TestSa exhausted{Suite::md5_null, 0x900, {kPcscf6, kUe6, 1, 2}};
  lab.command(lab.install_in(kIn, kIndex));
  lab.command(lab.install_out(exhausted, kIndex, 0xfffffffe));
  lab.settle();
  lab.take_events();
  for (size_t i = 0; i < WorkerChannel::kCommands; ++i) {
    lab.command(QuerySa{Direction::in, kIndex});
    lab.workers[0]->poll();
  }
  lab.access.feed(0, request().esp(kIn, 1).frame());
  for (int i = 0; i < 3; ++i) lab.host.feed(0, PacketBuilder().ip(kPcscf6, kUe6).udp(1, 2).frame());
  lab.settle();
  EXPECT_GT(lab.counters(0).events_delayed, 0u);
  std::vector<SaStateEvent> uses;
  size_t answers = 0;
  for (const SaEvent& event : lab.take_events()) {
    if (const auto* use = std::get_if<SaStateEvent>(&event)) uses.push_back(*use);
    if (std::get_if<SaStatus>(&event) != nullptr) ++answers;
  }
  EXPECT_EQ(answers, WorkerChannel::kCommands);
  lab.settle();
  for (const SaStateEvent& use : lab.take<SaStateEvent>()) uses.push_back(use);
  lab.settle();
  EXPECT_TRUE(lab.take_events().empty());
  uint8_t seen[2] = {0, 0};
  for (const SaStateEvent& use : uses)
    seen[static_cast<size_t>(use.direction)] |= static_cast<uint8_t>(use.kind);
  EXPECT_EQ(uses.size(), 4u);
  EXPECT_EQ(seen[0], static_cast<uint8_t>(SaEventKind::first_use));
  EXPECT_EQ(seen[1], static_cast<uint8_t>(SaEventKind::first_use) |
                         static_cast<uint8_t>(SaEventKind::sequence_soft_limit) |
                         static_cast<uint8_t>(SaEventKind::sequence_exhausted));
}

// DESIGN 4, PUB-04: `ok` re-arms the first use. What comes out of the ring before Promoted was
// before it and what comes behind was behind, with an event ring that takes events and with one
// that does not; none gets lost, none is told twice.
TEST(Worker, PartsFirstUsesBeforeAndBehindAPromotion) {
  const AssumeRole role(worker_thread);
  for (const bool ring_full : {false, true}) {
    for (const bool used_before : {false, true}) {
      for (const bool used_behind : {false, true}) {
        WorkerLab lab;
        lab.command(lab.install_in(kIn, kIndex));
        lab.settle();
        lab.take_events();
        for (size_t i = 0; ring_full && i < WorkerChannel::kCommands; ++i) {
          lab.command(QuerySa{Direction::in, kIndex});
          lab.workers[0]->poll();
        }
        if (used_before) lab.access.feed(0, request().esp(kIn, 1).frame());
        lab.settle();
        lab.command(PromoteSa{Direction::in, kIndex});
        if (used_behind) lab.access.feed(0, request().esp(kIn, 2).frame());
        lab.settle();
        if (used_behind) lab.access.feed(0, request().esp(kIn, 3).frame());
        std::vector<SaEvent> events = lab.take_events();
        lab.settle();
        for (const SaEvent& event : lab.take_events()) events.push_back(event);
        size_t before = 0;
        size_t behind = 0;
        bool promoted = false;
        for (const SaEvent& event : events) {
          if (const auto* answer = std::get_if<Promoted>(&event)) {
            EXPECT_FALSE(promoted);
            EXPECT_EQ(answer->index, kIndex);
            promoted = true;
          }
          if (std::holds_alternative<SaStateEvent>(event)) ++(promoted ? behind : before);
        }
        EXPECT_TRUE(promoted);
        EXPECT_EQ(before, used_before && !ring_full ? 1u : 0u) << ring_full << used_behind;
        EXPECT_EQ(behind, used_behind ? 1u : 0u) << ring_full << used_before;
      }
    }
  }
}

// INT-72, INT-74: old and new set side by side, outbound by the one in use; nothing in flight is
// lost on the change. JNT-4, PUB-05: the new one is used by itself when the old one goes.
TEST(Worker, ChangesOutboundSasOfEqualPortsOnPromotionAndOnDelete) {
  const AssumeRole role(worker_thread);
  for (const bool promote : {true, false}) {
    WorkerLab lab;
    TestSa next = kOut;
    next.spi = 0x20004;
    const SaIndex kNext{8};
    const auto spis_sent = [&](size_t packets) ON(worker_thread) {
      for (size_t i = 0; i < packets; ++i) lab.host.feed(0, answer().frame());
      lab.settle();
      std::vector<uint32_t> spis;
      for (const Frame& frame : lab.access.take_sent()) {
        const uint8_t* const esp = frame.data() + answer().esp_offset();
        spis.push_back(uint32_t{esp[0]} << 24 | uint32_t{esp[1]} << 16 | uint32_t{esp[2]} << 8 |
                       esp[3]);
      }
      return spis;
    };
    lab.command(lab.install_out(kOut, kIndex));
    lab.settle();
    InstallOutbound standby = lab.install_out(next, kNext);
    standby.standby = true;
    lab.command(standby);
    EXPECT_EQ(spis_sent(3), std::vector<uint32_t>(3, kOut.spi));
    lab.command(promote ? SaCommand(PromoteSa{Direction::out, kNext})
                        : SaCommand(DeleteSa{Direction::out, kIndex}));
    EXPECT_EQ(spis_sent(3), std::vector<uint32_t>(3, next.spi));
    if (promote) {
      lab.command(DeleteSa{Direction::out, kNext});
      EXPECT_EQ(spis_sent(3), std::vector<uint32_t>(3, kOut.spi));
    }
    lab.expect_conserved();
  }
}

TEST(Worker, ForgetsTheEventsOfADeletedSa) {
  const AssumeRole role(worker_thread);
  WorkerLab lab;
  for (uint32_t i = 0; i < 3; ++i) {
    lab.command(lab.install_in({Suite::md5_null, 0x1000 + i, {kUe6, kPcscf6}}, SaIndex{i}));
  }
  lab.settle();
  lab.take_events();
  for (size_t i = 0; i < WorkerChannel::kCommands; ++i) {
    lab.command(QuerySa{Direction::in, SaIndex{0}});
    lab.workers[0]->poll();
  }
  for (uint32_t i = 0; i < 3; ++i) {
    const TestSa sa{Suite::md5_null, 0x1000 + i, {kUe6, kPcscf6}};
    lab.access.feed(0, request().esp(sa, 1).frame());
  }
  lab.settle();
  lab.take_events();
  lab.command(DeleteSa{Direction::in, SaIndex{1}});
  lab.settle();
  std::vector<SaIndex> used;
  for (const SaStateEvent& use : lab.take<SaStateEvent>()) used.push_back(use.index);
  std::sort(used.begin(), used.end());
  EXPECT_EQ(used, (std::vector{SaIndex{0}, SaIndex{2}}));
}

// `config reload`: between two bursts, so that each packet meets one policy whole; what the worker
// has answered for may be freed (ASan).
TEST(Worker, TakesAnotherPolicyUnderTrafficAndLosesNothing) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.workers = 2;
  WorkerLab lab(shape);
  const TestSa sa{Suite::sha1_aes_cbc, 0x1001, {kUe6, kPcscf6, kUePort, kPcscfPort}};
  lab.command(lab.install_in(sa, SaIndex{0}), lab.owner(sa));
  lab.settle();
  std::unique_ptr<const Policy> in_use;
  uint64_t passed = 0, refused = 0, verified = 0;
  constexpr int kReloads = 500, kBurst = 40;
  for (uint32_t reload = 0; reload < kReloads; ++reload) {
    const bool passes = reload % 3 != 0;
    auto next = std::make_unique<Policy>(open_policy());
    next->rules = {{"rule", true, true, Match::udp, {{5060, 5060}}, {}, passes}};
    for (size_t worker = 0; worker < 2; ++worker)
      lab.command(UsePolicy{next.get(), reload}, worker);
    for (uint32_t n = 0; n < kBurst; ++n) {
      const Address ue = *parse_address("203.0.113." + std::to_string(n));
      lab.access.feed(0, PacketBuilder().ip(ue, kPcscf4).udp(1024, 5060).frame());
      lab.host.feed(0, PacketBuilder().ip(kPcscf4, ue).udp(5060, 1024).frame());
    }
    lab.access.feed(0, PacketBuilder()
                           .udp(kUePort, kPcscfPort)
                           .esp(sa, static_cast<uint32_t>(++verified))
                           .frame());
    lab.settle();
    for (size_t worker = 0; worker < 2; ++worker) {
      const auto answers = lab.take<SettingInUse>(worker);
      ASSERT_EQ(answers.size(), 1u);
      EXPECT_EQ(answers[0].number, reload);
    }
    in_use = std::move(next);  // the one before is gone
    (passes ? passed : refused) += 2 * kBurst;
    EXPECT_EQ(lab.sum().rules[0].hits, 2u * kBurst) << "of this policy alone";
    lab.host.take_sent();
    lab.access.take_sent();
  }
  const Counters sum = lab.sum();
  EXPECT_EQ(sum.bypassed_in + sum.bypassed_out, passed);
  EXPECT_EQ(sum[Drop::policy_rule], refused);
  EXPECT_EQ(sum.protected_in, verified);
  lab.expect_conserved();
}

TEST(Worker, ForwardsFramesOfOtherKindsAsTheyAre) {
  const AssumeRole role(worker_thread);
  WorkerLab lab;
  Frame arp = arp_frame(kArpRequest, kUe4, kPcscf4);
  arp.resize(60);  // as Ethernet pads it
  const Frame echo = PacketBuilder().icmp(128).vlan(9).frame_padding(3).frame();
  lab.access.feed(0, arp);
  lab.access.feed(0, echo);
  lab.host.feed(0, arp);
  lab.settle();
  EXPECT_EQ(lab.host.take_sent(), (std::vector<Frame>{arp, echo}));
  EXPECT_EQ(lab.access.take_sent(), std::vector<Frame>{arp});
  const Counters counters = lab.counters(0);
  EXPECT_EQ(counters.access.rx_packets, 2u);
  EXPECT_EQ(counters.host.tx_packets, 2u);
  EXPECT_EQ(counters.bypassed_in, 2u);
  EXPECT_EQ(counters.access.rx_bytes, counters.host.tx_bytes);
  EXPECT_EQ(counters.host.rx_bytes, 0u);
  lab.expect_conserved();
}

}  // namespace
}  // namespace gmesp
