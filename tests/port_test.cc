// SPDX-License-Identifier: BSD-3-Clause
// Ports with real mbufs and DPDK's own devices, in one process: net_ring is a wire whose other end
// the test holds, net_pcap reads and writes files. Needs neither hugepages nor rights.
#include "dataplane/dpdk/port.h"

#include <gtest/gtest.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/dpdk/device_rules.h"
#include "dataplane/dpdk/device_string.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/mbuf.h"
#include "dataplane/steering.h"

namespace gmesp {
namespace {

class EalEnvironment : public testing::Environment {
 public:
  void SetUp() override {
    eal_ = std::make_unique<Eal>(EalConfig{.program = "port_test", .allow_hugepages = false});
  }
  void TearDown() override { eal_.reset(); }

 private:
  std::unique_ptr<Eal> eal_;
};
const testing::Environment* const eal_environment =
    testing::AddGlobalTestEnvironment(new EalEnvironment);

constexpr uint16_t kMtu = 1500;
constexpr uint16_t kDataRoom = 2304;

using Bytes = std::vector<uint8_t>;

Bytes pattern(size_t bytes, uint8_t first) {
  Bytes data(bytes);
  std::iota(data.begin(), data.end(), first);
  return data;
}

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

TEST(Device, GivesAQueueToEachWorkerWhereItHasThem) {
  const Device device({.name = "host", .device = "net_null0", .mtu = kMtu, .workers = 2});
  EXPECT_EQ(device.rx_queues(), 2u);
  EXPECT_EQ(device.tx_queues(), 2u);
  EXPECT_TRUE(device.port(0).can_receive() && device.port(0).can_transmit());
  EXPECT_TRUE(device.port(1).can_receive() && device.port(1).can_transmit());
  EXPECT_FALSE(device.port(2).can_receive() || device.port(2).can_transmit());
}

// net_null keeps key and table like a NIC, though it hashes nothing: what is written comes back.
TEST(Device, FollowsSteeringWhereItHasATable) {
  Device device({.name = "access", .device = "net_null0", .workers = 2});
  EXPECT_EQ(device.rss_table_entries(), 128u);
  const Steering steering(2, table_entries_for({device.rss_table_entries(), 64}));
  device.follow(steering);
  EXPECT_EQ(device.spreading(), "hardware (table written, 128 entries)");
  uint16_t id = 0;
  ASSERT_EQ(rte_eth_dev_get_port_by_name("net_null0", &id), 0);
  rte_eth_rss_reta_entry64 groups[2]{};
  groups[0].mask = groups[1].mask = ~uint64_t{0};
  ASSERT_EQ(rte_eth_dev_rss_reta_query(id, groups, 128), 0);
  for (uint32_t hash = 0; hash < 1000; ++hash) {
    EXPECT_EQ(groups[hash % 128 / 64].reta[hash % 64], steering.owner_of_hash(hash));
  }
}

TEST(Device, SaysWhyWorkersSteer) {
  struct {
    const char* device;
    size_t workers;
    const char* words;
  } const rows[] = {
      {"net_null0", 1, "none: one worker"},
      {"net_ring0", 2, "software: it has no RSS"},
      {"net_af_packet0,iface=lo", 2, "software: one receive queue: qpairs=N gives it N"},
      {"net_af_packet0,iface=lo,qpairs=2", 2, "software: it has no RSS"},
      {"net_tap0,iface=gmesprss0", 2, "software: it has no indirection table"},
  };
  for (const auto& row : rows) {
    const bool needs_root = !std::string_view(row.device).starts_with("net_null") &&
                            !std::string_view(row.device).starts_with("net_ring");
    if (needs_root && geteuid() != 0) continue;
    Device device({.name = "access", .device = row.device, .workers = row.workers});
    EXPECT_EQ(device.rss_table_entries(), 0u) << row.device;
    device.follow(Steering(row.workers));
    EXPECT_EQ(device.spreading(), row.words) << row.device;
  }
}

// Each worker's queue is a ring of its own.
TEST(Device, ARingServesSeveralWorkers) {
  const Device device({.name = "access", .device = "net_ring3", .workers = 2});
  EXPECT_EQ(device.rx_queues(), 2u);
  rte_mempool* pool = rte_pktmbuf_pool_create("several", 63, 0, 0, kDataRoom, SOCKET_ID_ANY);
  ASSERT_NE(pool, nullptr);
  Counters counters;
  Drops drops(counters);
  Burst burst;
  for (size_t worker = 0; worker < 2; ++worker) {
    Port port = device.port(worker);
    for (size_t i = 0; i <= worker; ++i) {
      rte_mbuf* mbuf = rte_pktmbuf_alloc(pool);
      ASSERT_NE(rte_pktmbuf_append(mbuf, 60), nullptr);
      Packet packet;
      ASSERT_TRUE(view_mbuf(*mbuf, packet).is_pass());
      burst.push(packet);
    }
    port.transmit(burst, drops, counters.access);
  }
  for (size_t worker = 0; worker < 2; ++worker) {
    device.port(worker).receive(burst, drops, counters.access);
    EXPECT_EQ(burst.size(), worker + 1);
    burst.clear();
  }
  EXPECT_EQ(rte_mempool_avail_count(pool), 63u);
  rte_mempool_free(pool);
}

TEST(Device, SaysWhatItIs) {
  const Device device({.name = "host", .device = "net_null0"});
  EXPECT_EQ(device.driver(), "net_null");
  EXPECT_EQ(device.mac().size(), std::string("00:00:00:00:00:00").size());
  EXPECT_STREQ(device.link(), "up");
}

TEST(Device, CanBeOpenedAgainWhenClosed) {
  for (int i = 0; i < 3; ++i) {
    const Device device({.name = "host", .device = "net_null0"});
    EXPECT_EQ(device.rx_queues(), 1u);
  }
}

std::string refusal_of(const std::string& device, uint16_t mtu = kMtu) {
  try {
    const Device refused({.name = "access", .device = device, .mtu = mtu});
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Device, WhatCannotBeOpenedIsNamedWithWhatMendsIt) {
  struct {
    const char* device;
    uint16_t mtu;
    const char* remedy;
  } const rows[] = {
      {"net_af_packet7", kMtu, "net_af_packet needs iface=NAME"},
      {"net_af_packet7,iface=nosuch0", kMtu, "there is no interface 'nosuch0' here: ip link show"},
      {"net_af_packet7,iface=lo,framesz=1024", kMtu, "framesz=1024 does not hold frames of mtu"},
      {"net_af_packet7,iface=lo,framesz=2048", 9000, "framesz=2048 does not hold frames of mtu"},
      {"net_nosuch0", kMtu, "is the driver's name right"},
      {"0000:ff:1f.7", kMtu, "dpdk-devbind.py --status"},
  };
  for (const auto& row : rows) {
    const std::string refusal = refusal_of(row.device, row.mtu);
    EXPECT_TRUE(refusal.starts_with("access device '" + std::string(row.device) + "': "))
        << refusal;
    EXPECT_NE(refusal.find(row.remedy), std::string::npos) << refusal;
  }
}

TEST(Device, TheSameDeviceTwiceIsRefused) {
  const Device device({.name = "host", .device = "net_null0"});
  EXPECT_EQ(refusal_of("net_null0"),
            "access device 'net_null0': a device of this name is open already");
}

// A pcap file of Ethernet frames (https://www.tcpdump.org/manpages/pcap-savefile.5.html).
void write_pcap(const std::string& path, const std::vector<Bytes>& frames) {
  std::ofstream file(path, std::ios::binary);
  const auto put = [&file](uint32_t word) {
    file.write(reinterpret_cast<const char*>(&word), sizeof word);
  };
  for (const uint32_t word : {0xa1b2c3d4u, 0x00040002u, 0u, 0u, 65535u, 1u}) put(word);
  for (const Bytes& frame : frames) {
    const auto bytes = static_cast<uint32_t>(frame.size());
    for (const uint32_t word : {0u, 0u, bytes, bytes}) put(word);
    file.write(reinterpret_cast<const char*>(frame.data()), bytes);
  }
}

std::vector<Bytes> read_pcap(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const Bytes all{std::istreambuf_iterator<char>(file), {}};
  std::vector<Bytes> frames;
  for (size_t at = 24; at + 16 <= all.size();) {
    uint32_t bytes = 0;
    std::memcpy(&bytes, all.data() + at + 8, sizeof bytes);
    at += 16;
    frames.emplace_back(all.begin() + static_cast<ptrdiff_t>(at),
                        all.begin() + static_cast<ptrdiff_t>(at + bytes));
    at += bytes;
  }
  return frames;
}

TEST(Device, AFileOfFramesIsForwardedByteForByte) {
  const std::string folder = testing::TempDir() + "gmesp_port_test_" + std::to_string(getpid());
  const std::string in = folder + "_in.pcap";
  const std::string out = folder + "_out.pcap";
  std::vector<Bytes> frames;
  for (size_t bytes = 14; bytes <= kMtu + kMaxLinkHeaderBytes; bytes += 13) {
    frames.push_back(pattern(bytes, static_cast<uint8_t>(bytes)));
  }
  std::vector<Bytes> with_jumbo = frames;
  with_jumbo.insert(with_jumbo.begin() + 5, pattern(5000, 0));
  write_pcap(in, with_jumbo);
  Counters counters;
  Drops drops(counters);
  {
    const Device device({.name = "host", .device = "net_pcap0,rx_pcap=" + in + ",tx_pcap=" + out});
    Port port = device.port(0);
    Burst burst;
    for (size_t polls = 0; polls < 100; ++polls) {
      port.receive(burst, drops, counters.host);
      port.transmit(burst, drops, counters.host);
    }
  }
  EXPECT_EQ(read_pcap(out), frames);
  EXPECT_EQ(counters.host.rx_packets, with_jumbo.size());
  EXPECT_EQ(counters[Drop::multi_segment], 1u);
  std::remove(in.c_str());
  std::remove(out.c_str());
}

// Jumbo frames are received in one buffer or not at all: the same file with room for them.
TEST(Device, AJumboFrameIsOneBufferWhereTheMtuAllowsIt) {
  const std::string folder = testing::TempDir() + "gmesp_jumbo_test_" + std::to_string(getpid());
  const std::string in = folder + "_in.pcap";
  const std::string out = folder + "_out.pcap";
  constexpr uint16_t kJumboMtu = 9000;
  const std::vector<Bytes> frames = {pattern(9000, 1), pattern(kJumboMtu + kMaxLinkHeaderBytes, 2),
                                     pattern(60, 3)};
  write_pcap(in, frames);
  Counters counters;
  Drops drops(counters);
  {
    const Device device({.name = "host",
                         .device = "net_pcap0,rx_pcap=" + in + ",tx_pcap=" + out,
                         .mtu = kJumboMtu});
    Port port = device.port(0);
    Burst burst;
    for (size_t polls = 0; polls < 10; ++polls) {
      port.receive(burst, drops, counters.host);
      port.transmit(burst, drops, counters.host);
    }
  }
  EXPECT_EQ(read_pcap(out), frames);
  EXPECT_EQ(counters[Drop::multi_segment], 0u);
  std::remove(in.c_str());
  std::remove(out.c_str());
}

TEST(DeviceRules, ADeviceThatWouldScatterIsRefused) {
  EXPECT_EQ(scatter_refusal(false, 9000), "");
  EXPECT_EQ(
      scatter_refusal(true, 9000),
      "it would spread frames of mtu 9000 over several buffers, and ESP is made in one: lower "
      "mtu");
}

// 82599: the driver tells the NIC whole kilobytes of buffer, and turns scatter on when a frame with
// two tags, which it reckons 4 bytes longer than we do, is longer than those.
TEST(DeviceRules, ANicsBuffersHoldAFrameInWholeKilobytes) {
  for (const uint16_t mtu : std::initializer_list<uint16_t>{576, 1500, 2000, 9000, 9600}) {
    const DeviceConfig nic{.name = "access", .device = "0000:01:00.0", .mtu = mtu};
    const size_t behind_headroom = buffer_bytes(nic) - RTE_PKTMBUF_HEADROOM;
    EXPECT_EQ(behind_headroom % 1024, 0u) << mtu;
    EXPECT_GE(behind_headroom, mtu + kMaxLinkHeaderBytes + RTE_ETHER_CRC_LEN) << mtu;
    EXPECT_GE(behind_headroom, mtu + kMaxLinkHeaderBytes + kTailroomBytes) << mtu;
  }
}

// They would be dropped as bad: asking a virtio device for verdicts is worse than summing.
TEST(DeviceRules, VirtualDevicesThatWouldStopFinishingChecksumsAreNotAsked) {
  for (const char* driver : {"net_virtio", "net_virtio_user", "net_vhost", "net_vmxnet3"}) {
    EXPECT_TRUE(leaves_checksums_unfinished(driver)) << driver;
  }
  for (const char* driver : {"net_ixgbe", "net_i40e", "mlx5_pci", "net_ena", "net_tap"}) {
    EXPECT_FALSE(leaves_checksums_unfinished(driver)) << driver;
  }
}

TEST(DeviceRules, BuffersAreCountedOnceForEachNodeOfTheWorkers) {
  DeviceConfig config{.name = "access", .device = "net_null0", .workers = 4};
  const size_t one_node_mb = Device::memory_mb(config);
  config.worker_nodes = {0, 1, 0, 1};
  EXPECT_EQ(Device::memory_mb(config), 2 * one_node_mb);
}

TEST(Eal, ACpuThatIsNotThereIsNamed) {
  try {
    const Eal eal({.worker_cpus = {1023}, .allow_hugepages = false});
    FAIL() << "accepted";
  } catch (const std::runtime_error& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with("CPU 1023 is not there")) << error.what();
  }
}

TEST(DeviceString, KnowsNameKindAndArguments) {
  const DeviceString device("net_af_packet3,iface=acc0,framesz=4096");
  EXPECT_EQ(device.name(), "net_af_packet3");
  EXPECT_TRUE(device.is_af_packet() && !device.is_tap() && !device.is_pci());
  EXPECT_EQ(device.argument("iface"), "acc0");
  EXPECT_EQ(device.argument("framesz"), "4096");
  EXPECT_EQ(device.argument("frame"), std::nullopt);
  EXPECT_EQ(device.argument("blocksz"), std::nullopt);
  EXPECT_TRUE(DeviceString("0000:01:00.0").is_pci());
  EXPECT_EQ(DeviceString("net_tap0").argument("iface"), std::nullopt);
  // EAL writes PCI addresses in small letters; arguments stay as they are.
  EXPECT_EQ(DeviceString("0000:AB:0C.1,Key=X").text(), "0000:ab:0c.1,Key=X");
}

TEST(DeviceString, RingSlotsHoldTheLongestFrame) {
  EXPECT_EQ(af_packet_slot_bytes(1522), 2048u);
  EXPECT_EQ(af_packet_slot_bytes(1952), 2048u);
  EXPECT_EQ(af_packet_slot_bytes(1953), 4096u);
  EXPECT_EQ(af_packet_slot_bytes(9022), 12288u);
}

}  // namespace
}  // namespace gmesp
