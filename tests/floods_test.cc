// SPDX-License-Identifier: BSD-3-Clause
// Floods of hostile packets among good ones (LESSONS 4, DESIGN 7): below capacity not one good
// packet is lost, nothing is allocated, nothing is written, and the counters say what happened.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "tests/allocations.h"
#include "tests/fragments.h"
#include "tests/worker_lab.h"

namespace gmesp {
namespace {

constexpr uint32_t kUes = 16;
constexpr uint16_t kSipPort = 5060;
constexpr uint16_t kPortWithARate = 5070;
constexpr uint16_t kPortWithARatePerSource = 5071;
constexpr uint32_t kHostile = 200;   // a round; 16 good ones come among them
constexpr uint32_t kFragments = 64;  // held at a time: a third of a round's hostile ones

// What the process writes to its standard streams meanwhile.
class Written {
 public:
  Written() : file_(memfd_create("written", 0)) {
    for (const int fd : {1, 2}) {
      saved_[fd - 1] = dup(fd);
      dup2(file_, fd);
    }
  }
  ~Written() { end(); }
  off_t end() {
    if (file_ < 0) return 0;
    for (const int fd : {1, 2}) {
      dup2(saved_[fd - 1], fd);
      close(saved_[fd - 1]);
    }
    const off_t bytes = lseek(file_, 0, SEEK_END);
    close(file_);
    file_ = -1;
    return bytes;
  }

 private:
  int file_;
  int saved_[2];
};

Address stranger(uint32_t number) {
  Address address = *parse_address("2001:db8:bad::");
  for (size_t i = 0; i < 4; ++i) address.bytes[12 + i] = static_cast<uint8_t>(number >> 8 * i);
  return address;
}

struct Ue {
  TestSa in;
  TestSa out;
  PacketBuilder request(uint32_t number) const {
    return PacketBuilder()
        .ip(in.selector.source, in.selector.destination)
        .udp(kUePort, kPcscfPort)
        .payload(number * 37 % 900);
  }
  PacketBuilder answer(uint32_t number) const {
    return PacketBuilder()
        .ip(out.selector.source, out.selector.destination)
        .udp(kPcscfPort, kUePort)
        .payload(number * 53 % 900);
  }
};

// Every suite, both families.
Ue ue(uint32_t number) {
  const bool v4 = number % 4 == 3;
  Address address = v4 ? kUe4 : kUe6;
  address.bytes[15] = static_cast<uint8_t>(100 + number);
  const Address& pcscf = v4 ? kPcscf4 : kPcscf6;
  const Suite suite = kSuites[number % kSuiteCount].suite;
  return {{suite, 0x1000 + number, {address, pcscf, kUePort, kPcscfPort}},
          {suite, 0x2000 + number, {pcscf, address, kPcscfPort, kUePort}}};
}

// `live`: an SA that good traffic uses meanwhile.
struct Flood {
  const char* name;
  Drop drop;  // kCount: whatever the reason, all are dropped
  std::function<Frame(uint32_t number, const Ue& live)> frame;
};

PacketBuilder from_stranger(uint32_t number) {
  return PacketBuilder().ip(stranger(number), kPcscf6).udp(1024, 9999).payload(60);
}

Frame forged(uint32_t number, const Ue& live) {
  Frame frame = live.request(number).esp(live.in, 0x40000000 + number).frame();
  frame.back() ^= 1;
  return frame;
}

const Flood kFloods[] = {
    {"bad_icv_on_a_live_spi", Drop::icv_mismatch, forged},
    {"unknown_spis", Drop::unknown_spi,
     [](uint32_t number, const Ue& live) {
       TestSa sa = live.in;
       sa.spi = 0x80000000 + number;
       return from_stranger(number).esp(sa, number).frame();
     }},
    {"reserved_spis", Drop::reserved_spi,
     [](uint32_t number, const Ue& live) {
       TestSa sa = live.in;
       sa.spi = number % 256;
       return from_stranger(number).esp(sa, number).frame();
     }},
    // The UE's first packet, which came before the flood.
    {"replays", Drop::replayed,
     [](uint32_t, const Ue& live) { return live.request(1).esp(live.in, 1).frame(); }},
    {"runts", Drop::runt,
     [](uint32_t number, const Ue& live) {
       Frame frame = live.request(number).esp(live.in, 0x40000000 + number).frame();
       frame.resize(number % 54);
       return frame;
     }},
    // First ones that nothing follows.
    {"ipv4_fragments", Drop::kCount,
     [](uint32_t number, const Ue&) {
       Address v4 = kUe4;
       for (size_t i = 0; i < 3; ++i) v4.bytes[13 + i] = static_cast<uint8_t>(number >> 8 * i);
       return PacketBuilder()
           .ip(v4, kPcscf4)
           .fragment_bits(0x2000)
           .content(Protocol::esp, Bytes(8 * 4, 0))
           .frame();
     }},
    // First ones and middle ones, each of a datagram of its own.
    {"ipv6_fragments", Drop::kCount,
     [](uint32_t number, const Ue&) {
       const size_t start = number % 2 * 64;
       return Fragmenter(from_stranger(number).payload(200)).fragment({start, start + 64});
     }},
    {"overlapping_fragments", Drop::overlapping_fragment,
     [](uint32_t number, const Ue&) {
       const size_t start = number % 2 * 56;
       return Fragmenter(from_stranger(number / 2).payload(200)).fragment({start, start + 64});
     }},
    {"cleartext_to_a_protected_port", Drop::cleartext_on_protected_port,
     [](uint32_t number, const Ue&) {
       return PacketBuilder().ip(stranger(number), kPcscf6).udp(kUePort, kPcscfPort).frame();
     }},
    {"cleartext_without_a_rule", Drop::policy_default,
     [](uint32_t number, const Ue&) { return from_stranger(number).frame(); }},
    {"spoofed_sources", Drop::spoofed_source,
     [](uint32_t, const Ue&) {
       return PacketBuilder().ip(kPcscf6, kUe6).udp(kSipPort, kSipPort).frame();
     }},
    {"icmp", Drop::kCount,
     [](uint32_t number, const Ue& live) {
       return PacketBuilder()
           .ip(stranger(number), kPcscf6)
           .icmp(number % 2 == 0 ? 128 : 3, live.answer(number).esp(live.out, number).ip_packet())
           .frame();
     }},
    // Quotes of what the SA has just sent, ever smaller: they are believed.
    {"too_big", Drop::icmp_about_esp,
     [](uint32_t number, const Ue& live) {
       const bool v4 = live.out.selector.source.is_v4();
       const uint32_t sent = 1 + number / kHostile;
       return PacketBuilder()
           .ip(v4 ? *parse_address("203.0.113.9") : stranger(number), live.out.selector.source)
           .icmp_error(v4 ? 3 : 2, v4 ? 4 : 0, 1499 - number / kHostile,
                       live.answer(sent).esp(live.out, sent).ip_packet())
           .frame();
     }},
    // One has passed before the flood, and no second of this clock does.
    {"over_the_rate_of_a_rule", Drop::rate_of_rule,
     [](uint32_t number, const Ue&) {
       return PacketBuilder().ip(stranger(number), kPcscf6).udp(1024, kPortWithARate).frame();
     }},
    {"over_the_rate_of_a_source", Drop::rate_of_source,
     [](uint32_t, const Ue&) {
       return PacketBuilder().ip(stranger(1), kPcscf6).udp(1024, kPortWithARatePerSource).frame();
     }},
};

Policy strict_policy() {
  Policy policy;
  policy.protected_ports.set(kPcscfPort);
  policy.own_prefixes = {*parse_prefix(to_string(kPcscf6)), *parse_prefix(to_string(kPcscf4))};
  policy.rules = {{"sip", true, true, Match::udp, {{kSipPort, kSipPort}}, {}, true},
                  {.name = "rate",
                   .match = Match::udp,
                   .local_ports = {{kPortWithARate, kPortWithARate}},
                   .rate = 1},
                  {.name = "rate per source",
                   .match = Match::udp,
                   .local_ports = {{kPortWithARatePerSource, kPortWithARatePerSource}},
                   .rate_per_source = 1}};
  return policy;
}

TEST(FloodsLab, SeesAllocationsAndOutput) {
  allocations = 0;
  counting = true;
  std::free(std::malloc(100));
  counting = false;
  EXPECT_EQ(allocations, kCountsAllocations ? 1u : 0u);
  Written streams;
  EXPECT_EQ(write(2, "line\n", 5), 5);
  EXPECT_EQ(streams.end(), 5);
}

class Floods : public testing::TestWithParam<Flood> {
 protected:
  Floods() : lab_(shape()) {
    const AssumeRole role(worker_thread);
    for (uint32_t i = 0; i < kUes; ++i) {
      ues_.push_back(ue(i));
      lab_.command(lab_.install_in(ues_[i].in, SaIndex{i}));
      lab_.command(lab_.install_out(ues_[i].out, SaIndex{i}));
    }
    lab_.settle();
    lab_.take_events();
  }
  static WorkerLab::Shape shape() {
    WorkerLab::Shape shape;
    shape.policy = strict_policy();
    shape.audit = {kAuditableReasons, 100'000};  // more than the ring holds, and nobody empties it
    shape.path.reassembly.fragments = kFragments;
    if (has_a_rate()) shape.path.tsc_hz = uint64_t{1} << 50;
    return shape;
  }
  static bool has_a_rate() {
    return GetParam().drop == Drop::rate_of_rule || GetParam().drop == Drop::rate_of_source;
  }
  uint16_t path_mtu_of_the_first() ON(worker_thread) {
    lab_.take_events();
    lab_.command(QuerySa{Direction::out, SaIndex{0}});
    lab_.settle();
    const auto status = lab_.take<SaStatus>();
    return status.empty() ? uint16_t{0} : status[0].path_mtu;
  }
  // A good packet of every UE in and out, `hostile` packets among them. A request in fragments has
  // them all between its halves.
  void feed(uint32_t number, uint32_t hostile) {
    for (uint32_t of = 0; of < kUes; ++of) {
      if (in_fragments(number, of)) lab_.access.feed(0, halves(number, of)[0]);
    }
    for (uint32_t i = 0; i < hostile; ++i) {
      const uint32_t of = i % kUes;
      lab_.access.feed(0, GetParam().frame(hostile_++, ues_[of]));
      if (i < kUes) feed_good(number, i);
    }
    for (uint32_t i = hostile; i < kUes; ++i) feed_good(number, i);
    for (uint32_t of = 0; of < kUes; ++of) {
      if (!in_fragments(number, of)) continue;
      lab_.access.feed(0, halves(number, of)[1]);
      expected_.push_back(ues_[of].request(number).frame());
    }
  }
  void feed_good(uint32_t number, uint32_t of) {
    const Ue& from = ues_[of];
    lab_.host.feed(0, from.answer(number).frame());
    if (in_fragments(number, of)) return;
    lab_.access.feed(0, protected_request(number, of).frame());
    expected_.push_back(from.request(number).frame());
  }
  PacketBuilder protected_request(uint32_t number, uint32_t of) const {
    return ues_[of].request(number).esp(ues_[of].in, number);
  }
  // Every fourth, of each UE in its turn.
  static bool in_fragments(uint32_t number, uint32_t of) { return (number + of) % 4 == 0; }
  std::vector<Frame> halves(uint32_t number, uint32_t of) const {
    const Fragmenter whole(protected_request(number, of));
    return whole.fragments({whole.bytes() / 16 * 8});
  }
  void serve() ON(worker_thread) {
    counting = true;
    lab_.settle();
    counting = false;
  }

  std::vector<Ue> ues_;
  WorkerLab lab_;
  uint32_t hostile_ = 0;
  std::vector<Frame> expected_;
};

TEST_P(Floods, CostGoodPacketsNothing) {
  const AssumeRole role(worker_thread);
  constexpr uint32_t kRounds = 100;
  feed(1, 0);
  if (has_a_rate()) lab_.access.feed(0, GetParam().frame(1, ues_[0]));
  lab_.settle();
  lab_.host.take_sent();
  EXPECT_EQ(lab_.access.take_sent().size(), kUes);
  const uint64_t good_before = lab_.counters(0).protected_in;
  expected_.clear();
  allocations = 0;
  off_t written = 0;
  for (uint32_t number = 2; number < 2 + kRounds; ++number) {
    feed(number, kHostile);
    Written streams;
    serve();
    written += streams.end();
    EXPECT_EQ(lab_.host.take_sent(), std::exchange(expected_, {})) << "all, in their order";
    EXPECT_EQ(lab_.access.take_sent().size(), kUes);
  }
  EXPECT_EQ(allocations, 0u);
  EXPECT_EQ(written, 0) << "a line of log for a hostile packet";
  const Counters counters = lab_.counters(0);
  EXPECT_EQ(counters.protected_in - good_before, uint64_t{kRounds} * kUes);
  EXPECT_EQ(counters.datagrams_joined, (kRounds + 1) * kUes / 4);
  EXPECT_EQ(counters.dropped() + counters.fragments_held, kRounds * kHostile);
  if (GetParam().drop == Drop::kCount) return;
  EXPECT_EQ(counters[GetParam().drop], kRounds * kHostile);
  const bool audited = (kAuditableReasons & audit_bit(GetParam().drop)) != 0;
  EXPECT_EQ(counters.audited + counters.audit_left_out + counters.audit_lost,
            audited ? kRounds * kHostile : 0u);
  EXPECT_LE(counters.audited, AuditRing::kCapacity);
  lab_.expect_conserved();
  EXPECT_EQ(path_mtu_of_the_first() != 0, GetParam().drop == Drop::icmp_about_esp);
}

INSTANTIATE_TEST_SUITE_P(Of, Floods, testing::ValuesIn(kFloods),
                         [](const testing::TestParamInfo<Flood>& info) { return info.param.name; });

// A device's queue of bounded length, which loses what finds it full.
class BoundedQueue {
 public:
  BoundedQueue(WorkerLab& lab, size_t number) : lab_(lab), number_(number) {}
  void offer(Frame frame) ON(worker_thread) {
    const uint64_t waiting = fed_ - lab_.counters(number_).access.rx_packets;
    if (waiting >= kLength) return;
    ++fed_;
    lab_.access.feed(number_, std::move(frame));
  }

 private:
  static constexpr size_t kLength = 512;
  WorkerLab& lab_;
  size_t number_;
  uint64_t fed_ = 0;
};

// One SA has 90 % of a core's traffic, which is twice what the core can serve. Offered and
// delivered are of the elephant, of its neighbours, and of the other core's UEs.
class Elephant : public testing::Test {
 protected:
  struct Shares {
    double elephant, neighbours, others;
  };

  static WorkerLab::Shape shape(size_t queues) {
    WorkerLab::Shape shape;
    shape.workers = 2;
    shape.queues = queues;
    return shape;
  }
  // `home`: the core that the elephant belongs to.
  Shares run(WorkerLab& lab, size_t home) ON(worker_thread) {
    install_sas(lab, home);
    const TestSa& elephant_sa = sas_[home][0];
    std::vector<BoundedQueue> queues;
    for (size_t i = 0; i < lab.access.rx_queues(); ++i) queues.emplace_back(lab, i);
    const auto offer = [&](size_t worker, size_t at) ON(worker_thread) {
      const TestSa& sa = sas_[worker][at];
      ++offered_[worker != home ? 2 : at == 0 ? 0 : 1];
      PacketBuilder packet =
          PacketBuilder().ip(sa.selector.source, sa.selector.destination).udp(kUePort, kPcscfPort);
      queues[worker % queues.size()].offer(packet.esp(sa, ++sent_[worker][at]).frame());
    };
    uint32_t random = 1;
    for (int round = 0; round < kRounds; ++round) {
      for (size_t i = 0; i < kOfElephantsCore; ++i) {
        random = random * 1664525 + 1013904223;
        const bool elephant = (random >> 16) % 10 != 0;
        offer(home, elephant ? 0 : 1 + (random >> 20) % (sas_[home].size() - 1));
        if (i % 8 == 0) offer(1 - home, i / 8 % sas_[1 - home].size());
      }
      for (const auto& worker : lab.workers) worker->poll();
    }
    lab.settle();
    for (const Frame& frame : lab.host.take_sent()) {
      const Address source = Address::v6(frame.data() + sizeof(EthernetHeader) + 8);
      const bool elephant = source == elephant_sa.selector.source;
      const bool here = lab.steering.owner(source, kPcscf6) == home;
      ++delivered_[elephant ? 0 : here ? 1 : 2];
    }
    EXPECT_EQ(lab.sum().protected_in, delivered_[0] + delivered_[1] + delivered_[2]);
    lab.expect_conserved();
    return {share(0), share(1), share(2)};
  }

  static constexpr int kRounds = 300;
  static constexpr size_t kOfElephantsCore = 2 * Burst::kCapacity;  // a round; the other: an eighth

 private:
  void install_sas(WorkerLab& lab, size_t home) ON(worker_thread) {
    for (uint32_t i = 0; i < 64; ++i) {
      TestSa sa = ue(4 * i).in;  // IPv6
      sa.spi = 0x1000 + i;
      sa.suite = Suite::sha1_null;
      sa.selector.source.bytes[14] = static_cast<uint8_t>(i);
      const size_t owner = lab.owner(sa);
      lab.command(lab.install_in(sa, SaIndex{i}), owner);
      sas_[owner].push_back(sa);
    }
    lab.settle();
    ASSERT_GE(std::min(sas_[home].size(), sas_[1 - home].size()), 10u);
    for (size_t worker = 0; worker < 2; ++worker) sent_[worker].resize(sas_[worker].size());
  }
  double share(size_t of) const { return double(delivered_[of]) / double(offered_[of]); }

  std::vector<TestSa> sas_[2];  // by worker
  std::vector<uint32_t> sent_[2];
  uint32_t offered_[3] = {};
  uint32_t delivered_[3] = {};
};

TEST_F(Elephant, CostsItsCoresNeighboursTheirShareAndOthersNothing) {
  const AssumeRole role(worker_thread);
  WorkerLab lab(shape(2));
  const Shares shares = run(lab, 0);
  RecordProperty("neighbours_share", std::to_string(shares.neighbours));
  EXPECT_NEAR(shares.elephant, 0.5, 0.03)
      << "what the core can serve, and what its queue held at the end";
  EXPECT_NEAR(shares.neighbours, shares.elephant, 0.03) << "the same for all";
  EXPECT_EQ(shares.others, 1);
}

// One queue for both cores: the one that polls it takes what it can, and what is too much is lost
// in the queue, before anybody has seen whose it is. So everybody pays the same, also the UEs of
// the core that has time.
constexpr double kServedOfOneQueue = 1 / (2 + 2 / 8.0);

TEST_F(Elephant, CostsAllTheSameShareWhereItsCorePollsForAll) {
  const AssumeRole role(worker_thread);
  WorkerLab lab(shape(1));
  const Shares shares = run(lab, 0);
  EXPECT_NEAR(shares.elephant, kServedOfOneQueue, 0.03);
  EXPECT_NEAR(shares.neighbours, kServedOfOneQueue, 0.03);
  EXPECT_NEAR(shares.others, kServedOfOneQueue, 0.03);
  EXPECT_EQ(lab.sum()[Drop::steering_full], 0u) << "nothing on the way between the cores";
}

// Nor does it matter whose the elephant is: a core takes from the other all that one can poll.
TEST_F(Elephant, CostsAllTheSameShareWhereAnotherCorePollsForAll) {
  const AssumeRole role(worker_thread);
  WorkerLab lab(shape(1));
  const Shares shares = run(lab, 1);
  EXPECT_NEAR(shares.elephant, kServedOfOneQueue, 0.03);
  EXPECT_NEAR(shares.neighbours, kServedOfOneQueue, 0.03);
  EXPECT_NEAR(shares.others, kServedOfOneQueue, 0.03);
  EXPECT_EQ(lab.sum()[Drop::steering_full], 0u) << "nothing on the way between the cores";
}

}  // namespace
}  // namespace gmesp
