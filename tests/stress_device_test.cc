// SPDX-License-Identifier: BSD-3-Clause
// A worker on DPDK's own devices whose buffers or transmit ring run out: it goes on as soon as
// there are some, nothing is lost uncounted, every buffer is back at the end, those of the packets
// that the engine makes itself too. No hugepages.
#include <gtest/gtest.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/dpdk/port.h"
#include "dataplane/worker.h"
#include "tests/eal_environment.h"
#include "tests/fragments.h"

namespace gmesp {
namespace {

// What comes from the access port passes, what comes from the host's is dropped.
Policy inward_policy() {
  Policy policy;
  policy.rules = {{"in", true, false, Match::any, {}, {}, true}};
  return policy;
}

struct Setup {
  Policy policy = inward_policy();
  PathConfig path = {};
  PacketPoolConfig datagrams = {};
  PacketPoolConfig frames = {};
};

struct WorkerOnDevices {
  WorkerOnDevices(const std::string& access_device, const std::string& host_device,
                  const Setup& setup = {})
      : access({.name = "access", .device = access_device}),
        host({.name = "host", .device = host_device}),
        policy(setup.policy),
        pools(setup.datagrams, setup.frames),
        worker(std::make_unique<Worker>(WorkerConfig{.sa_capacity = 16, .path = setup.path},
                                        access.port(0), host.port(0), pools, keys, policy, steering,
                                        mesh, *channel)) {}

  Counters counters() ON(worker_thread) {
    worker->publish_counters();
    return channel->counters.read();
  }
  void drain() ON(worker_thread) {
    while (worker->poll()) {
    }
  }

  Device access;
  Device host;
  Policy policy;
  Steering steering{1};
  SteeringMesh mesh{1};
  KeyStore keys{32};
  PacketPools pools;
  std::unique_ptr<WorkerChannel> channel = std::make_unique<WorkerChannel>();
  std::unique_ptr<Worker> worker;
};

TEST(StressDevice, AnEmptyBufferPoolStopsReceivingUntilThereAreBuffersAgain) {
  const AssumeRole role(worker_thread);
  WorkerOnDevices engine("net_null0", "net_null1");
  rte_mempool* const pool = rte_mempool_lookup("gmesp_access");
  ASSERT_NE(pool, nullptr);
  const unsigned whole = rte_mempool_avail_count(pool);
  for (int i = 0; i < 100; ++i) engine.worker->poll();
  EXPECT_EQ(engine.counters().access.rx_packets, 100u * Burst::kCapacity);
  EXPECT_EQ(rte_mempool_avail_count(pool), whole) << "what was sent or dropped is back";
  for (int flood = 0; flood < 3; ++flood) {
    std::vector<rte_mbuf*> taken;
    while (rte_mbuf* mbuf = rte_pktmbuf_alloc(pool)) taken.push_back(mbuf);
    EXPECT_EQ(rte_mempool_avail_count(pool), 0u);
    const Counters empty = engine.counters();
    for (int i = 0; i < 1000; ++i) engine.worker->poll();
    const Counters after = engine.counters();
    EXPECT_EQ(after.access.rx_packets, empty.access.rx_packets);
    EXPECT_EQ(after.polls, empty.polls + 1000) << "it waits for nothing";
    for (rte_mbuf* mbuf : taken) rte_pktmbuf_free(mbuf);
    engine.worker->poll();
    EXPECT_EQ(engine.counters().access.rx_packets, empty.access.rx_packets + Burst::kCapacity);
    EXPECT_EQ(rte_mempool_avail_count(pool), whole);
  }
  const Counters all = engine.counters();
  EXPECT_EQ(all.access.rx_packets + all.host.rx_packets,
            all.access.tx_packets + all.host.tx_packets + all.dropped());
  EXPECT_GT(all.host.tx_packets, 6000u);
}

// A ring device gives back what it is sent: the worker itself empties what it has filled.
TEST(StressDevice, AFullTransmitRingDropsWhatItDoesNotTakeAndGoesOn) {
  const AssumeRole role(worker_thread);
  WorkerOnDevices engine("net_ring0", "net_ring1");
  rte_ring* const access = rte_ring_lookup("ETH_RXTX0_net_ring0");
  rte_ring* const host = rte_ring_lookup("ETH_RXTX0_net_ring1");
  ASSERT_TRUE(access != nullptr && host != nullptr);
  rte_mempool* const pool = rte_pktmbuf_pool_create("stress", 8191, 0, 0, 2304, SOCKET_ID_ANY);
  ASSERT_NE(pool, nullptr);
  const auto frame = [pool] {
    rte_mbuf* const mbuf = rte_pktmbuf_alloc(pool);
    std::memset(rte_pktmbuf_append(mbuf, 60), 0, 60);
    return mbuf;
  };
  uint64_t fed = 0;
  const auto feed = [&](rte_ring* ring, size_t frames) {
    for (size_t i = 0; i < frames; ++i, ++fed) ASSERT_EQ(rte_ring_enqueue(ring, frame()), 0);
  };
  for (uint64_t flood = 1; flood <= 5; ++flood) {
    const Counters before = engine.counters();
    feed(host, rte_ring_free_count(host));
    feed(access, Burst::kCapacity);
    engine.worker->poll();
    EXPECT_EQ(engine.counters()[Drop::tx_full] - before[Drop::tx_full], Burst::kCapacity);
    EXPECT_EQ(engine.counters().host.tx_packets, before.host.tx_packets);
    engine.drain();
    feed(access, Burst::kCapacity);
    engine.drain();
    EXPECT_EQ(engine.counters()[Drop::tx_full] - before[Drop::tx_full], Burst::kCapacity);
    EXPECT_EQ(engine.counters().host.tx_packets, before.host.tx_packets + Burst::kCapacity);
  }
  const Counters all = engine.counters();
  // What was sent to the host came back from it, and was dropped by policy.
  EXPECT_EQ(all.access.rx_packets + all.host.rx_packets, fed + all.host.tx_packets);
  EXPECT_EQ(all.access.rx_packets + all.host.rx_packets,
            all.access.tx_packets + all.host.tx_packets + all.dropped());
  EXPECT_EQ(rte_mempool_avail_count(pool), 8191u);
  rte_mempool_free(pool);
}

// Buffers in a pool of a test, and frames in them.
class Buffers {
 public:
  explicit Buffers(const char* name)
      : pool_(rte_pktmbuf_pool_create(name, kBuffers, 0, 0, 2304, SOCKET_ID_ANY)) {}
  ~Buffers() { rte_mempool_free(pool_); }
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  void feed(rte_ring* ring, const Frame& frame) {
    rte_mbuf* const mbuf = rte_pktmbuf_alloc(pool_);
    ASSERT_NE(mbuf, nullptr);
    char* const data = rte_pktmbuf_append(mbuf, static_cast<uint16_t>(frame.size()));
    ASSERT_NE(data, nullptr);
    std::memcpy(data, frame.data(), frame.size());
    ASSERT_EQ(rte_ring_enqueue(ring, mbuf), 0);
  }
  unsigned out() const { return kBuffers - rte_mempool_avail_count(pool_); }

 private:
  static constexpr unsigned kBuffers = 2047;
  rte_mempool* pool_;
};

// UDP comes in and goes no further than the host, TCP goes out and no further than here: what a
// ring device gives back ends.
Setup with_pools() {
  Setup setup;
  setup.policy.protected_ports.set(kPcscfPort);
  setup.policy.rules = {{"in", true, false, Match::udp, {}, {}, true},
                        {"out", false, true, Match::tcp, {}, {}, true}};
  setup.path.access_mtu = 1280;
  setup.datagrams = {"stress_datagrams", 8, PacketPool::kMaxBytes};
  setup.frames = {"stress_frames", 24, 1600};
  return setup;
}

// Fragments that are joined and cut again, ESP over the MTU that is cut and comes back to be
// joined, packets over it that are answered, fragments that wait for the end; more at a time than
// the pools hold.
TEST(StressDevice, EveryBufferOfThePoolsIsBackWhateverWasMadeOfIt) {
  const AssumeRole role(worker_thread);
  WorkerOnDevices engine("net_ring0", "net_ring1", with_pools());
  rte_ring* const access = rte_ring_lookup("ETH_RXTX0_net_ring0");
  rte_ring* const host = rte_ring_lookup("ETH_RXTX0_net_ring1");
  rte_mempool* const datagrams = rte_mempool_lookup("stress_datagrams");
  rte_mempool* const frames = rte_mempool_lookup("stress_frames");
  ASSERT_TRUE(access != nullptr && host != nullptr && datagrams != nullptr && frames != nullptr);
  const unsigned whole_datagrams = rte_mempool_avail_count(datagrams);
  const unsigned whole_frames = rte_mempool_avail_count(frames);
  Buffers buffers("stress_fed");
  const TestSa sa{Suite::sha1_aes_cbc, 0x2000, {kPcscf6, kUe6, kPcscfPort, kUePort}};
  const KeySlot key = engine.keys.store(sa.suite, Direction::out, sa.keys()).value();
  ASSERT_TRUE(engine.channel->commands.push(InstallOutbound{
      SaIndex{0}, Spi{sa.spi}, key, sa.suite, SequenceNumber{0}, sa.selector, sa.alternate}));

  const Fragmenter joined4(
      PacketBuilder().ip(kUe4, kPcscf4).fragment_bits(0).udp(1, 5060).payload(3000));
  const Fragmenter joined6(PacketBuilder().udp(1, 5060).payload(3000));
  const Frame protected_one =
      PacketBuilder().ip(kPcscf6, kUe6).udp(kPcscfPort, kUePort).payload(1240).frame();
  const Frame too_big = PacketBuilder().ip(kPcscf4, kUe4).tcp(5060, 1).payload(1400).frame();
  uint64_t fed = 0;
  const auto feed = [&](rte_ring* ring, const Frame& frame) {
    buffers.feed(ring, frame);
    ++fed;
  };
  for (uint32_t round = 0; round < 50; ++round) {
    for (uint32_t i = 0; i <= round % 20; ++i) {
      for (const Frame& piece : joined4.pieces(1200, 100 * round + i)) feed(access, piece);
      for (const Frame& piece : joined6.pieces(1200, 100 * round + i)) feed(access, piece);
      feed(host, protected_one);
      feed(host, too_big);
    }
    feed(access, joined6.fragment({0, 1200, true, 1'000'000 + round}));
    engine.drain();
    ASSERT_EQ(rte_mempool_avail_count(datagrams), whole_datagrams) << "round " << round;
    ASSERT_EQ(rte_mempool_avail_count(frames), whole_frames) << "round " << round;
  }
  const Counters all = engine.counters();
  EXPECT_GT(all.datagrams_joined, 1000u);
  EXPECT_GT(all.packets_fragmented, 500u);
  EXPECT_GT(all.answers_made, 20u);
  EXPECT_GT(all[Drop::no_buffer], 100u);
  EXPECT_GT(all[Drop::unknown_spi], 100u) << "ESP that was cut and joined again, and of no SA";
  EXPECT_EQ(all.access.rx_packets + all.host.rx_packets,
            fed + all.access.tx_packets + all.host.tx_packets);
  EXPECT_EQ(fed + all.datagrams_joined + all.fragments_made + all.answers_made,
            all.dropped() + all.fragments_joined + all.fragments_held + all.packets_fragmented);
  EXPECT_EQ(all.fragments_held, buffers.out());
  EXPECT_EQ(all.fragments_held, 50u);
  engine.worker.reset();
  EXPECT_EQ(buffers.out(), 0u) << "what waited for more";
}

// Linux CVE-2026-31663, of devices: an engine ends as tools/engine.cc lets it, with frames in both
// devices' queues, some of them in its own pools' buffers, and with fragments that wait.
TEST(StressDevice, DevicesAreTornDownWithPacketsInTheirQueues) {
  const AssumeRole role(worker_thread);
  const Fragmenter joined(PacketBuilder().udp(1, 5060).payload(3000));
  const Frame plain = PacketBuilder().ip(kPcscf6, kUe6).udp(5060, 1).payload(60).frame();
  for (uint32_t round = 0; round < 10; ++round) {
    Buffers buffers("stress_fed");
    {
      // Not the same names: DPDK's driver may keep the rings of devices that are gone.
      const std::string names[] = {"net_ring" + std::to_string(10 + 2 * round),
                                   "net_ring" + std::to_string(11 + 2 * round)};
      WorkerOnDevices engine(names[0], names[1], with_pools());
      rte_ring* const access = rte_ring_lookup(("ETH_RXTX0_" + names[0]).c_str());
      rte_ring* const host = rte_ring_lookup(("ETH_RXTX0_" + names[1]).c_str());
      ASSERT_TRUE(access != nullptr && host != nullptr);
      for (uint32_t i = 0; i < 40; ++i) {
        for (const Frame& piece : joined.pieces(1200, i)) buffers.feed(access, piece);
        for (size_t copies = 0; copies < 3; ++copies) buffers.feed(host, plain);
      }
      engine.worker->poll();
      const Counters counters = engine.counters();
      EXPECT_GT(counters.fragments_held, 0u);
      EXPECT_GT(counters.fragments_made, 0u) << "buffers of our own";
      EXPECT_GT(rte_ring_count(access), 0u);
      EXPECT_GT(rte_ring_count(host), counters.fragments_made);
      engine.worker.reset();
      EXPECT_EQ(buffers.out() + counters.fragments_made,
                rte_ring_count(access) + rte_ring_count(host))
          << "it gave back what waited";
      engine.access.close();
      engine.host.close();
    }
    for (const char* pool : {"gmesp_access", "gmesp_host", "stress_datagrams", "stress_frames"}) {
      EXPECT_EQ(rte_mempool_lookup(pool), nullptr) << pool;
    }
  }
}

}  // namespace
}  // namespace gmesp
