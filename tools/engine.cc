// SPDX-License-Identifier: BSD-3-Clause
#include "tools/engine.h"

#include <algorithm>
#include <vector>

#include "control/registration/negotiation.h"
#include "dataplane/dpdk/device_string.h"
#include "dataplane/numa.h"
#include "dataplane/packet_pool.h"

namespace gmesp {
namespace {

// Packets of our own wait in a transmit queue like others; datagrams in one that takes them whole.
constexpr size_t kFrames = 3072;
constexpr size_t kDatagrams = 2304;

PacketPoolConfig datagram_pool(const Config& config, size_t worker) {
  return {.name = "datagrams " + std::to_string(worker),
          .packets = kDatagrams,
          .bytes = config.worker.path.reassembly.max_datagram_bytes + kMaxLinkHeaderBytes,
          .node = node_of_cpu(config.cpus[worker])};
}

PacketPoolConfig frame_pool(const Config& config, size_t worker) {
  return {.name = "frames " + std::to_string(worker),
          .packets = kFrames,
          .bytes = size_t{std::max(config.access.mtu, config.host.mtu)} + kMaxLinkHeaderBytes,
          .node = node_of_cpu(config.cpus[worker])};
}

size_t pools_memory_mb(const Config& config) {
  size_t megabytes = 0;
  for (size_t worker = 0; worker < config.cpus.size(); ++worker) {
    megabytes += PacketPool::memory_mb(datagram_pool(config, worker)) +
                 PacketPool::memory_mb(frame_pool(config, worker));
  }
  return megabytes;
}

EalConfig eal_config(const Config& config, bool verbose) {
  constexpr size_t kOwnMegabytes = 16;  // EAL's tables, the drivers' rings and queues
  EalConfig eal;
  eal.worker_cpus = config.cpus;
  eal.allow_hugepages = config.allow_hugepages;
  eal.verbose = verbose;
  eal.memory_mb = config.memory_mb != 0
                      ? config.memory_mb
                      : kOwnMegabytes + Device::memory_mb(config.access) +
                            Device::memory_mb(config.host) + pools_memory_mb(config);
  for (const DeviceConfig* device : {&config.access, &config.host}) {
    const DeviceString name(device->device);
    if (name.is_pci()) eal.pci_devices.push_back(device->device);
    if (name.is_virtio_user()) eal.virtio_user = true;
  }
  return eal;
}

PortInfo describe_port(const DeviceConfig& config, const Device& device) {
  return {.port = config.name,
          .device = config.device,
          .driver = device.driver(),
          .mac = device.mac(),
          .mtu = config.mtu,
          .rx_queues = device.rx_queues(),
          .tx_queues = device.tx_queues(),
          .numa_node = device.numa_node(),
          .spreading = device.spreading(),
          .link = [&device] { return std::string(device.link()); },
          .losses = [&device] { return device.losses(); }};
}

DeviceConfig for_workers(DeviceConfig device, const Config& config) {
  device.held_packets = config.worker.path.reassembly.fragments;
  for (const unsigned cpu : config.cpus) device.worker_nodes.push_back(node_of_cpu(cpu));
  return device;
}

Config for_workers(Config config) {
  config.access = for_workers(config.access, config);
  config.host = for_workers(config.host, config);
  return config;
}

// A set has two SAs of each direction (or one): that leaves room for as many offers.
RegistrarConfig registrar_config(const Config& config) {
  RegistrarConfig ims = config.ims;
  ims.capacity = config.cpus.size() * config.worker.sa_capacity;
  return ims;
}

}  // namespace

Engine::Engine(const Config& config, bool verbose)
    : config_(for_workers(config)),
      eal_(eal_config(config_, verbose)),
      access_(config_.access),
      host_(config_.host),
      keys_(2 * config.worker.sa_capacity, config_.access.worker_nodes),  // both directions
      steering_(config.cpus.size(),
                table_entries_for({access_.rss_table_entries(), host_.rss_table_entries()})),
      mesh_(config.cpus.size()) {
  access_.follow(steering_);
  host_.follow(steering_);
  make_workers();
  info_ = describe();
  std::vector<WorkerChannel*> channels;
  for (const auto& channel : channels_) channels.push_back(channel.get());
  const ControlConfig control{
      .socket = config_.socket,
      .group = config_.socket_group,
      .sa = {.capacity = config_.worker.sa_capacity, .window = config_.window},
      .registrar = registrar_config(config_),
      .audit = config_.audit,
      .tsc_hz = tsc_hz(),
      .origin = {config_.file, config_.notes},
      .owner = config_.user};
  control_ =
      std::make_unique<ControlThread>(control, info_, config_.policy, steering_, keys_, channels);
}

Engine::~Engine() {
  for (const auto& channel : channels_) channel->stop = true;
  for (std::thread& thread : threads_) thread.join();
  // Each has buffers of the other in its transmit queues: both are closed before the pools of one
  // go.
  access_.close();
  host_.close();
}

void Engine::make_workers() {
  WorkerConfig worker = config_.worker;
  worker.path.tsc_hz = tsc_hz();
  worker.path.device_checksums = host_.checks_transport();
  for (worker.number = 0; worker.number < config_.cpus.size(); ++worker.number) {
    const PreferNode prefer(node_of_cpu(config_.cpus[worker.number]));
    channels_.push_back(std::make_unique<WorkerChannel>());
    pools_.push_back(std::make_unique<PacketPools>(datagram_pool(config_, worker.number),
                                                   frame_pool(config_, worker.number)));
    workers_.push_back(std::make_unique<Worker>(
        worker, access_.port(worker.number), host_.port(worker.number), *pools_.back(), keys_,
        config_.policy, steering_, mesh_, *channels_.back()));
  }
}

EngineInfo Engine::describe() const {
  EngineInfo info;
  info.version = GMESP_VERSION;
  info.hugepages = eal_.hugepages();
  info.ports = {describe_port(config_.access, access_), describe_port(config_.host, host_)};
  for (size_t i = 0; i < workers_.size(); ++i) {
    info.workers.push_back({.cpu = config_.cpus[i],
                            .numa_node = node_of_cpu(config_.cpus[i]),
                            .idle = config_.worker.idle == Idle::poll ? "poll" : "adaptive",
                            .instruction_set = workers_[i]->instruction_set_name()});
  }
  if (!eal_.notice().empty()) info.notices.push_back(eal_.notice());
  for (const std::string& notice : numa_notices(info)) info.notices.push_back(notice);
  const std::vector<Suite> offered = in_order(config_.ims.negotiation);
  if (!std::ranges::all_of(offered, [&](Suite s) { return workers_.front()->is_fast(s); })) {
    info.notices.emplace_back(
        "this CPU has no AVX-512: 3DES takes milliseconds a packet, and a worker's other UEs wait. "
        "Leave des-ede3-cbc out of [ims] combinations");
  }
  return info;
}

void Engine::start_workers() {
  for (size_t i = 0; i < workers_.size(); ++i) {
    std::promise<void> promise;
    std::future<void> started = promise.get_future();
    threads_.emplace_back(&Engine::run_worker, this, i, std::move(promise));
    started.get();
  }
}

void Engine::run_worker(size_t number, std::promise<void> started) {
  try {
    enter_worker_thread(config_.cpus[number]);
    const AssumeRole role(worker_thread);
    workers_[number]->prepare();
  } catch (...) {
    started.set_exception(std::current_exception());
    return;
  }
  started.set_value();
  {
    const AssumeRole role(worker_thread);
    workers_[number]->run();
  }
  leave_worker_thread();
}

}  // namespace gmesp
