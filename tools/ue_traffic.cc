// SPDX-License-Identifier: BSD-3-Clause
#include "tools/ue_traffic.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <stdexcept>

#include "dataplane/checksum.h"
#include "dataplane/classify.h"
#include "dataplane/esp.h"

namespace gmesp {
namespace {

// SplitMix64: spreads a counter over 64 bits. No secret is asked of it: the keys are as public as
// the seed, and the commands that hold them.
uint64_t mixed(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  return value ^ value >> 31;
}

std::array<uint8_t, 16> ims_key(uint64_t seed, uint32_t ue, uint64_t which) {
  std::array<uint8_t, 16> key;
  for (size_t half = 0; half < 2; ++half) {
    const uint64_t bits = mixed(mixed(mixed(seed) + ue) + 2 * which + half);
    std::memcpy(key.data() + 8 * half, &bits, sizeof bits);
  }
  return key;
}

// " name HEX", or nothing for a key that the suite does not have.
std::string key_words(std::string_view name, const Key& key) {
  if (key.size() == 0) return "";
  std::string text(1, ' ');
  text.append(name).append(" ");
  for (const uint8_t byte : key.bytes()) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

void write_ethernet(const MacAddress& source, const MacAddress& destination, EtherType type,
                    uint8_t* to) {
  EthernetHeader header;
  std::copy(source.begin(), source.end(), header.source);
  std::copy(destination.begin(), destination.end(), header.destination);
  header.type = Be16(static_cast<uint16_t>(type));
  std::memcpy(to, &header, sizeof header);
}

// The IP header; answers its size. Checksums come last.
size_t write_ip(const Address& source, const Address& destination, uint16_t ip_bytes, uint8_t* to) {
  if (source.is_v4()) {
    Ipv4Header header{};
    header.version_and_ihl = 0x45;
    header.total_length = Be16(ip_bytes);
    header.time_to_live = 64;
    header.protocol = Protocol::udp;
    std::copy_n(source.bytes.data() + 12, 4, header.source);
    std::copy_n(destination.bytes.data() + 12, 4, header.destination);
    std::memcpy(to, &header, sizeof header);
    return sizeof header;
  }
  Ipv6Header header{};
  header.version_class_flow = Be32(0x60000000);
  header.payload_length = Be16(static_cast<uint16_t>(ip_bytes - sizeof header));
  header.next_header = Protocol::udp;
  header.hop_limit = 64;
  std::copy_n(source.bytes.data(), 16, header.source);
  std::copy_n(destination.bytes.data(), 16, header.destination);
  std::memcpy(to, &header, sizeof header);
  return sizeof header;
}

}  // namespace

UeTraffic::UeTraffic(const TrafficPlan& plan)
    : plan_(plan),
      order_(plan.ues),
      keys_(kBatch),
      slot_bytes_(kHeadroomBytes + sizeof(EthernetHeader) + plan.ip_bytes + kTailroomBytes),
      memory_(kBatch * slot_bytes_) {
  std::iota(order_.begin(), order_.end(), 0);
  std::shuffle(order_.begin(), order_.end(), std::mt19937_64(plan.seed));
}

uint32_t UeTraffic::spi_of(uint32_t ue, Sender sender) const {
  return plan_.first_spi + ue + (sender == Sender::pcscf ? plan_.ues : 0);
}

Address UeTraffic::address_of(uint32_t ue) const {
  Address address = plan_.first_ue;
  uint64_t carry = ue;
  for (size_t i = address.bytes.size(); i-- > 0 && carry != 0;) {
    carry += address.bytes[i];
    address.bytes[i] = static_cast<uint8_t>(carry);
    carry >>= 8;
  }
  return address;
}

// As IMS does it, all SAs of a UE have the same keys (TS 33.203 Annex I); the SPI in the IV of GCM
// and GMAC keeps their packets apart.
EspKeys UeTraffic::keys_of(uint32_t ue) const {
  const std::array<uint8_t, 16> ck = ims_key(plan_.seed, ue, 0);
  const std::array<uint8_t, 16> ik = ims_key(plan_.seed, ue, 1);
  EspKeys keys = expand(plan_.suite, ck, ik);
  if (check_keys(plan_.suite, keys) != KeyError::none) {
    throw std::runtime_error("a weak DES key came out: take another seed");
  }
  return keys;
}

std::string UeTraffic::sa_command(uint32_t ue, Sender sender, Direction direction) const {
  const SuiteInfo& info = suite_info(plan_.suite);
  const EspKeys keys = keys_of(ue);
  const bool from_ue = sender == Sender::ue;
  const Address ue_address = address_of(ue);
  std::string text = direction == Direction::in ? "sa add dir in spi " : "sa add dir out spi ";
  text += std::to_string(spi_of(ue, sender));
  text += " src " + to_string(from_ue ? ue_address : plan_.pcscf);
  text += " dst " + to_string(from_ue ? plan_.pcscf : ue_address);
  text += " proto udp sport " + std::to_string(from_ue ? plan_.ue_port : plan_.pcscf_port);
  text += " dport " + std::to_string(from_ue ? plan_.pcscf_port : plan_.ue_port);
  text.append(" alg ").append(name(info.integrity)).append(" ealg ").append(name(info.encryption));
  text += key_words("auth-key", keys.authentication);
  text += key_words("enc-key", keys.encryption);
  text += key_words("salt", keys.salt);
  if (direction == Direction::in && plan_.window) {
    text += " window " + std::to_string(*plan_.window);
  }
  return text + "\n";
}

// The payload begins with the UE's number and the packet's.
void UeTraffic::write_plain(uint32_t ue, uint32_t number, Sender sender, Packet& packet) const {
  const bool from_ue = sender == Sender::ue;
  const Address ue_address = address_of(ue);
  const Address& source = from_ue ? ue_address : plan_.pcscf;
  const Address& destination = from_ue ? plan_.pcscf : ue_address;
  packet.length = static_cast<uint16_t>(sizeof(EthernetHeader) + plan_.ip_bytes);
  std::memset(packet.data, 'g', packet.length);
  write_ethernet(from_ue ? plan_.ue_mac : plan_.pcscf_mac, from_ue ? plan_.pcscf_mac : plan_.ue_mac,
                 source.is_v4() ? EtherType::ipv4 : EtherType::ipv6, packet.data);
  uint8_t* const ip = packet.data + sizeof(EthernetHeader);
  const size_t ip_header = write_ip(source, destination, plan_.ip_bytes, ip);
  const UdpHeader udp{Be16(from_ue ? plan_.ue_port : plan_.pcscf_port),
                      Be16(from_ue ? plan_.pcscf_port : plan_.ue_port),
                      Be16(static_cast<uint16_t>(plan_.ip_bytes - ip_header)), Be16(0)};
  const Be32 mark[2]{Be32(ue), Be32(number)};
  std::memcpy(ip + ip_header, &udp, sizeof udp);
  std::memcpy(ip + ip_header + sizeof udp, mark, sizeof mark);
  if (!classify(packet).is_pass()) throw std::logic_error("a packet of ours is malformed");
  write_checksums(packet);
}

std::span<const Packet> UeTraffic::plain(Sender sender, uint64_t first, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    packets_[i] = Packet{};
    packets_[i].data = memory_.data() + i * slot_bytes_ + kHeadroomBytes;
    write_plain(ue_of(first + i), number_of(first + i), sender, packets_[i]);
  }
  return {packets_.data(), count};
}

std::span<const Packet> UeTraffic::from_ues(uint64_t first, size_t count) {
  plain(Sender::ue, first, count);
  const SuiteInfo& info = suite_info(plan_.suite);
  std::array<EspJob, kBatch> jobs;
  std::array<KeySlot, kBatch> slots;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t ue = ue_of(first + i);
    Packet& packet = packets_[i];
    add_esp(packet, info, Spi{spi_of(ue, Sender::ue)}, SequenceNumber{number_of(first + i)});
    slots[i] = keys_.store(plan_.suite, Direction::out, keys_of(ue)).value();
    jobs[i] = {keys_.at(slots[i]), packet.payload(), packet.payload_bytes(), plan_.suite, false};
  }
  multi_buffer_.encrypt_and_sign(std::span(jobs).first(count));
  for (size_t i = 0; i < count; ++i) {
    keys_.release(slots[i], plan_.suite);
    if (!jobs[i].good) throw std::runtime_error("IPsec-MB did not encrypt a packet");
  }
  return {packets_.data(), count};
}

}  // namespace gmesp
