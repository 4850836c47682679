// SPDX-License-Identifier: BSD-3-Clause
// Several workers: every UE at one of them, whichever queue its packets come by (DESIGN 2).
#include <x86intrin.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <set>
#include <string_view>
#include <thread>

#include "tests/fragments.h"
#include "tests/worker_ues.h"

namespace gmesp {
namespace {

// Frames in whatever order they came.
std::multiset<std::string_view> unordered(const std::vector<Frame>& frames) {
  std::multiset<std::string_view> views;
  for (const Frame& frame : frames) {
    views.emplace(reinterpret_cast<const char*>(frame.data()), frame.size());
  }
  return views;
}

TEST(Workers, ServeEveryUeWhicheverQueueItComesBy) {
  const AssumeRole role(worker_thread);
  const std::vector<Ue> ues = all_ues();
  for (const WorkersRow& row : kWorkersRows) {
    WorkerLab::Shape shape;
    shape.workers = row.workers;
    shape.queues = row.queues;
    WorkerLab lab(shape);
    install_all(lab, ues);
    lab.settle();
    for (uint32_t round = 1; round <= 4; ++round) {
      feed_all(lab, ues, round);
      lab.settle();
      std::vector<Frame> requests;
      for (const Ue& ue : ues) requests.push_back(ue.request().frame());
      const std::vector<Frame> delivered = lab.host.take_sent();
      EXPECT_EQ(unordered(delivered), unordered(requests));
      EXPECT_EQ(lab.access.take_sent().size(), ues.size());
    }
    const Counters sum = lab.sum();
    EXPECT_EQ(sum.protected_in, 4 * kUes);
    EXPECT_EQ(sum.protected_out, 4 * kUes);
    EXPECT_GT(sum.steered, 0u);
    EXPECT_EQ(sum.steered_for_tx > 0, row.queues < row.workers);
    for (size_t i = 0; i < row.workers; ++i) {
      EXPECT_GT(lab.counters(i).protected_in, 0u) << "some UEs belong to each worker";
      EXPECT_EQ(lab.counters(i).protected_in, lab.counters(i).protected_out);
    }
    lab.expect_conserved();
  }
}

// DESIGN 2: the device's hash is compared with ours; a wrong one is counted and does no harm.
TEST(Workers, CompareTheDevicesHashWithTheirsAndCountHowPacketsLanded) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.workers = 2;
  shape.queues = 2;
  WorkerLab lab(shape);
  const std::vector<Ue> ues = all_ues();
  install_all(lab, ues);
  lab.settle();
  uint64_t right = 0;
  for (const Ue& ue : ues) {
    const size_t queue = static_cast<uint32_t>(ue.index) / 2 % 2;
    right += queue == lab.owner(ue.in);
    const uint32_t hash = rss_hash(ue.address, ue.pcscf);
    lab.access.feed(queue, ue.request().esp(ue.in, 1).frame(), {.hash = hash});
    lab.access.feed(queue, ue.request().esp(ue.in, 2).frame(), {.hash = hash ^ 1});
    lab.host.feed(queue, ue.answer().frame());
  }
  lab.settle();
  const Counters sum = lab.sum();
  EXPECT_EQ(sum.protected_in, 2 * kUes);
  EXPECT_EQ(sum.protected_out, kUes);
  EXPECT_EQ(sum.access.rx_hash_compared, 2 * kUes);
  EXPECT_EQ(sum.access.rx_hash_mismatches, kUes);
  EXPECT_EQ(sum.host.rx_hash_compared, 0u);
  EXPECT_GT(right, 0u);
  EXPECT_LT(right, kUes);
  EXPECT_EQ(sum.access.rx_landed_right, 2 * right);
  EXPECT_EQ(sum.access.rx_steered, 2 * (kUes - right));
  EXPECT_EQ(sum.host.rx_landed_right, right);
  EXPECT_EQ(sum.host.rx_steered, kUes - right);
  EXPECT_EQ(sum.steered, sum.access.rx_steered + sum.host.rx_steered);
  lab.expect_conserved();
}

TEST(Workers, OneAloneComparesNothing) {
  const AssumeRole role(worker_thread);
  WorkerLab lab;
  const Ue ue(0);
  lab.access.feed(0, ue.request().udp(1, 2).frame(), {.hash = 0});
  lab.settle();
  EXPECT_EQ(lab.host.take_sent().size(), 1u);
  EXPECT_EQ(lab.sum().access.rx_hash_compared, 0u);
  EXPECT_EQ(lab.sum().access.rx_landed_right, 0u);
}

// The owner sees what it needs for its verdict: cleartext goes to it too.
TEST(Workers, SteerCleartextToTheOwnerOfItsAddresses) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.workers = 2;
  shape.policy.role = Role::ue;
  WorkerLab lab(shape);
  for (const Ue& ue : all_ues()) {
    const TestSa in{Suite::md5_null, ue.in.spi, {ue.pcscf, ue.address, kPcscfPort, kUePort}};
    if (lab.owner(in) != 1) continue;
    lab.command(lab.install_in(in, ue.index), 1);
    lab.access.feed(0, PacketBuilder().ip(ue.pcscf, ue.address).udp(1, kUePort).frame());
    break;
  }
  lab.workers[1]->poll();
  lab.settle();
  EXPECT_EQ(lab.counters(1)[Drop::cleartext_on_protected_port], 1u);
  EXPECT_EQ(lab.counters(0)[Drop::cleartext_on_protected_port], 0u);
  lab.expect_conserved();
}

TEST(Workers, KeepFramesThatAreNotIpWhereTheyCameIn) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.workers = 2;
  shape.queues = 2;
  WorkerLab lab(shape);
  const Frame arp = arp_frame(kArpRequest, kUe4, kPcscf4);
  for (const size_t queue : {0u, 1u}) lab.access.feed(queue, arp);
  lab.settle();
  EXPECT_EQ(lab.host.take_sent().size(), 2u);
  EXPECT_EQ(lab.sum().steered, 0u);
  EXPECT_EQ(lab.counters(1).host.tx_packets, 1u);
}

// Role ue: what goes from an SA's port to somebody else goes by another worker.
TEST(Workers, AllProtectThePortsOfAnSaThatOneOfThemHolds) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.workers = 2;
  shape.policy.role = Role::ue;
  WorkerLab lab(shape);
  const TestSa sa{Suite::sha1_null, 0x3000, {kUe4, kPcscf4, kUePort, kPcscfPort}};
  lab.command(lab.install_out(sa, SaIndex{0}), lab.owner(sa));
  lab.settle();
  constexpr uint32_t kPeers = 60;
  for (uint32_t n = 1; n <= kPeers; ++n) {
    lab.host.feed(0, PacketBuilder().ip(kUe4, other_host(n)).udp(kUePort, 5060).frame());
    lab.access.feed(0, PacketBuilder().ip(other_host(n), kUe4).udp(5060, kUePort).frame());
  }
  lab.settle();
  EXPECT_EQ(lab.sum()[Drop::cleartext_on_protected_port], 2 * kPeers);
  EXPECT_GT(lab.sum().steered, 0u);
  lab.expect_conserved();
}

// What one worker cuts another sends, with the answers going the other way.
TEST(Workers, SendFragmentsAndAnswersByTheWorkerThatHasTheQueue) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.workers = 2;
  WorkerLab lab(shape);
  const std::vector<Ue> ues = all_ues();
  install_all(lab, ues);
  lab.settle();
  for (const Ue& ue : ues) {
    lab.host.feed(0, ue.answer().payload(2800).frame());
    lab.host.feed(0, ue.answer().udp(5060, 5060).payload(2800).frame());
  }
  lab.settle();
  const Counters sum = lab.sum();
  EXPECT_EQ(sum.packets_fragmented, kUes);
  EXPECT_EQ(lab.access.take_sent().size(), 2 * kUes);
  EXPECT_EQ(lab.host.take_sent().size(), sum.answers_made);
  EXPECT_GT(sum.answers_made, 20u);  // so many at once, of either worker
  EXPECT_EQ(sum[Drop::packet_too_big], kUes);
  lab.expect_conserved();
}

TEST(Workers, CountWhatAFullSteeringRingDoesNotTake) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.workers = 2;
  WorkerLab lab(shape);
  const Ue remote = ue_of(lab, 1);
  constexpr uint64_t kExcess = 30;
  for (uint64_t i = 0; i < SteeringMesh::kRingCapacity + kExcess; ++i) {
    lab.access.feed(0, remote.request().udp(1, 2).frame());
  }
  while (lab.workers[0]->poll()) {
  }
  EXPECT_EQ(lab.counters(0)[Drop::steering_full], kExcess);
  EXPECT_EQ(lab.counters(0).steered, SteeringMesh::kRingCapacity);
  lab.settle();
  EXPECT_EQ(lab.host.take_sent().size(), SteeringMesh::kRingCapacity);
  lab.expect_conserved();
}

// The other way: workers 1 and 2 hand back what only worker 0 can send. Each round of worker 0
// takes a burst from one of them by turns, and puts one into the ring to worker 1.
TEST(Workers, CountWhatTheTransmittersRingDoesNotTake) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.workers = 3;
  WorkerLab lab(shape);
  constexpr size_t kRounds = 4;
  const auto feed = [&](size_t worker, size_t frames) {
    const Frame frame = ue_of(lab, worker).request().udp(1, 2).frame();
    for (size_t i = 0; i < frames; ++i) lab.access.feed(0, frame);
  };
  for (const size_t worker : {1u, 2u}) feed(worker, SteeringMesh::kRingCapacity);
  for (const auto& worker : lab.workers) {
    while (worker->poll()) {
    }
  }
  EXPECT_EQ(lab.counters(1).steered_for_tx, SteeringMesh::kRingCapacity);
  feed(1, kRounds * Burst::kCapacity);
  for (size_t i = 0; i < kRounds; ++i) lab.workers[0]->poll();
  while (lab.workers[1]->poll()) {
  }
  EXPECT_EQ(lab.counters(1)[Drop::steering_full], kRounds * Burst::kCapacity / 2);
  lab.settle();
  EXPECT_EQ(lab.sum().steered_for_tx, lab.host.take_sent().size());
  lab.expect_conserved();
}

// An SA deleted while its packets wait in the ring between the workers.
TEST(Workers, DropPacketsWhoseSaIsDeletedWhileTheyAreSteered) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.workers = 2;
  WorkerLab lab(shape);
  const Ue remote = ue_of(lab, 1);
  const InstallInbound in = lab.install_in(remote.in, remote.index);
  lab.command(in, 1);
  lab.settle();
  for (uint32_t n = 1; n <= 5; ++n) lab.access.feed(0, remote.request().esp(remote.in, n).frame());
  lab.workers[0]->poll();
  lab.command(DeleteSa{Direction::in, remote.index}, 1);
  lab.workers[1]->poll();
  EXPECT_EQ(lab.take<Deleted>(1).size(), 1u);
  lab.keys.release(in.key, remote.in.suite);
  lab.settle();
  EXPECT_EQ(lab.counters(1)[Drop::unknown_spi], 5u);
  lab.expect_conserved();
}

// DESIGN 2: a NIC may spread fragments, which have no ports, otherwise than whole packets.
TEST(Workers, JoinFragmentsThatComeByDifferentQueues) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.workers = shape.queues = 2;
  WorkerLab lab(shape);
  const std::vector<Ue> ues = all_ues();
  install_all(lab, ues);
  lab.settle();
  for (const Ue& ue : ues) {
    const Fragmenter datagram(ue.request().payload(2000).esp(ue.in, 1));
    const std::vector<Frame> fragments = datagram.fragments({800, 1600});
    for (size_t i = 0; i < 3; ++i) lab.access.feed(i % 2, fragments[i]);
  }
  lab.settle();
  EXPECT_EQ(lab.sum().datagrams_joined, kUes);
  EXPECT_EQ(lab.sum().protected_in, kUes);
  for (size_t i = 0; i < 2; ++i) EXPECT_GT(lab.counters(i).steered, 0u);
  lab.expect_conserved();
}

// Worker 0 sends what the others cannot. Their SAs are not its to read: one that is gone may have
// left its place to another UE's.
TEST(Workers, TellNoSaOfAnotherWorkersPacketThatIsNotSent) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.workers = 2;
  shape.audit = {audit_bit(Drop::tx_full), 100};
  WorkerLab lab(shape);
  const Ue remote = ue_of(lab, 1);
  lab.command(lab.install_in(remote.in, remote.index), 1);
  lab.settle();
  lab.access.feed(0, remote.request().esp(remote.in, 1).frame());
  lab.workers[0]->poll();
  lab.workers[1]->poll();
  lab.host.take_nothing(true);
  lab.settle();
  lab.host.take_nothing(false);
  AuditRecord record;
  ASSERT_TRUE(lab.channels[0]->audit.records.pop(record));
  EXPECT_EQ(record.reason, Drop::tx_full);
  EXPECT_FALSE(record.has_spi);
  lab.expect_conserved();
}

void run_worker(Worker& worker) {
  const AssumeRole role(worker_thread);
  worker.run();
}

// For TSan: two workers on their own threads, the control thread installing, asking, deleting and
// reading counters meanwhile.
TEST(Workers, RunOnThreadsOfTheirOwn) {
  constexpr uint32_t kRounds = 20;
  WorkerLab::Shape shape;
  shape.workers = 2;
  shape.idle = Idle::adaptive;
  WorkerLab lab(shape);
  const std::vector<Ue> ues = all_ues();
  for (uint32_t round = 1; round <= kRounds; ++round) feed_all(lab, ues, round);
  install_all(lab, ues);
  std::vector<std::thread> threads;
  for (const auto& worker : lab.workers) threads.emplace_back(run_worker, std::ref(*worker));

  size_t installed = 0, deleted = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  const auto received = [&] {
    uint64_t packets = 0;
    for (const auto& channel : lab.channels) {
      const Counters counters = channel->counters.read();
      packets += counters.access.rx_packets + counters.host.rx_packets;
    }
    return packets;
  };
  while ((received() < 2 * kUes * kRounds || installed < 2 * kUes) &&
         std::chrono::steady_clock::now() < deadline) {
    for (size_t i = 0; i < 2; ++i) installed += lab.take<Installed>(i).size();
    std::this_thread::yield();
  }
  EXPECT_EQ(installed, 2 * kUes);
  for (const Ue& ue : ues) lab.command(DeleteSa{Direction::in, ue.index}, lab.owner(ue.in));
  while (deleted < kUes && std::chrono::steady_clock::now() < deadline) {
    for (size_t i = 0; i < 2; ++i) deleted += lab.take<Deleted>(i).size();
    std::this_thread::yield();
  }
  EXPECT_EQ(deleted, kUes);
  for (const auto& channel : lab.channels) channel->stop.store(true);
  for (std::thread& thread : threads) thread.join();
  const AssumeRole role(worker_thread);
  lab.settle();  // what was between the workers when they stopped
  EXPECT_EQ(lab.sum().access.rx_packets, kUes * kRounds);
  lab.expect_conserved();
}

}  // namespace
}  // namespace gmesp
