// SPDX-License-Identifier: BSD-3-Clause
// ICMP errors where there are several workers: they come to one, by the address of whoever sends
// them, and are about the UE of another.
#include <x86intrin.h>

#include "tests/worker_ues.h"

namespace gmesp {
namespace {

// An error from a host in between has other addresses than the packet it quotes, so another owner.
TEST(WorkersIcmp, NoneLetsOutAnIcmpErrorThatQuotesAnothersProtectedPacket) {
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
TEST(WorkersIcmp, LearnThePathMtuFromWhicheverRouterTellsIt) {
  const AssumeRole role(worker_thread);
  for (const WorkersRow& row : kWorkersRows) {
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
TEST(WorkersIcmp, CountTheErrorThatItsOwnersRingDoesNotTake) {
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
TEST(WorkersIcmp, HandFewErrorsAboutEspToTheirOwnerHoweverManyCome) {
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
      (__rdtsc() - start_tsc) * Steerer::kErrorsPerSecond / PathConfig{}.tsc_hz + 1;
  const uint64_t steered = lab.counters(0).steered;
  EXPECT_GE(steered, Steerer::kErrorsAtOnce);
  EXPECT_LE(steered, Steerer::kErrorsAtOnce + meanwhile);
  EXPECT_EQ(lab.counters(0)[Drop::icmp_about_esp], kErrors - steered);
  EXPECT_EQ(lab.counters(0)[Drop::steering_full], 0u);

  lab.access.feed(0, remote.request().udp(1, 2).frame());
  lab.settle();
  EXPECT_EQ(lab.counters(0).steered, steered + 1) << "the owner's packets come through";
  EXPECT_EQ(lab.counters(1)[Drop::icmp_about_esp], steered);
  lab.expect_conserved();
}

// The stranger's packets come to any worker, the UE whose SA has them open no port to all: who owns
// it says so.
TEST(WorkersIcmp, ErrorsFromTheAccessSideAboutAnothersUeAreJudgedByItsOwner) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.workers = 2;
  WorkerLab lab(shape);
  const TestSa sa{Suite::sha1_null, 0x3000, {kPcscf4, kUe4, Selector::kAnyPort, 7000}};
  lab.command(lab.install_out(sa, SaIndex{0}), lab.owner(sa));
  lab.settle();
  const auto error = [](uint32_t host, uint16_t ue_port) {
    const PacketBuilder quoted = PacketBuilder().ip(kPcscf4, kUe4).udp(5060, ue_port);
    return PacketBuilder().ip(other_host(host), kPcscf4).icmp(3, quoted.ip_packet()).frame();
  };
  constexpr uint32_t kHosts = 60;
  for (uint32_t n = 1; n <= kHosts; ++n) {
    lab.access.feed(0, error(n, 7000));
    lab.access.feed(0, error(n, 7001));
  }
  lab.settle();
  EXPECT_EQ(lab.sum()[Drop::icmp_quotes_protected], kHosts);
  EXPECT_EQ(lab.host.take_sent().size(), kHosts) << "what no SA protects";
  EXPECT_GT(lab.counters(1 - lab.owner(sa)).steered, 0u);
  EXPECT_EQ(lab.counters(1 - lab.owner(sa))[Drop::icmp_quotes_protected], 0u);
  lab.expect_conserved();
}

}  // namespace
}  // namespace gmesp
