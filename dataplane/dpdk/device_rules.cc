// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/dpdk/device_rules.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "dataplane/dpdk/device_string.h"
#include "dataplane/dpdk/mbuf.h"
#include "dataplane/steering.h"

namespace gmesp {
namespace {

size_t frame_bytes(const DeviceConfig& config) { return config.mtu + kMaxLinkHeaderBytes; }

}  // namespace

[[noreturn]] void fail(const DeviceConfig& config, const std::string& why) {
  throw std::runtime_error(config.name + " device '" + config.device + "': " + why);
}

// net_af_packet copies up to a whole ring slot into an mbuf and refuses a pool with less.
size_t buffer_bytes(const DeviceConfig& config) {
  constexpr size_t kNicStepBytes = 1024;
  const DeviceString device(config.device);
  if (device.is_pci()) return data_room_bytes(frame_bytes(config), kNicStepBytes);
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
size_t mbuf_count(const DeviceConfig& config) {
  const size_t workers = config.workers;
  const size_t per_worker =
      4 * kDescriptors + 4 * Burst::kCapacity + 2 * kCachedMbufs + config.held_packets;
  return workers * per_worker + workers * (workers - 1) * SteeringMesh::kRingCapacity;
}

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

// net_af_packet is not given qpairs= unasked. Whatever it is, the kernel reassembles IPv4 fragments
// for it (PACKET_FANOUT_FLAG_DEFRAG), and cuts what comes out longer than a ring slot: a runt.
std::string queues_remedy(const DeviceString& device) {
  if (device.is_af_packet()) return ": qpairs=N gives it N";
  if (device.is_vhost()) return ": queues=N gives it N";
  return "";
}

bool leaves_checksums_unfinished(std::string_view driver) {
  for (const std::string_view kind : {"net_virtio", "net_vhost", "net_vmxnet3"}) {
    if (driver.starts_with(kind)) return true;
  }
  return false;
}

std::string scatter_refusal(bool scattered, uint16_t mtu) {
  if (!scattered) return "";
  return "it would spread frames of mtu " + std::to_string(mtu) +
         " over several buffers, and ESP is made in one: lower mtu";
}

}  // namespace gmesp
