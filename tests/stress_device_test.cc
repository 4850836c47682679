// SPDX-License-Identifier: BSD-3-Clause
// A worker on DPDK's own devices whose buffers or transmit ring run out: it goes on as soon as
// there are some, nothing is lost uncounted, every buffer is back at the end. No hugepages.
#include <gtest/gtest.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <memory>
#include <vector>

#include "dataplane/dpdk/port.h"
#include "dataplane/worker.h"
#include "tests/eal_environment.h"

namespace gmesp {
namespace {

// What comes from the access port passes, what comes from the host's is dropped.
Policy inward_policy() {
  Policy policy;
  policy.rules = {{"in", true, false, Match::any, {}, {}, true}};
  return policy;
}

struct WorkerOnDevices {
  WorkerOnDevices(const std::string& access_device, const std::string& host_device)
      : access({.name = "access", .device = access_device}),
        host({.name = "host", .device = host_device}),
        worker({.sa_capacity = 16, .path = {}}, access.port(0), host.port(0), pools, keys, policy,
               steering, mesh, *channel) {}

  Counters counters() ON(worker_thread) {
    worker.publish_counters();
    return channel->counters.read();
  }

  Device access;
  Device host;
  Policy policy = inward_policy();
  Steering steering{1};
  SteeringMesh mesh{1};
  KeyStore keys{32};
  PacketPools pools;
  std::unique_ptr<WorkerChannel> channel = std::make_unique<WorkerChannel>();
  Worker worker;
};

TEST(StressDevice, AnEmptyBufferPoolStopsReceivingUntilThereAreBuffersAgain) {
  const AssumeRole role(worker_thread);
  WorkerOnDevices engine("net_null0", "net_null1");
  rte_mempool* const pool = rte_mempool_lookup("gmesp_access");
  ASSERT_NE(pool, nullptr);
  const unsigned whole = rte_mempool_avail_count(pool);
  for (int i = 0; i < 100; ++i) engine.worker.poll();
  EXPECT_EQ(engine.counters().access.rx_packets, 100u * Burst::kCapacity);
  EXPECT_EQ(rte_mempool_avail_count(pool), whole) << "what was sent or dropped is back";
  for (int flood = 0; flood < 3; ++flood) {
    std::vector<rte_mbuf*> taken;
    while (rte_mbuf* mbuf = rte_pktmbuf_alloc(pool)) taken.push_back(mbuf);
    EXPECT_EQ(rte_mempool_avail_count(pool), 0u);
    const Counters empty = engine.counters();
    for (int i = 0; i < 1000; ++i) engine.worker.poll();
    const Counters after = engine.counters();
    EXPECT_EQ(after.access.rx_packets, empty.access.rx_packets);
    EXPECT_EQ(after.polls, empty.polls + 1000) << "it waits for nothing";
    for (rte_mbuf* mbuf : taken) rte_pktmbuf_free(mbuf);
    engine.worker.poll();
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
  const auto drain = [&]() ON(worker_thread) {
    while (engine.worker.poll()) {
    }
  };
  for (uint64_t flood = 1; flood <= 5; ++flood) {
    const Counters before = engine.counters();
    feed(host, rte_ring_free_count(host));
    feed(access, Burst::kCapacity);
    engine.worker.poll();
    EXPECT_EQ(engine.counters()[Drop::tx_full] - before[Drop::tx_full], Burst::kCapacity);
    EXPECT_EQ(engine.counters().host.tx_packets, before.host.tx_packets);
    drain();
    feed(access, Burst::kCapacity);
    drain();
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

}  // namespace
}  // namespace gmesp
