// SPDX-License-Identifier: BSD-3-Clause
// DPDK's own devices opened, asked what they are, and used: net_pcap reads and writes files.
#include <gtest/gtest.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/dpdk/device_rules.h"
#include "dataplane/dpdk/device_string.h"
#include "dataplane/dpdk/mbuf.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/steering.h"
#include "tests/eal_environment.h"

namespace gmesp {
namespace {

constexpr uint16_t kMtu = 1500;
constexpr uint16_t kDataRoom = 2304;

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

// A frame that finds no buffer is lost before any worker sees it: the device's own counters have
// it.
TEST(Device, TellsWhatItCouldNotReceive) {
  const std::string in =
      testing::TempDir() + "gmesp_losses_test_" + std::to_string(getpid()) + "_in.pcap";
  const std::string out = in + ".out";
  write_pcap(in, {pattern(60, 1), pattern(60, 2)});
  Counters counters;
  Drops drops(counters);
  {
    const Device device({.name = "host", .device = "net_pcap0,rx_pcap=" + in + ",tx_pcap=" + out});
    EXPECT_FALSE(device.losses().any_of_ours());
    std::vector<rte_mbuf*> taken;
    while (rte_mbuf* mbuf = rte_pktmbuf_alloc(rte_mempool_lookup("gmesp_host"))) {
      taken.push_back(mbuf);
    }
    Port port = device.port(0);
    Burst burst;
    port.receive(burst, drops, counters.host);
    EXPECT_EQ(burst.size(), 0u);
    EXPECT_EQ(device.losses().rx_no_buffer, 1u);
    EXPECT_TRUE(device.losses().any_of_ours());
    for (rte_mbuf* mbuf : taken) rte_pktmbuf_free(mbuf);
  }
  EXPECT_EQ(counters.host.rx_packets + counters.dropped(), 0u);
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
