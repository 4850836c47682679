// SPDX-License-Identifier: BSD-3-Clause
// An Ethernet device from its name to the first packet, and back. Every failure says which device,
// why, and what mends it. Drivers copy or receive into our own pools, in one buffer per frame.
#include <net/if.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <vector>

#include "dataplane/dpdk/device_rules.h"
#include "dataplane/dpdk/device_string.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/mbuf.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/dpdk/rss.h"

namespace gmesp {
namespace {

void check(int result, const DeviceConfig& config, const char* what) {
  if (result >= 0) return;
  fail(config, std::string("cannot ") + what + ": " + rte_strerror(-result) + " (" +
                   first_eal_error() + ")");
}

rte_eth_dev_info device_info(uint16_t id) {
  rte_eth_dev_info info{};
  rte_eth_dev_info_get(id, &info);
  return info;
}

// Of what the device has, what makes packets cheaper for us. Not scattered receive: ESP is made in
// one buffer. Nothing on transmit: a queue sends buffers of both ports' pools, and MBUF_FAST_FREE
// is for one pool only; a checksum inside ESP is ciphertext by then, and the IPv4 header's is
// mended where it is changed.
uint64_t rx_offloads(const DeviceConfig& config, const rte_eth_dev_info& info, const RssPlan& rss) {
  uint64_t wanted = 0;
  if (rss.hash_types != 0) wanted |= RTE_ETH_RX_OFFLOAD_RSS_HASH;  // to be compared with ours
  // net_tap sums in software what a NIC sums for nothing: no gain, unless we had to do it.
  if (!DeviceString(config.device).is_tap()) wanted |= RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
  if (config.transport_checksums && !leaves_checksums_unfinished(info.driver_name)) {
    wanted |= RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
  }
  return wanted & info.rx_offload_capa;
}

rte_eth_conf device_conf(const DeviceConfig& config, const rte_eth_dev_info& info,
                         const RssPlan& rss, std::vector<uint8_t>& key) {
  rte_eth_conf conf{};
  // net_af_packet names 1500 whatever its ring slots are, and looks at no MTU afterwards.
  conf.rxmode.mtu =
      DeviceString(config.device).is_af_packet() ? uint16_t{RTE_ETHER_MTU} : config.mtu;
  conf.rxmode.offloads = rx_offloads(config, info, rss);
  if (rss.hash_types == 0) return conf;
  key = rss_key(rss.key_bytes);
  conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
  conf.rx_adv_conf.rss_conf.rss_hf = rss.hash_types;
  conf.rx_adv_conf.rss_conf.rss_key = key.data();
  conf.rx_adv_conf.rss_conf.rss_key_len = static_cast<uint8_t>(key.size());
  return conf;
}

// Of one that the kernel keeps, by its word: net_af_packet of DPDK 22.11 always says up.
const char* link_of_interface(int socket, unsigned index) {
  ifreq request = {};
  request.ifr_ifindex = static_cast<int>(index);
  if (ioctl(socket, SIOCGIFNAME, &request) != 0 || ioctl(socket, SIOCGIFFLAGS, &request) != 0) {
    return "unknown";
  }
  return (request.ifr_flags & IFF_RUNNING) != 0 ? "up" : "down";
}

}  // namespace

void Device::PoolDeleter::operator()(rte_mempool* pool) const { rte_mempool_free(pool); }

void Device::Attached::close() {
  if (!open) return;
  open = false;
  rte_device* device = device_info(id).device;  // not to be had once it is closed
  rte_eth_dev_stop(id);
  rte_dev_remove(device);
  if (names >= 0) ::close(names);
}

Device::Device(const DeviceConfig& config) : config_(config) {
  attach();
  configure();
  set_up_queues();
  set_mtu();
  start();
  refuse_scatter();
}

Device::~Device() = default;

void Device::attach() {
  const DeviceString device(complete_device(config_));
  const std::string name(device.name());
  forget_eal_error();
  // A PCI device is there since EAL's scan, a wire's end since the wire; a virtual one is made now.
  const bool there = rte_eth_dev_get_port_by_name(name.c_str(), &attached_.id) == 0;
  if (there && !device.is_pci() && !device.is_ring_link())
    fail(config_, "a device of this name is open already");
  if (!there && (rte_dev_probe(device.text().c_str()) < 0 ||
                 rte_eth_dev_get_port_by_name(name.c_str(), &attached_.id) != 0)) {
    fail(config_, "cannot open it: " + first_eal_error() + ". " + remedy(device));
  }
  attached_.open = true;
  const rte_eth_dev_info info = device_info(attached_.id);
  if (info.if_index != 0) attached_.names = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  driver_ = info.driver_name;
  rx_queues_ = std::min<size_t>(config_.workers, info.max_rx_queues);
  tx_queues_ = std::min<size_t>(config_.workers, info.max_tx_queues);
  if (rx_queues_ == 0 || tx_queues_ == 0) {
    fail(config_, "it must both receive and transmit; give it a queue of each kind");
  }
}

void Device::configure() {
  const rte_eth_dev_info info = device_info(attached_.id);
  const size_t longest = info.max_rx_pktlen - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN;
  if (!DeviceString(config_.device).is_af_packet() &&
      config_.mtu > std::min<size_t>(longest, info.max_mtu)) {
    fail(config_,
         "its driver takes at most mtu " + std::to_string(std::min<size_t>(longest, info.max_mtu)));
  }
  rss_ = plan_rss(info, rx_queues_, config_.workers);
  int result = try_configure();
  if (result < 0 && rss_.hash_types != 0) {
    rss_.give_up(std::string("it refuses our hash key or types: ") + rte_strerror(-result));
    rss_.hash_types = 0;
    result = try_configure();
  }
  check(result, config_, "configure it");
  // Some give the table its size now that they know how many queues it is for (ConnectX).
  if (rss_.in_hardware()) rss_ = plan_rss(device_info(attached_.id), rx_queues_, config_.workers);
  if (config_.workers > 1 && rx_queues_ == 1) {
    rss_.obstacle += queues_remedy(DeviceString(config_.device));
  }
}

int Device::try_configure() {
  const rte_eth_dev_info info = device_info(attached_.id);
  std::vector<uint8_t> key;
  const rte_eth_conf conf = device_conf(config_, info, rss_, key);
  constexpr uint64_t kTransport = RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
  checks_transport_ = (conf.rxmode.offloads & kTransport) != 0;
  return rte_eth_dev_configure(attached_.id, static_cast<uint16_t>(rx_queues_),
                               static_cast<uint16_t>(tx_queues_), &conf);
}

// One pool on each node that receives: a queue's buffers lie where its worker is. A worker's own
// cache of the pool keeps it off what the pool's users share.
rte_mempool* Device::pool_on(int node) {
  auto& pool = pools_[node];
  if (pool) return pool.get();
  std::string name = "gmesp_" + config_.name;
  if (node >= 0) name.append("_").append(std::to_string(node));
  pool.reset(rte_pktmbuf_pool_create(name.c_str(), static_cast<unsigned>(mbuf_count(config_)),
                                     kCachedMbufs, 0, static_cast<uint16_t>(buffer_bytes(config_)),
                                     node));
  if (!pool) {
    fail(config_, "no memory for its buffers (" + std::to_string(memory_mb(config_)) +
                      " MB over its NUMA nodes): raise [workers] memory_mb, or lower mtu");
  }
  return pool.get();
}

void Device::set_up_queues() {
  uint16_t rx_descriptors = kDescriptors;
  uint16_t tx_descriptors = kDescriptors;
  check(rte_eth_dev_adjust_nb_rx_tx_desc(attached_.id, &rx_descriptors, &tx_descriptors), config_,
        "size its queues");
  const auto node_of = [this](size_t worker) {
    return worker < config_.worker_nodes.size() ? config_.worker_nodes[worker] : SOCKET_ID_ANY;
  };
  // Queue n is worker n's.
  for (uint16_t queue = 0; queue < rx_queues_; ++queue) {
    const int node = node_of(queue);
    check(rte_eth_rx_queue_setup(attached_.id, queue, rx_descriptors, static_cast<unsigned>(node),
                                 nullptr, pool_on(node)),
          config_, "set up a receive queue");
  }
  for (uint16_t queue = 0; queue < tx_queues_; ++queue) {
    check(rte_eth_tx_queue_setup(attached_.id, queue, tx_descriptors,
                                 static_cast<unsigned>(node_of(queue)), nullptr),
          config_, "set up a transmit queue");
  }
}

void Device::set_mtu() {
  if (DeviceString(config_.device).is_af_packet()) {
    check_interface_mtu(config_, device_info(attached_.id).if_index);
    return;
  }
  const int result = rte_eth_dev_set_mtu(attached_.id, config_.mtu);
  if (!is_unsupported(result)) check(result, config_, "set its mtu");
}

void Device::start() {
  check(rte_eth_dev_start(attached_.id), config_, "start it");
  // The host side carries its own MAC address, and ND needs its multicast groups (DESIGN 1).
  const int promiscuous = rte_eth_promiscuous_enable(attached_.id);
  if (!is_unsupported(promiscuous)) check(promiscuous, config_, "make it promiscuous");
  const int multicast = rte_eth_allmulticast_enable(attached_.id);
  if (!is_unsupported(multicast)) check(multicast, config_, "let it receive all multicast");
}

// A driver may turn scattered receive on by itself when frames do not fit its idea of our buffers.
void Device::refuse_scatter() {
  for (uint16_t queue = 0; queue < rx_queues_; ++queue) {
    rte_eth_rxq_info info{};
    const bool known = rte_eth_rx_queue_info_get(attached_.id, queue, &info) == 0;
    const std::string refusal = scatter_refusal(known && info.scattered_rx != 0, config_.mtu);
    if (!refusal.empty()) fail(config_, refusal);
  }
}

void Device::follow(const Steering& steering) {
  spreading_ = apply_rss(rss_device(attached_.id), rss_, steering, rx_queues_);
}

int Device::numa_node() const { return rte_eth_dev_socket_id(attached_.id); }

Port Device::port(size_t worker) const {
  Port port;
  port.id_ = attached_.id;
  port.queue_ = static_cast<uint16_t>(worker);
  port.mtu_ = config_.mtu;
  port.can_receive_ = worker < rx_queues_;
  port.can_transmit_ = worker < tx_queues_;
  return port;
}

std::string Device::mac() const {
  rte_ether_addr address{};
  rte_eth_macaddr_get(attached_.id, &address);
  char text[RTE_ETHER_ADDR_FMT_SIZE];
  rte_ether_format_addr(text, sizeof text, &address);
  return text;
}

const char* Device::link() const {
  const unsigned interface = device_info(attached_.id).if_index;
  if (interface != 0) return link_of_interface(attached_.names, interface);
  rte_eth_link link{};
  const bool up =
      rte_eth_link_get_nowait(attached_.id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
  return up ? "up" : "down";
}

PortLosses Device::losses() const {
  rte_eth_stats stats{};
  if (rte_eth_stats_get(attached_.id, &stats) != 0) return {};
  return {.rx_missed = stats.imissed,
          .rx_no_buffer = stats.rx_nombuf,
          .rx_errors = stats.ierrors,
          .tx_errors = stats.oerrors};
}

size_t Device::memory_mb(const DeviceConfig& config) {
  // The pool of each node is enough for all workers: steering may take its buffers to any.
  const std::set<int> nodes(config.worker_nodes.begin(), config.worker_nodes.end());
  const size_t pools = std::max<size_t>(1, nodes.size());
  return pools * pool_memory_mb(mbuf_count(config), buffer_bytes(config));
}

}  // namespace gmesp
