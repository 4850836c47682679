// SPDX-License-Identifier: BSD-3-Clause
// Several workers: every UE at one of them, whichever queue its packets come by (DESIGN 2).
#include <x86intrin.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <set>
#include <string_view>
#include <thread>

#include "tests/worker_lab.h"

namespace gmesp {
namespace {

// The n-th UE and what it says to the P-CSCF and hears from it; n-th of either family by turns.
struct Ue {
  explicit Ue(uint32_t n)
      : address(n % 2 == 0 ? *parse_address("192.0.2." + std::to_string(10 + n))
                           : *parse_address("2001:db8:1::" + std::to_string(10 + n))),
        pcscf(n % 2 == 0 ? kPcscf4 : kPcscf6),
        in{kSuites[n % kSuiteCount].suite, 0x1000 + n, {address, pcscf, kUePort, kPcscfPort}},
        out{kSuites[n % kSuiteCount].suite, 0x2000 + n, {pcscf, address, kPcscfPort, kUePort}},
        index{n} {}
  PacketBuilder request() const {
    return PacketBuilder().ip(address, pcscf).udp(kUePort, kPcscfPort).payload("REGISTER");
  }
  PacketBuilder answer() const {
    return PacketBuilder().ip(pcscf, address).udp(kPcscfPort, kUePort).payload("200 OK");
  }

  Address address;
  Address pcscf;
  TestSa in;
  TestSa out;
  SaIndex index;
};

constexpr uint32_t kUes = 40;

std::vector<Ue> all_ues() {
  std::vector<Ue> ues;
  for (uint32_t n = 0; n < kUes; ++n) ues.emplace_back(n);
  return ues;
}

// The first that this worker owns.
Ue ue_of(const WorkerLab& lab, size_t worker) {
  const std::vector<Ue> ues = all_ues();
  return *std::find_if(ues.begin(), ues.end(),
                       [&](const Ue& ue) { return lab.owner(ue.in) == worker; });
}

void install_all(WorkerLab& lab, const std::vector<Ue>& ues) {
  for (const Ue& ue : ues) {
    const size_t owner = lab.owner(ue.in);
    EXPECT_EQ(owner, lab.owner(ue.out)) << "both directions of a UE end at one worker";
    lab.command(lab.install_in(ue.in, ue.index), owner);
    lab.command(lab.install_out(ue.out, ue.index), owner);
  }
}

void feed_all(WorkerLab& lab, const std::vector<Ue>& ues, uint32_t round) {
  for (const Ue& ue : ues) {
    const size_t queue = (round + static_cast<uint32_t>(ue.index)) % lab.access.rx_queues();
    lab.access.feed(queue, ue.request().esp(ue.in, round).frame());
    lab.host.feed(queue, ue.answer().frame());
  }
}

// Frames in whatever order they came.
std::multiset<std::string_view> unordered(const std::vector<Frame>& frames) {
  std::multiset<std::string_view> views;
  for (const Frame& frame : frames) {
    views.emplace(reinterpret_cast<const char*>(frame.data()), frame.size());
  }
  return views;
}

struct Row {
  size_t workers;
  size_t queues;
};
constexpr Row kRows[] = {{2, 1}, {2, 2}, {4, 1}, {4, 2}, {4, 4}};

TEST(Workers, ServeEveryUeWhicheverQueueItComesBy) {
  const AssumeRole role(worker_thread);
  const std::vector<Ue> ues = all_ues();
  for (const Row& row : kRows) {
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

Address other_host(uint32_t n) { return *parse_address("203.0.113." + std::to_string(n)); }

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

// An error from a host in between has other addresses than the packet it quotes, so another owner.
TEST(Workers, NoneLetsOutAnIcmpErrorThatQuotesAnothersProtectedPacket) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.workers = 2;
  WorkerLab lab(shape);
  const TestSa sa{Suite::sha1_null, 0x3000, {kPcscf4, kUe4, 6000, 7000}};
  lab.command(lab.install_out(sa, SaIndex{0}), lab.owner(sa));
  lab.settle();
  const auto quoted =
      PacketBuilder().ip(kUe4, kPcscf4).udp(7000, 6000).payload("secret").ip_packet();
  constexpr uint32_t kRouters = 60;
  for (uint32_t n = 1; n <= kRouters; ++n) {
    lab.host.feed(0, PacketBuilder().ip(other_host(n), kUe4).icmp(3, quoted).frame());
  }
  lab.settle();
  EXPECT_EQ(lab.sum()[Drop::icmp_quotes_protected], kRouters);
  EXPECT_GT(lab.sum().steered, 0u);
}

Address router_of(const Ue& ue, uint32_t host) {
  const std::string prefix = ue.address.is_v4() ? "203.0.113." : "2001:db8:9::";
  return *parse_address(prefix + std::to_string(host));
}

// One whose packets to the UE's P-CSCF come to this worker.
Address router_at(const WorkerLab& lab, const Ue& ue, size_t worker) {
  uint32_t host = 1;
  while (lab.steering.owner(router_of(ue, host), ue.pcscf) != worker) ++host;
  return router_of(ue, host);
}

// What a router says of the answer's first packet.
Frame too_big(const Ue& ue, const Address& router, uint32_t mtu) {
  const bool v4 = ue.address.is_v4();
  return PacketBuilder()
      .ip(router, ue.pcscf)
      .icmp_error(v4 ? 3 : 2, v4 ? 4 : 0, mtu, ue.answer().esp(ue.out, 1).ip_packet())
      .frame();
}

// A router's address says nothing of the UE it talks about: the error goes to the owner of the SA.
TEST(Workers, LearnThePathMtuFromWhicheverRouterTellsIt) {
  const AssumeRole role(worker_thread);
  for (const Row& row : kRows) {
    WorkerLab::Shape shape;
    shape.workers = row.workers;
    shape.queues = row.queues;
    WorkerLab lab(shape);
    const std::vector<Ue> ues = all_ues();
    install_all(lab, ues);
    lab.settle();
    feed_all(lab, ues, 1);
    lab.settle();
    uint32_t router = 0;
    for (const Ue& ue : ues) {
      ++router;
      lab.access.feed(router % row.queues, too_big(ue, router_of(ue, router), 1300 + router));
    }
    lab.settle();
    EXPECT_EQ(lab.sum()[Drop::icmp_about_esp], kUes);
    for (size_t i = 0; i < row.workers; ++i) {
      EXPECT_GT(lab.counters(i)[Drop::icmp_about_esp], 0u) << "each is counted where it is heard";
      lab.take_events(i);
    }
    router = 0;
    for (const Ue& ue : ues) {
      const size_t owner = lab.owner(ue.out);
      lab.command(QuerySa{Direction::out, ue.index}, owner);
      lab.settle();
      const std::vector<SaStatus> status = lab.take<SaStatus>(owner);
      ASSERT_EQ(status.size(), 1u);
      EXPECT_EQ(status[0].path_mtu, 1300 + ++router);
    }
    lab.expect_conserved();
  }
}

// The owner's ring may be full of its packets.
TEST(Workers, CountTheErrorThatItsOwnersRingDoesNotTake) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.workers = 2;
  WorkerLab lab(shape);
  const Ue remote = ue_of(lab, 1);
  for (size_t i = 0; i < SteeringMesh::kRingCapacity; ++i) {
    lab.access.feed(0, remote.request().udp(1, 2).frame());
  }
  while (lab.workers[0]->poll()) {
  }
  lab.access.feed(0, too_big(remote, router_at(lab, remote, 0), 1300));
  while (lab.workers[0]->poll()) {
  }
  EXPECT_EQ(lab.counters(0)[Drop::steering_full], 1u);
  lab.settle();
  lab.expect_conserved();
}

// A stranger makes such errors as he likes: however many, they do not take the ring that the
// owner's own packets come by (RFC 4301 8.2).
TEST(Workers, HandFewErrorsAboutEspToTheirOwnerHoweverManyCome) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.workers = 2;
  WorkerLab lab(shape);
  const Ue remote = ue_of(lab, 1);
  const Frame error = too_big(remote, router_at(lab, remote, 0), 1300);
  constexpr uint32_t kErrors = 2 * SteeringMesh::kRingCapacity;
  for (uint32_t i = 0; i < kErrors; ++i) lab.access.feed(0, error);
  const uint64_t start_tsc = __rdtsc();
  while (lab.workers[0]->poll()) {
  }
  const uint64_t meanwhile =
      (__rdtsc() - start_tsc) * PathMtu::kHandedOverPerSecond / PathConfig{}.tsc_hz + 1;
  const uint64_t steered = lab.counters(0).steered;
  EXPECT_GE(steered, PathMtu::kHandedOverAtOnce);
  EXPECT_LE(steered, PathMtu::kHandedOverAtOnce + meanwhile);
  EXPECT_EQ(lab.counters(0)[Drop::icmp_about_esp], kErrors - steered);
  EXPECT_EQ(lab.counters(0)[Drop::steering_full], 0u);

  lab.access.feed(0, remote.request().udp(1, 2).frame());
  lab.settle();
  EXPECT_EQ(lab.counters(0).steered, steered + 1) << "the owner's packets come through";
  EXPECT_EQ(lab.counters(1)[Drop::icmp_about_esp], steered);
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

// The other way: worker 1 hands back what only worker 0 can send. Each round of worker 0 takes half
// of a burst from that ring and puts a whole one into the other.
TEST(Workers, CountWhatTheTransmittersRingDoesNotTake) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.workers = 2;
  WorkerLab lab(shape);
  const Ue remote = ue_of(lab, 1);
  constexpr size_t kRounds = 4;
  const auto feed = [&](size_t frames) {
    for (size_t i = 0; i < frames; ++i) lab.access.feed(0, remote.request().udp(1, 2).frame());
  };
  feed(SteeringMesh::kRingCapacity);
  while (lab.workers[0]->poll()) {
  }
  while (lab.workers[1]->poll()) {
  }
  EXPECT_EQ(lab.counters(1).steered_for_tx, SteeringMesh::kRingCapacity);
  feed(kRounds * Burst::kCapacity);
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
