// SPDX-License-Identifier: BSD-3-Clause
#include "perf/path_load.h"

#include <x86intrin.h>

#include <algorithm>
#include <array>
#include <random>
#include <stdexcept>

#include "dataplane/classify.h"
#include "dataplane/wire.h"

namespace gmesp {
namespace {

constexpr size_t kLeastPackets = 4096;
constexpr size_t kMaxFrameBytes = 1600;
constexpr uint16_t kUePort = 5062;
constexpr uint16_t kPcscfPort = 5063;
constexpr uint32_t kFirstSpi = 0x10000;

size_t packet_count(size_t ues) {
  const size_t wanted = std::max(ues, kLeastPackets);
  return (wanted + Burst::kCapacity - 1) / Burst::kCapacity * Burst::kCapacity;
}

std::vector<uint32_t> shuffled_ues(size_t ues) {
  std::vector<uint32_t> order(packet_count(ues));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<uint32_t>(i % ues);
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  return order;
}

Address ue_address(size_t ue, bool ipv4) {
  Address address = *parse_address(ipv4 ? "10.0.0.0" : "2001:db8::1");
  const size_t place = ipv4 ? 13 : 5;
  for (size_t i = 0; i < 3; ++i) {
    address.bytes[place + i] = static_cast<uint8_t>(ue >> (16 - 8 * i));
  }
  return address;
}

Address pcscf_address(bool ipv4) {
  return *parse_address(ipv4 ? "198.51.100.1" : "2001:db8:ffff::1");
}

void write_addresses(const Address& source, const Address& destination, bool ipv4, uint8_t* to) {
  const size_t bytes = ipv4 ? 4 : 16;
  std::copy_n(source.bytes.end() - static_cast<int>(bytes), bytes, to);
  std::copy_n(destination.bytes.end() - static_cast<int>(bytes), bytes, to + bytes);
}

// A UDP packet of a UE; checksums are nobody's business here.
std::vector<uint8_t> plain_frame(const Address& ue, bool ipv4, size_t ip_bytes) {
  std::vector<uint8_t> frame(sizeof(EthernetHeader) + ip_bytes, 0x5a);
  uint8_t* const ip = frame.data() + sizeof(EthernetHeader);
  const size_t ip_header = ipv4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
  const auto content_bytes = static_cast<uint16_t>(ip_bytes - ip_header);
  const auto type = static_cast<uint16_t>(ipv4 ? EtherType::ipv4 : EtherType::ipv6);
  reinterpret_cast<EthernetHeader*>(frame.data())->type = Be16(type);
  if (ipv4) {
    auto& header = *reinterpret_cast<Ipv4Header*>(ip);
    header = {};
    header.version_and_ihl = 0x45;
    header.total_length = Be16(static_cast<uint16_t>(ip_bytes));
    header.time_to_live = 64;
    header.protocol = Protocol::udp;
    write_addresses(ue, pcscf_address(true), true, header.source);
  } else {
    auto& header = *reinterpret_cast<Ipv6Header*>(ip);
    header.version_class_flow = Be32(0x60000000);
    header.payload_length = Be16(content_bytes);
    header.next_header = Protocol::udp;
    write_addresses(ue, pcscf_address(false), false, header.source);
  }
  *reinterpret_cast<UdpHeader*>(ip + ip_header) = {Be16(kUePort), Be16(kPcscfPort),
                                                   Be16(content_bytes), Be16(0)};
  return frame;
}

Key pattern_key(size_t bytes, size_t seed) {
  std::array<uint8_t, Key::kMaxBytes> key;
  for (size_t i = 0; i < bytes; ++i) key[i] = static_cast<uint8_t>(seed * 29 + i * 7 + (seed >> 8));
  return Key(std::span(key).first(bytes));
}

}  // namespace

PathLoad::PathLoad(const Traffic& traffic)
    : traffic_(traffic),
      ue_of_(shuffled_ues(traffic.ues)),
      source_(ue_of_.size(), kMaxFrameBytes),
      keys_(2 * traffic.ues),
      sad_(traffic.ues),
      spd_(traffic.ues, 0x243f6a8885a308d3),
      inbound_({}, sad_, keys_, multi_buffer_, cleartext_, steerer_, counters_),
      outbound_({}, spd_, keys_, multi_buffer_, cleartext_, steerer_, counters_) {
  install_sas();
  for (const uint32_t ue : ue_of_) {
    const Address address = ue_address(ue, traffic_.ipv4);
    plain_.push_back(plain_frame(address, traffic_.ipv4, traffic_.ip_bytes));
  }
  protect_frames();
}

// Both directions with the same keys and selectors: what Outbound makes, Inbound takes.
void PathLoad::install_sas() {
  const SuiteInfo& info = suite_info(traffic_.suite);
  for (size_t ue = 0; ue < traffic_.ues; ++ue) {
    const EspKeys keys{pattern_key(info.auth_key_bytes, ue), pattern_key(info.enc_key_bytes, ue),
                       pattern_key(info.salt_bytes, ue)};
    const Selector selector{ue_address(ue, traffic_.ipv4), pcscf_address(traffic_.ipv4), kUePort,
                            kPcscfPort};
    const auto number = static_cast<uint32_t>(ue);
    InstallInbound in;
    InstallOutbound out;
    in.index = out.index = SaIndex{number};
    in.spi = out.spi = Spi{kFirstSpi + number};
    in.suite = out.suite = traffic_.suite;
    in.selector = out.selector = selector;
    in.key = keys_.store(traffic_.suite, Direction::in, keys).value();
    out.key = keys_.store(traffic_.suite, Direction::out, keys).value();
    if (sad_.install(in) || spd_.install(out)) throw std::logic_error("SA refused");
  }
}

// ESP packets with each SA's numbers counted up, by the outbound path itself.
void PathLoad::protect_frames() {
  Burst burst;
  for (size_t i = 0; i < packets(); i += Burst::kCapacity) {
    arm(plain_, i, Burst::kCapacity);
    source_.receive(i, Burst::kCapacity, burst);
    outbound_.run(burst, 0);
    if (burst.size() != Burst::kCapacity) throw std::logic_error("a packet was not protected");
    for (const Packet& packet : burst) {
      protected_.emplace_back(packet.data, packet.data + packet.length);
    }
    esp_offset_ = burst[0].payload_offset;
    PacketSource::transmit(burst);
  }
}

void PathLoad::reset_windows() {
  for (size_t ue = 0; ue < traffic_.ues; ++ue) {
    sad_.sas()[SaIndex{static_cast<uint32_t>(ue)}].window = ReplayWindow{};
  }
}

void PathLoad::arm(const std::vector<Frame>& frames, size_t first, size_t count) {
  for (size_t i = first; i < first + count; ++i) source_.arm(i, frames[i]);
}

void PathLoad::run_path(std::vector<uint64_t>& burst_cycles) {
  reset_windows();
  const bool in = traffic_.direction == Direction::in;
  Burst burst;
  for (size_t i = 0; i < packets(); i += Burst::kCapacity) {
    arm(in ? protected_ : plain_, i, Burst::kCapacity);
    const uint64_t begin = __rdtsc();
    source_.receive(i, Burst::kCapacity, burst);
    in ? inbound_.run(burst, begin) : outbound_.run(burst, begin);
    const size_t passed = burst.size();
    PacketSource::transmit(burst);
    burst_cycles.push_back(__rdtsc() - begin);
    if (passed != Burst::kCapacity) throw std::logic_error("a packet was dropped");
  }
}

void PathLoad::run_crypto(std::vector<uint64_t>& burst_cycles) {
  const bool in = traffic_.direction == Direction::in;
  std::array<EspJob, Burst::kCapacity> jobs;
  for (size_t i = 0; i < packets(); i += Burst::kCapacity) {
    for (size_t j = 0; j < jobs.size(); ++j) {
      const Frame& frame = protected_[i + j];
      uint8_t* const esp = source_.arm(i + j, frame) + esp_offset_;
      const SaIndex index{ue_of_[i + j]};
      const KeySlot key = in ? sad_.sas()[index].key : spd_.sas()[index].key;
      jobs[j] = {keys_.at(key), esp, static_cast<uint16_t>(frame.size() - esp_offset_),
                 traffic_.suite, false};
    }
    const uint64_t begin = __rdtsc();
    in ? multi_buffer_.verify_and_decrypt(jobs) : multi_buffer_.encrypt_and_sign(jobs);
    burst_cycles.push_back(__rdtsc() - begin);
    const auto good = [](const EspJob& job) { return job.good; };
    if (!std::all_of(jobs.begin(), jobs.end(), good)) throw std::logic_error("a job failed");
  }
}

}  // namespace gmesp
