// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake_port.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <stdexcept>
#include <string>
#include <utility>

#include "dataplane/packet_pool.h"

// What PacketPool points to here: how many packets there are, and how many of them are out.
struct FakePool {
  size_t packets;
  std::atomic<size_t> out{0};
};

// What Packet::mbuf points to here.
struct rte_mbuf {
  uint8_t* memory;
  gmesp::DeviceFindings findings;
  FakePool* pool = nullptr;
};

namespace gmesp {

namespace {

std::atomic<size_t> live{0};

thread_local int inside = 0;
struct Inside {
  Inside() { ++inside; }
  ~Inside() { --inside; }
};

struct Received {
  std::vector<uint8_t> frame;
  DeviceFindings findings;
};

struct Queues {
  bool full = false;
  size_t rx_queues = 0;  // 0: number not taken
  size_t tx_queues = 0;
  std::array<std::deque<Received>, 8> received;
  std::array<std::vector<std::vector<uint8_t>>, 8> sent;
};
// By device number.
std::array<Queues, 16> registry;

}  // namespace

Packet make_packet(const std::vector<uint8_t>& frame, const DeviceFindings& findings) {
  auto* const memory =
      static_cast<uint8_t*>(std::malloc(kHeadroomBytes + frame.size() + kTailroomBytes));
  if (memory == nullptr) throw std::bad_alloc();
  Packet packet;
  packet.mbuf = new rte_mbuf{memory, findings, nullptr};
  packet.data = memory + kHeadroomBytes;
  packet.length = static_cast<uint16_t>(frame.size());
  if (!frame.empty()) std::memcpy(packet.data, frame.data(), frame.size());
  live.fetch_add(1, std::memory_order_relaxed);
  return packet;
}

std::vector<uint8_t> frame_of(const Packet& packet) {
  return {packet.data, packet.data + packet.length};
}

bool inside_fake_port() { return inside != 0; }

size_t live_packets() { return live.load(std::memory_order_relaxed); }

void release(Packet& packet) {
  if (packet.mbuf->pool != nullptr) --packet.mbuf->pool->out;
  std::free(packet.mbuf->memory);
  delete packet.mbuf;
  live.fetch_sub(1, std::memory_order_relaxed);
}

std::optional<uint32_t> device_hash(const Packet& packet) { return packet.mbuf->findings.hash; }

DeviceChecksum device_checksum(const Packet& packet) { return packet.mbuf->findings.checksum; }

PacketPool::PacketPool(const PacketPoolConfig& config) : bytes_(config.bytes) {
  pool_ = reinterpret_cast<rte_mempool*>(new FakePool{config.packets});
}

PacketPool::~PacketPool() { delete reinterpret_cast<FakePool*>(pool_); }

bool PacketPool::allocate(Packet& packet, size_t bytes) {
  const Inside device;
  auto& pool = *reinterpret_cast<FakePool*>(pool_);
  if (bytes > bytes_ || pool.out == pool.packets) return false;
  packet = make_packet(std::vector<uint8_t>(bytes, 0xee));
  packet.mbuf->pool = &pool;
  ++pool.out;
  return true;
}

bool PacketPool::owns(const Packet& packet) const {
  return packet.mbuf->pool == reinterpret_cast<FakePool*>(pool_);
}

size_t Port::receive(Burst& burst, Drops&, PortCounters& port) {
  const Inside device;
  if (!can_receive_) return 0;
  auto& frames = registry[id_].received[queue_];
  while (burst.room() > 0 && !frames.empty()) {
    burst.push(make_packet(frames.front().frame, frames.front().findings));
    frames.pop_front();
    ++port.rx_packets;
  }
  return burst.size();
}

void Port::transmit(Burst& burst, Drops& drops, PortCounters& port) {
  const Inside device;
  if (!burst.empty() && !can_transmit_) throw std::logic_error("transmit without a queue");
  for (Packet& packet : burst) {
    if (registry[id_].full) {
      drops.tell(packet, Drop::tx_full);
      release(packet);
      continue;
    }
    registry[id_].sent[queue_].push_back(frame_of(packet));
    ++port.tx_packets;
    if (packet.kind != PacketKind::not_ip) port.tx_bytes += packet.ip_bytes();
    release(packet);
  }
  burst.forget();
}

void Device::PoolDeleter::operator()(rte_mempool*) const {}  // there is no pool

void Device::Attached::close() {}

// The device string is the number of one that FakeDevice has made.
Device::Device(const DeviceConfig& config) {
  attached_.id = static_cast<uint16_t>(std::stoul(config.device));
  rx_queues_ = registry[attached_.id].rx_queues;
  tx_queues_ = registry[attached_.id].tx_queues;
}

Device::~Device() = default;

Port Device::port(size_t worker) const {
  Port port;
  port.id_ = attached_.id;
  port.queue_ = static_cast<uint16_t>(worker);
  port.can_receive_ = worker < rx_queues_;
  port.can_transmit_ = worker < tx_queues_;
  return port;
}

FakeDevice::FakeDevice(size_t rx_queues, size_t tx_queues) {
  for (number_ = 0; registry.at(number_).rx_queues != 0; ++number_) {
  }
  registry[number_].rx_queues = rx_queues;
  registry[number_].tx_queues = tx_queues;
  device_ =
      std::make_unique<Device>(DeviceConfig{.name = "fake", .device = std::to_string(number_)});
}

FakeDevice::~FakeDevice() { registry[number_] = Queues{}; }

void FakeDevice::feed(size_t queue, std::vector<uint8_t> frame, const DeviceFindings& findings) {
  registry[number_].received.at(queue).push_back({std::move(frame), findings});
}

void FakeDevice::take_nothing(bool full) { registry[number_].full = full; }

std::vector<std::vector<uint8_t>> FakeDevice::take_sent() {
  std::vector<std::vector<uint8_t>> frames;
  for (auto& queue : registry[number_].sent) {
    frames.insert(frames.end(), queue.begin(), queue.end());
    queue.clear();
  }
  return frames;
}

}  // namespace gmesp
