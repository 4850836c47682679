// SPDX-License-Identifier: BSD-3-Clause
// An Ethernet device from its name to the first packet, and back. Every failure says which device,
// why, and what mends it. Drivers copy or receive into our own pool, in one buffer per frame; no
// offload is asked for: whatever a driver cannot do for us is then never half done.
#include <net/if.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <vector>

#include "dataplane/dpdk/device_string.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/mbuf.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/steering.h"

namespace gmesp {
namespace {

constexpr uint16_t kDescriptors = 1024;  // per queue, where the device takes so many
constexpr unsigned kCachedMbufs = 256;   // per worker, before the pool's shared ring is touched

size_t frame_bytes(const DeviceConfig& config) { return config.mtu + kFrameOverheadBytes; }

// net_af_packet copies up to a whole ring slot into an mbuf and refuses a pool with less.
size_t buffer_bytes(const DeviceConfig& config) {
  const DeviceString device(config.device);
  size_t bytes = frame_bytes(config);
  if (device.is_af_packet()) {
    bytes = af_packet_slot_bytes(bytes);
    if (const auto slot = device.argument("framesz")) {
      bytes = std::max<size_t>(bytes, std::strtoul(std::string(*slot).c_str(), nullptr, 10));
    }
  }
  return data_room_bytes(bytes);
}

// Everything can hold buffers at once: descriptors of both ports (a packet keeps its buffer from
// port to port), bursts, the workers' caches (up to 1.5 times their size), full steering rings.
size_t mbuf_count(size_t workers) {
  const size_t per_worker = 4 * kDescriptors + 4 * Burst::kCapacity + 2 * kCachedMbufs;
  return workers * per_worker + workers * (workers - 1) * SteeringMesh::kRingCapacity;
}

[[noreturn]] void fail(const DeviceConfig& config, const std::string& why) {
  throw std::runtime_error(config.name + " device '" + config.device + "': " + why);
}

void check(int result, const DeviceConfig& config, const char* what) {
  if (result >= 0) return;
  fail(config,
       std::string("cannot ") + what + ": " + rte_strerror(-result) + " (" + eal_words() + ")");
}

bool is_answered_no(int result) { return result == -ENOTSUP || result == -ENOSYS; }

// Why the probe of such a device may have failed, as a thing to do.
std::string remedy(const DeviceString& device) {
  if (device.is_pci()) {
    return "is it listed by 'dpdk-devbind.py --status', and bound: dpdk-devbind.py -b vfio-pci " +
           std::string(device.name());
  }
  if (device.is_tap()) {
    return access("/dev/net/tun", F_OK) != 0
               ? "/dev/net/tun is missing: modprobe tun"
               : "a TAP takes CAP_NET_ADMIN: run as root, and iface= must not exist yet";
  }
  if (device.is_af_packet()) {
    const std::string interface(device.argument("iface").value_or(""));
    if (interface.empty()) return "net_af_packet needs iface=NAME, an interface of this machine";
    if (if_nametoindex(interface.c_str()) == 0) {
      return "there is no interface '" + interface + "' here: ip link show";
    }
    return "raw sockets take CAP_NET_RAW and CAP_NET_ADMIN: run as root";
  }
  return "is the driver's name right, and its arguments? gmespd -v shows all that DPDK says";
}

// The arguments that a frame of this MTU makes necessary, unless the user has set them.
std::string complete_device(const DeviceConfig& config) {
  DeviceString device(config.device);
  if (!device.is_af_packet()) return device.text();
  const size_t slot = af_packet_slot_bytes(frame_bytes(config));
  const auto given = device.argument("framesz");
  if (given && std::strtoul(std::string(*given).c_str(), nullptr, 10) < slot) {
    fail(config, "framesz=" + std::string(*given) + " does not hold frames of mtu " +
                     std::to_string(config.mtu) + ": leave framesz out, or at least " +
                     std::to_string(slot));
  }
  if (!given && slot != af_packet_slot_bytes(0)) {
    device.add_argument("framesz", slot);
    if (!device.argument("blocksz")) device.add_argument("blocksz", slot);
  }
  return device.text();
}

// An interface that the kernel keeps is the operator's: looked at, never changed.
void check_interface_mtu(const DeviceConfig& config, unsigned index) {
  ifreq request{};
  if (if_indextoname(index, request.ifr_name) == nullptr) fail(config, "its interface is gone");
  const int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool known = descriptor >= 0 && ioctl(descriptor, SIOCGIFMTU, &request) == 0;
  if (descriptor >= 0) close(descriptor);
  if (!known || request.ifr_mtu < config.mtu) {
    fail(config, std::string("its interface carries less than mtu ") + std::to_string(config.mtu) +
                     ": ip link set " + request.ifr_name + " mtu " + std::to_string(config.mtu));
  }
}

rte_eth_dev_info device_info(uint16_t id) {
  rte_eth_dev_info info{};
  rte_eth_dev_info_get(id, &info);
  return info;
}

// Symmetric Toeplitz key of whatever length the device wants; addresses use the first 36 bytes.
std::vector<uint8_t> rss_key(size_t bytes) {
  std::vector<uint8_t> key(bytes);
  for (size_t i = 0; i < bytes; ++i) {
    key[i] = static_cast<uint8_t>(i % 2 == 0 ? kRssKeyWord >> 8 : kRssKeyWord & 0xff);
  }
  return key;
}

}  // namespace

void Device::PoolDeleter::operator()(rte_mempool* pool) const { rte_mempool_free(pool); }

Device::Attached::~Attached() {
  if (!open) return;
  rte_device* device = device_info(id).device;  // not to be had once it is closed
  rte_eth_dev_stop(id);
  rte_dev_remove(device);
}

Device::Device(const DeviceConfig& config) : config_(config) {
  attach();
  configure();
  set_up_queues();
  set_mtu();
  start();
  spread_over_queues();
}

Device::~Device() = default;

void Device::attach() {
  const DeviceString device(complete_device(config_));
  const std::string name(device.name());
  clear_eal_words();
  // A PCI device is there since EAL's scan; a virtual one is made now.
  const bool there = rte_eth_dev_get_port_by_name(name.c_str(), &attached_.id) == 0;
  if (there && !device.is_pci()) fail(config_, "a device of this name is open already");
  if (!there && (rte_dev_probe(device.text().c_str()) < 0 ||
                 rte_eth_dev_get_port_by_name(name.c_str(), &attached_.id) != 0)) {
    fail(config_, "cannot open it: " + eal_words() + ". " + remedy(device));
  }
  attached_.open = true;
  const rte_eth_dev_info info = device_info(attached_.id);
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
  const bool is_af_packet = DeviceString(config_.device).is_af_packet();
  // net_af_packet names 1500 whatever its ring slots are, and looks at no MTU afterwards.
  if (!is_af_packet && config_.mtu > std::min<size_t>(longest, info.max_mtu)) {
    fail(config_,
         "its driver takes at most mtu " + std::to_string(std::min<size_t>(longest, info.max_mtu)));
  }
  rte_eth_conf conf{};
  conf.rxmode.mtu = is_af_packet ? uint16_t{RTE_ETHER_MTU} : config_.mtu;
  std::vector<uint8_t> key = rss_key(info.hash_key_size);
  const uint64_t hash_types = info.flow_type_rss_offloads & RTE_ETH_RSS_IP;
  if (rx_queues_ > 1 && hash_types != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf = hash_types;
    conf.rx_adv_conf.rss_conf.rss_key = key.empty() ? nullptr : key.data();
    conf.rx_adv_conf.rss_conf.rss_key_len = info.hash_key_size;
  }
  check(rte_eth_dev_configure(attached_.id, static_cast<uint16_t>(rx_queues_),
                              static_cast<uint16_t>(tx_queues_), &conf),
        config_, "configure it");
}

void Device::set_up_queues() {
  const int node = rte_eth_dev_socket_id(attached_.id);  // near the device; any for virtual ones
  pool_.reset(rte_pktmbuf_pool_create(
      ("gmesp_" + config_.name).c_str(), static_cast<unsigned>(mbuf_count(config_.workers)),
      kCachedMbufs, 0, static_cast<uint16_t>(buffer_bytes(config_)), node));
  if (!pool_) {
    fail(config_, "no memory for its buffers (" + std::to_string(memory_mb(config_)) +
                      " MB): raise [workers] memory_mb, or lower mtu");
  }
  uint16_t rx_descriptors = kDescriptors;
  uint16_t tx_descriptors = kDescriptors;
  check(rte_eth_dev_adjust_nb_rx_tx_desc(attached_.id, &rx_descriptors, &tx_descriptors), config_,
        "size its queues");
  const auto numa_node = static_cast<unsigned>(node);
  for (uint16_t queue = 0; queue < rx_queues_; ++queue) {
    check(rte_eth_rx_queue_setup(attached_.id, queue, rx_descriptors, numa_node, nullptr,
                                 pool_.get()),
          config_, "set up a receive queue");
  }
  for (uint16_t queue = 0; queue < tx_queues_; ++queue) {
    check(rte_eth_tx_queue_setup(attached_.id, queue, tx_descriptors, numa_node, nullptr), config_,
          "set up a transmit queue");
  }
}

void Device::set_mtu() {
  if (DeviceString(config_.device).is_af_packet()) {
    check_interface_mtu(config_, device_info(attached_.id).if_index);
    return;
  }
  const int result = rte_eth_dev_set_mtu(attached_.id, config_.mtu);
  if (!is_answered_no(result)) check(result, config_, "set its mtu");
}

void Device::start() {
  check(rte_eth_dev_start(attached_.id), config_, "start it");
  // The host side carries its own MAC address, and ND needs its multicast groups (DESIGN 1).
  const int promiscuous = rte_eth_promiscuous_enable(attached_.id);
  if (!is_answered_no(promiscuous)) check(promiscuous, config_, "make it promiscuous");
  const int multicast = rte_eth_allmulticast_enable(attached_.id);
  if (!is_answered_no(multicast)) check(multicast, config_, "let it receive all multicast");
}

// The device's table as Steering's, so that a packet comes to its owner at once. Where that cannot
// be, workers steer: slower, never wrong (DESIGN 2).
void Device::spread_over_queues() {
  const rte_eth_dev_info info = device_info(attached_.id);
  if (rx_queues_ < 2 || info.reta_size == 0 || info.reta_size % kRssTableSize != 0) return;
  const Steering steering(config_.workers);
  std::vector<rte_eth_rss_reta_entry64> table(info.reta_size / RTE_ETH_RETA_GROUP_SIZE);
  for (size_t i = 0; i < info.reta_size; ++i) {
    rte_eth_rss_reta_entry64& group = table[i / RTE_ETH_RETA_GROUP_SIZE];
    group.mask = ~uint64_t{0};
    group.reta[i % RTE_ETH_RETA_GROUP_SIZE] =
        static_cast<uint16_t>(steering.table()[i % kRssTableSize] % rx_queues_);
  }
  rte_eth_dev_rss_reta_update(attached_.id, table.data(), info.reta_size);
}

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
  rte_eth_dev_info info{};
  char name[IF_NAMESIZE];
  if (rte_eth_dev_info_get(attached_.id, &info) == 0 && info.if_index != 0 &&
      if_indextoname(info.if_index, name) == nullptr) {
    return "unknown";
  }
  rte_eth_link link{};
  const bool up =
      rte_eth_link_get_nowait(attached_.id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
  return up ? "up" : "down";
}

// Without hugepages a pool lets no buffer cross a page's end, so pages are what is counted.
size_t Device::memory_mb(const DeviceConfig& config) {
  constexpr size_t kPoolOverheadBytes = 128;  // header of each object, its place in the pool's ring
  constexpr size_t kPageBytes = 4096;
  const size_t object = sizeof(rte_mbuf) + buffer_bytes(config) + kPoolOverheadBytes;
  const size_t bytes = object <= kPageBytes ? kPageBytes / (kPageBytes / object)
                                            : (object + kPageBytes - 1) / kPageBytes * kPageBytes;
  constexpr size_t kMegabyte = size_t{1} << 20;
  return mbuf_count(config.workers) * bytes / kMegabyte + 1;
}

}  // namespace gmesp
