// SPDX-License-Identifier: BSD-3-Clause
// A port with real mbufs, on a net_ring: a wire whose other end the test holds.
#include "dataplane/dpdk/port.h"

#include <gtest/gtest.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/dpdk/mbuf.h"
#include "tests/eal_environment.h"

namespace gmesp {
namespace {

constexpr uint16_t kMtu = 1500;
constexpr uint16_t kDataRoom = 2304;

Bytes contents(const rte_mbuf& mbuf) {
  const auto* data = rte_pktmbuf_mtod(&mbuf, const uint8_t*);
  return Bytes(data, data + mbuf.data_len);
}

// A port on a net_ring, whose ring carries what it sends and gives it what it receives.
class PortTest : public testing::Test {
 protected:
  PortTest()
      : device_({.name = "access", .device = "net_ring0", .mtu = kMtu, .workers = 1}),
        port_(device_.port(0)),
        ring_(rte_ring_lookup("ETH_RXTX0_net_ring0")),
        pool_(rte_pktmbuf_pool_create("port_test", 2047, 0, 0, kDataRoom, SOCKET_ID_ANY)) {}
  void SetUp() override {
    ASSERT_NE(ring_, nullptr);
    ASSERT_NE(pool_, nullptr);
  }
  // Whatever a test did, every buffer is back where it came from.
  ~PortTest() override {
    burst_.clear();
    while (rte_mbuf* mbuf = take()) rte_pktmbuf_free(mbuf);
    EXPECT_EQ(rte_mempool_avail_count(pool_), 2047u);
    rte_mempool_free(pool_);
  }

  rte_mbuf* frame(const Bytes& bytes) {
    rte_mbuf* mbuf = rte_pktmbuf_alloc(pool_);
    std::copy(
        bytes.begin(), bytes.end(),
        reinterpret_cast<uint8_t*>(rte_pktmbuf_append(mbuf, static_cast<uint16_t>(bytes.size()))));
    return mbuf;
  }
  void arrive(rte_mbuf* mbuf) { ASSERT_EQ(rte_ring_enqueue(ring_, mbuf), 0); }
  rte_mbuf* take() {
    void* mbuf = nullptr;
    return rte_ring_dequeue(ring_, &mbuf) == 0 ? static_cast<rte_mbuf*>(mbuf) : nullptr;
  }
  void receive() { port_.receive(burst_, drops_, counters_.access); }
  void transmit() { port_.transmit(burst_, drops_, counters_.access); }
  // One frame arrives and is received as a packet of this kind.
  Packet& receive_one(size_t bytes, PacketKind kind, uint8_t ip_offset) {
    arrive(frame(pattern(bytes, 7)));
    receive();
    Packet& packet = burst_[burst_.size() - 1];
    packet.kind = kind;
    packet.ip_offset = ip_offset;
    return packet;
  }
  void expect_dropped(rte_mbuf* mbuf, Drop reason) {
    arrive(mbuf);
    receive();
    EXPECT_TRUE(burst_.empty());
    EXPECT_EQ(counters_[reason], 1u);
    EXPECT_EQ(counters_.access.rx_packets, 1u);
  }

  Device device_;
  Port port_;
  rte_ring* ring_;
  rte_mempool* pool_;
  Burst burst_;
  Counters counters_;
  Drops drops_{counters_};
};

TEST_F(PortTest, ForwardsEveryByteUnchanged) {
  for (size_t bytes = 1; bytes <= kMtu + kMaxLinkHeaderBytes; ++bytes) {
    const Bytes sent = pattern(bytes, static_cast<uint8_t>(bytes));
    arrive(frame(sent));
    receive();
    ASSERT_EQ(burst_.size(), 1u);
    EXPECT_EQ(burst_[0].length, bytes);
    transmit();
    EXPECT_TRUE(burst_.empty());
    rte_mbuf* mbuf = take();
    ASSERT_NE(mbuf, nullptr);
    EXPECT_EQ(contents(*mbuf), sent);
    rte_pktmbuf_free(mbuf);
  }
  EXPECT_EQ(counters_.access.rx_packets, kMtu + kMaxLinkHeaderBytes);
  EXPECT_EQ(counters_.access.tx_packets, kMtu + kMaxLinkHeaderBytes);
}

TEST_F(PortTest, SendsAPacketWithTheBoundsThatTheStagesGaveIt) {
  Packet& packet = receive_one(100, PacketKind::esp, 14);
  packet.data -= kHeadroomBytes;
  packet.length = static_cast<uint16_t>(packet.length + kHeadroomBytes + kTailroomBytes);
  std::fill_n(packet.data, packet.length, uint8_t{0xee});
  transmit();
  rte_mbuf* mbuf = take();
  ASSERT_NE(mbuf, nullptr);
  EXPECT_EQ(mbuf->pkt_len, 100u + kHeadroomBytes + kTailroomBytes);
  EXPECT_EQ(contents(*mbuf), Bytes(100u + kHeadroomBytes + kTailroomBytes, 0xee));
  rte_pktmbuf_free(mbuf);
}

TEST_F(PortTest, SendsNoOffloadRequestOfTheSender) {
  rte_mbuf* in = frame(pattern(60, 0));
  in->ol_flags = RTE_MBUF_F_TX_VLAN | RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_RX_VLAN;
  arrive(in);
  receive();
  transmit();
  rte_mbuf* out = take();
  ASSERT_NE(out, nullptr);
  EXPECT_EQ(out->ol_flags, 0u);
  rte_pktmbuf_free(out);
}

TEST_F(PortTest, DropsAFrameInSeveralBuffers) {
  rte_mbuf* head = frame(pattern(100, 0));
  ASSERT_EQ(rte_pktmbuf_chain(head, frame(pattern(100, 1))), 0);
  expect_dropped(head, Drop::multi_segment);
}

TEST_F(PortTest, DropsABufferThatSomebodyElseHolds) {
  rte_mbuf* mbuf = frame(pattern(100, 0));
  rte_mbuf_refcnt_update(mbuf, 1);
  expect_dropped(mbuf, Drop::shared_buffer);
  EXPECT_EQ(contents(*mbuf), pattern(100, 0));
  rte_pktmbuf_free(mbuf);
}

TEST_F(PortTest, DropsABufferThatPointsIntoAnother) {
  rte_mbuf* owner = frame(pattern(100, 0));
  rte_mbuf* clone = rte_pktmbuf_alloc(pool_);
  rte_pktmbuf_attach(clone, owner);
  expect_dropped(clone, Drop::shared_buffer);
  rte_pktmbuf_free(owner);
}

TEST_F(PortTest, DropsABufferThatIsNotThePools) {
  alignas(64) static uint8_t memory[1024];
  uint16_t bytes = sizeof memory;
  rte_mbuf_ext_shared_info* info = rte_pktmbuf_ext_shinfo_init_helper(
      memory, &bytes, [](void*, void*) {}, nullptr);
  ASSERT_NE(info, nullptr);
  rte_mbuf* mbuf = rte_pktmbuf_alloc(pool_);
  rte_pktmbuf_attach_extbuf(mbuf, memory, 0, bytes, info);
  mbuf->data_off = 128;
  rte_pktmbuf_append(mbuf, 100);
  expect_dropped(mbuf, Drop::shared_buffer);
}

TEST_F(PortTest, DropsABufferWithoutRoomForTheEspHeader) {
  rte_mbuf* enough = frame(pattern(100, 0));
  enough->data_off = kHeadroomBytes;
  arrive(enough);
  receive();
  EXPECT_EQ(burst_.size(), 1u);
  burst_.clear();
  counters_ = {};
  rte_mbuf* too_little = frame(pattern(100, 0));
  too_little->data_off = kHeadroomBytes - 1;
  expect_dropped(too_little, Drop::no_room);
}

TEST_F(PortTest, DropsABufferWithoutRoomForTheEspTrailer) {
  constexpr size_t kMost = kDataRoom - RTE_PKTMBUF_HEADROOM - kTailroomBytes;
  arrive(frame(pattern(kMost, 0)));
  receive();
  EXPECT_EQ(burst_.size(), 1u);
  burst_.clear();
  counters_ = {};
  expect_dropped(frame(pattern(kMost + 1, 0)), Drop::no_room);
}

// RFC 1122 3.2.1.2. "Not known" and "good" pass; the kernel behind us sums what no device has.
TEST_F(PortTest, DropsAnIpHeaderWhoseChecksumTheDeviceFoundWrong) {
  for (const uint64_t fine :
       std::initializer_list<uint64_t>{RTE_MBUF_F_RX_IP_CKSUM_UNKNOWN, RTE_MBUF_F_RX_IP_CKSUM_GOOD,
                                       RTE_MBUF_F_RX_IP_CKSUM_NONE, RTE_MBUF_F_RX_L4_CKSUM_BAD}) {
    rte_mbuf* mbuf = frame(pattern(100, 0));
    mbuf->ol_flags = fine;
    arrive(mbuf);
    receive();
    EXPECT_EQ(burst_.size(), 1u) << fine;
    burst_.clear();
  }
  counters_ = {};
  rte_mbuf* bad = frame(pattern(100, 0));
  bad->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_RSS_HASH;
  expect_dropped(bad, Drop::bad_ip_checksum);
}

TEST_F(PortTest, APacketKnowsWhatTheDeviceFound) {
  struct {
    uint64_t flags;
    std::optional<uint32_t> hash;
    DeviceChecksum checksum;
  } const rows[] = {
      {0, std::nullopt, DeviceChecksum::unknown},
      {RTE_MBUF_F_RX_RSS_HASH, 0x12345678, DeviceChecksum::unknown},
      {RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_RSS_HASH, 0x12345678, DeviceChecksum::good},
      {RTE_MBUF_F_RX_L4_CKSUM_BAD, std::nullopt, DeviceChecksum::doubtful},
      {RTE_MBUF_F_RX_L4_CKSUM_NONE, std::nullopt, DeviceChecksum::doubtful},
  };
  for (const auto& row : rows) {
    rte_mbuf* mbuf = frame(pattern(100, 0));
    mbuf->ol_flags = row.flags;
    mbuf->hash.rss = 0x12345678;
    arrive(mbuf);
    receive();
    ASSERT_EQ(burst_.size(), 1u);
    EXPECT_EQ(device_hash(burst_[0]), row.hash);
    EXPECT_EQ(device_checksum(burst_[0]), row.checksum);
    burst_.clear();
  }
}

TEST_F(PortTest, ABadBufferSpoilsNoOtherOfItsBurst) {
  constexpr size_t kFrames = 8;
  for (size_t bad = 0; bad < kFrames; ++bad) {
    for (size_t i = 0; i < kFrames; ++i) {
      rte_mbuf* mbuf = frame(pattern(100, static_cast<uint8_t>(i)));
      if (i == bad) mbuf->data_off = 0;
      arrive(mbuf);
    }
    receive();
    ASSERT_EQ(burst_.size(), kFrames - 1);
    EXPECT_EQ(counters_[Drop::no_room], bad + 1);
    for (size_t i = 0; i + 1 < kFrames; ++i) EXPECT_EQ(burst_[i].data[0], i + (i >= bad));
    burst_.clear();
  }
}

TEST_F(PortTest, ReceivesNoMoreThanTheBurstHasRoomFor) {
  for (size_t i = 0; i < Burst::kCapacity + 5; ++i) arrive(frame(pattern(60, 0)));
  receive();
  EXPECT_EQ(burst_.size(), Burst::kCapacity);
  receive();
  EXPECT_EQ(counters_.access.rx_packets, Burst::kCapacity);
  burst_.clear();
  receive();
  EXPECT_EQ(burst_.size(), 5u);
}

// Drivers do not all say what they do not send (DESIGN 3), so the port looks before they do.
TEST_F(PortTest, DropsWhatExceedsTheMtu) {
  struct {
    PacketKind kind;
    uint8_t ip_offset;
    size_t longest;  // frame
  } const rows[] = {
      {PacketKind::cleartext, 14, 14 + kMtu}, {PacketKind::esp, 14, 14 + kMtu},
      {PacketKind::esp, 18, 18 + kMtu},       {PacketKind::cleartext, 22, 22 + kMtu},
      {PacketKind::not_ip, 0, 22 + kMtu},
  };
  uint64_t dropped = 0;
  for (const auto& row : rows) {
    receive_one(row.longest, row.kind, row.ip_offset);
    transmit();
    EXPECT_EQ(counters_[Drop::frame_exceeds_mtu], dropped);
    rte_mbuf* mbuf = take();
    ASSERT_NE(mbuf, nullptr);
    rte_pktmbuf_free(mbuf);
    receive_one(row.longest + 1, row.kind, row.ip_offset);
    transmit();
    EXPECT_EQ(counters_[Drop::frame_exceeds_mtu], ++dropped);
    EXPECT_EQ(take(), nullptr);
  }
}

TEST_F(PortTest, CountsPacketsAndTheBytesOfIpPackets) {
  receive_one(60, PacketKind::not_ip, 0);
  receive_one(114, PacketKind::cleartext, 14);
  receive_one(218, PacketKind::esp, 18);
  transmit();
  EXPECT_EQ(counters_.access.rx_packets, 3u);
  EXPECT_EQ(counters_.access.tx_packets, 3u);
  EXPECT_EQ(counters_.access.tx_bytes, 100u + 200u);
}

TEST_F(PortTest, CountsAndFreesWhatTheDeviceDoesNotTake) {
  const unsigned room = rte_ring_free_count(ring_) - 10;
  for (unsigned i = 0; i < room; ++i) arrive(frame(pattern(60, 0)));
  for (size_t i = 0; i < 30; ++i) {
    Packet packet;
    ASSERT_TRUE(view_mbuf(*frame(pattern(114, 0)), packet).is_pass());
    packet.kind = PacketKind::cleartext;
    packet.ip_offset = 14;
    burst_.push(packet);
  }
  transmit();
  EXPECT_TRUE(burst_.empty());
  EXPECT_EQ(counters_.access.tx_packets, 10u);
  EXPECT_EQ(counters_.access.tx_bytes, 10u * 100u);
  EXPECT_EQ(counters_[Drop::tx_full], 20u);
}

TEST_F(PortTest, AWorkerWithoutAQueueReceivesNothingAndLosesNothingUncounted) {
  receive_one(60, PacketKind::not_ip, 0);
  Port none = device_.port(1);
  EXPECT_FALSE(none.can_receive());
  EXPECT_FALSE(none.can_transmit());
  arrive(frame(pattern(60, 0)));
  none.receive(burst_, drops_, counters_.access);
  EXPECT_EQ(burst_.size(), 1u);
  none.transmit(burst_, drops_, counters_.access);
  EXPECT_EQ(counters_[Drop::tx_full], 1u);
  EXPECT_EQ(counters_.access.tx_packets, 0u);
}

}  // namespace
}  // namespace gmesp
