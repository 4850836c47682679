// SPDX-License-Identifier: BSD-3-Clause
#include "perf/path_load.h"

#include <x86intrin.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <random>
#include <stdexcept>

#include "dataplane/classify.h"
#include "dataplane/esp.h"
#include "dataplane/wire.h"

namespace gmesp {
namespace {

constexpr uint16_t kUePort = 5062;
constexpr uint16_t kPcscfPort = 5063;
constexpr uint32_t kFirstSpi = 0x10000;

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
void write_frame(const Address& ue, bool ipv4, size_t ip_bytes, uint8_t* frame) {
  uint8_t* const ip = frame + sizeof(EthernetHeader);
  const size_t ip_header = ipv4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
  const auto content_bytes = static_cast<uint16_t>(ip_bytes - ip_header);
  const auto type = static_cast<uint16_t>(ipv4 ? EtherType::ipv4 : EtherType::ipv6);
  *reinterpret_cast<EthernetHeader*>(frame) = {};
  reinterpret_cast<EthernetHeader*>(frame)->type = Be16(type);
  if (ipv4) {
    auto& header = *reinterpret_cast<Ipv4Header*>(ip);
    header = {};
    header.version_and_ihl = 0x45;
    header.total_length = Be16(static_cast<uint16_t>(ip_bytes));
    header.time_to_live = 64;
    header.protocol = Protocol::udp;
    write_addresses(pcscf_address(true), ue, true, header.source);
  } else {
    auto& header = *reinterpret_cast<Ipv6Header*>(ip);
    header.version_class_flow = Be32(0x60000000);
    header.payload_length = Be16(content_bytes);
    header.next_header = Protocol::udp;
    write_addresses(pcscf_address(false), ue, false, header.source);
  }
  *reinterpret_cast<UdpHeader*>(ip + ip_header) = {Be16(kPcscfPort), Be16(kUePort),
                                                   Be16(content_bytes), Be16(0)};
  std::memset(ip + ip_header + sizeof(UdpHeader), 0x5a, content_bytes - sizeof(UdpHeader));
}

Key pattern_key(size_t bytes, size_t seed) {
  std::array<uint8_t, Key::kMaxBytes> key;
  for (size_t i = 0; i < bytes; ++i) key[i] = static_cast<uint8_t>(seed * 29 + i * 7 + (seed >> 8));
  return Key(std::span(key).first(bytes));
}

// What tools/gmespd.toml has. Good packets never come near it.
Policy gm_policy(bool ipv4) {
  Policy policy;
  policy.protected_ports.set(kUePort).set(kPcscfPort);
  policy.own_prefixes = {*parse_prefix(ipv4 ? "198.51.100.1" : "2001:db8:ffff::1")};
  const std::vector<PortRange> sip{{5060, 5060}};
  policy.rules = {{"arp", true, true, Match::arp, {}, {}, true},
                  {"neighbour-discovery", true, true, Match::nd, {}, {}, true},
                  {"ping", true, true, Match::icmp_echo, {}, {}, true},
                  {"initial-register-udp", true, true, Match::udp, sip, {}, true},
                  {"initial-register-tcp", true, true, Match::tcp, sip, {}, true}};
  policy.rules[3].rate = 1;  // reject_bench comes to the end of both
  policy.rules[4].rate_per_source = 1;
  return policy;
}

}  // namespace

PathLoad::PathLoad(const Tables& tables)
    : tables_(tables),
      policy_(gm_policy(tables.ipv4)),
      keys_(2 * tables.sas),
      sad_(tables.sas),
      spd_(tables.sas, 0x243f6a8885a308d3),
      steering_(tables.workers),
      mesh_(tables.workers),
      inbound_(context(), sad_),
      outbound_(context()) {
  drops_.set_audit({kAuditableReasons, 10});  // as gmespd does by default
  choose_ues();
  install_sas();
}

PathContext PathLoad::context() {
  return {config_, keys_, multi_buffer_, cleartext_, spd_, steerer_, pools_, drops_, 42};
}

void PathLoad::choose_ues() {
  const Address pcscf = pcscf_address(tables_.ipv4);
  for (uint32_t ue = 0; ues_.size() < tables_.sas; ++ue) {
    if (steerer_.owns(ue_address(ue, tables_.ipv4), pcscf)) ues_.push_back(ue);
  }
}

Address PathLoad::address_of(size_t place) const { return ue_address(ues_[place], tables_.ipv4); }

// Both directions have the same keys and selectors, so that Inbound takes what Outbound makes.
void PathLoad::install_sas() {
  const SuiteInfo& info = suite_info(tables_.suite);
  for (const Direction direction : {Direction::in, Direction::out}) {
    for (size_t ue = 0; ue < tables_.sas; ++ue) {
      const EspKeys keys{pattern_key(info.auth_key_bytes, ue), pattern_key(info.enc_key_bytes, ue),
                         pattern_key(info.salt_bytes, ue)};
      const Selector selector{pcscf_address(tables_.ipv4), address_of(ue), kPcscfPort, kUePort};
      const auto install = [&](auto command, auto& table) {
        command.index = SaIndex{static_cast<uint32_t>(ue)};
        command.spi = Spi{kFirstSpi + static_cast<uint32_t>(ue)};
        command.suite = tables_.suite;
        command.selector = selector;
        command.key = keys_.store(tables_.suite, direction, keys).value();
        if (table.install(command)) throw std::logic_error("SA refused");
      };
      direction == Direction::in ? install(InstallInbound{}, sad_)
                                 : install(InstallOutbound{}, spd_);
    }
  }
}

void PathLoad::set_traffic(size_t ip_bytes, size_t ues) {
  ip_bytes_ = ip_bytes;
  order_.resize(ues);
  std::iota(order_.begin(), order_.end(), uint32_t{0});
  std::shuffle(order_.begin(), order_.end(), std::mt19937(1));
  next_path_ = 0;
  next_crypto_ = ues / 2;
}

void PathLoad::arm(size_t& next) {
  for (size_t i = 0; i < kRing; ++i) {
    next = next + 1 < order_.size() ? next + 1 : 0;
    ue_of_[i] = order_[next];
    write_frame(address_of(ue_of_[i]), tables_.ipv4, ip_bytes_,
                source_.arm(i, sizeof(EthernetHeader) + ip_bytes_));
  }
}

PathLoad::Cycles PathLoad::run_path() {
  arm(next_path_);
  const uint64_t out = time_path(outbound_);
  source_.align();
  return {out, time_path(inbound_)};
}

template <typename Path>
uint64_t PathLoad::time_path(Path& path) {
  Burst& burst = bursts_[0];
  size_t sent = 0;
  const uint64_t begin = __rdtsc();
  for (size_t first = 0; first < kRing; first += Burst::kCapacity) {
    source_.receive(first, Burst::kCapacity, burst);
    path.run(burst, begin);
    sent += burst.size();
    PacketSource::transmit(burst);
  }
  const uint64_t cycles = __rdtsc() - begin;
  if (sent != kRing) throw std::logic_error("a packet was dropped");
  return cycles;
}

std::vector<PathLoad::Frame> PathLoad::make_esp() {
  arm(next_path_);
  std::vector<Frame> frames;
  Burst& burst = bursts_[0];
  for (size_t first = 0; first < kRing; first += Burst::kCapacity) {
    source_.receive(first, Burst::kCapacity, burst);
    outbound_.run(burst, __rdtsc());
    for (const Packet& packet : burst)
      frames.emplace_back(packet.data, packet.data + packet.length);
    PacketSource::transmit(burst);
  }
  if (frames.size() != kRing) throw std::logic_error("a packet was dropped");
  return frames;
}

PathLoad::Cycles PathLoad::run_crypto() {
  arm(next_crypto_);
  add_esp_headers();
  const uint64_t out = time_crypto(Direction::out);
  source_.align();
  return {out, time_crypto(Direction::in)};
}

// What the crypto finds in a packet is put there beforehand.
void PathLoad::add_esp_headers() {
  Burst& burst = bursts_[0];
  for (size_t first = 0; first < kRing; first += Burst::kCapacity) {
    source_.receive(first, Burst::kCapacity, burst);
    for (size_t i = 0; i < Burst::kCapacity; ++i) {
      const SaIndex index{ue_of_[first + i]};
      OutboundSa& sa = spd_.sas()[index];
      sa.last_sent = SequenceNumber{static_cast<uint32_t>(sa.last_sent) + 1};
      classify(burst[i]);
      add_esp(burst[i], suite_info(sa.suite), sa.spi, sa.last_sent);
      out_keys_[first + i] = sa.key;
      in_keys_[first + i] = sad_.sas()[index].key;
    }
    esp_offset_ = burst[0].payload_offset;
    PacketSource::transmit(burst);
  }
}

uint64_t PathLoad::time_crypto(Direction direction) {
  const std::array<KeySlot, kRing>& keys = direction == Direction::in ? in_keys_ : out_keys_;
  bool all_good = true;
  const auto receive = [&](size_t first, Burst& burst) {
    source_.receive(first, Burst::kCapacity, burst);
    for (size_t i = first; i < first + Burst::kCapacity; ++i) {
      keys_.prefetch(keys[i], tables_.suite);
    }
  };
  const uint64_t begin = __rdtsc();
  receive(0, bursts_[0]);
  for (size_t first = 0; first < kRing; first += Burst::kCapacity) {
    Burst& burst = bursts_[first / Burst::kCapacity % 2];
    const size_t ahead = first + Burst::kCapacity;
    if (ahead < kRing) receive(ahead, bursts_[ahead / Burst::kCapacity % 2]);
    all_good &= do_crypto(direction, burst, &keys[first]);
    PacketSource::transmit(burst);
  }
  const uint64_t cycles = __rdtsc() - begin;
  if (!all_good) throw std::logic_error("a job failed");
  return cycles;
}

bool PathLoad::do_crypto(Direction direction, Burst& burst, const KeySlot* keys) {
  std::array<EspJob, Burst::kCapacity> jobs;
  for (size_t i = 0; i < burst.size(); ++i) {
    const Packet& packet = burst[i];
    jobs[i] = {keys_.at(keys[i]), packet.data + esp_offset_,
               static_cast<uint16_t>(packet.length - esp_offset_), tables_.suite, false};
  }
  direction == Direction::in ? multi_buffer_.verify_and_decrypt(jobs)
                             : multi_buffer_.encrypt_and_sign(jobs);
  return std::all_of(jobs.begin(), jobs.end(), [](const EspJob& job) { return job.good; });
}

}  // namespace gmesp
