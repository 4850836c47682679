// SPDX-License-Identifier: BSD-3-Clause
// Traffic of many UEs for benchmarks: who they are, their SAs as commands, and their packets, in
// clear and protected. A round has one packet of each UE in random order, so every number of an SA
// occurs once and no SA is warm from the packet before. Memory: 4 bytes a UE.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "crypto/algorithm.h"
#include "crypto/key_material.h"
#include "crypto/key_store.h"
#include "crypto/multi_buffer.h"
#include "dataplane/address.h"
#include "dataplane/packet.h"

namespace gmesp {

using MacAddress = std::array<uint8_t, 6>;

struct TrafficPlan {
  uint32_t ues = 1;
  uint64_t packets = 0;
  Suite suite = Suite::sha1_aes_cbc;
  Address first_ue;  // the next one has the next address
  Address pcscf;
  uint16_t ue_port = 5100;
  uint16_t pcscf_port = 5063;
  uint16_t ip_bytes = 256;       // of the plain packet
  uint32_t first_spi = 0x10000;  // two a UE: first those of packets from the UEs, then to them
  uint32_t last_number = 0;      // the sequence number before the first
  uint64_t seed = 1;
  std::optional<uint16_t> window;
  MacAddress ue_mac{2, 0, 0, 0, 0, 0x10};  // of whoever brings the UEs' packets
  MacAddress pcscf_mac{2, 0, 0, 0, 0, 1};
};

enum class Sender : uint8_t { ue, pcscf };

class UeTraffic {
 public:
  static constexpr size_t kBatch = Burst::kCapacity;

  explicit UeTraffic(const TrafficPlan& plan);

  // `sa add` of the SA that the sender's packets have, for an engine where they come in or go out.
  std::string sa_command(uint32_t ue, Sender sender, Direction direction) const;

  // Frames first .. first + count - 1 of plan.packets, count <= kBatch; valid until the next call.
  // plain(): UDP as the sender's own host writes it. from_ues(): ESP as it arrives from the UEs.
  // Throws std::runtime_error when the library refuses to encrypt.
  std::span<const Packet> plain(Sender sender, uint64_t first, size_t count);
  std::span<const Packet> from_ues(uint64_t first, size_t count);

 private:
  uint32_t ue_of(uint64_t packet) const { return order_[packet % plan_.ues]; }
  uint32_t number_of(uint64_t packet) const {
    return plan_.last_number + 1 + static_cast<uint32_t>(packet / plan_.ues);
  }
  uint32_t spi_of(uint32_t ue, Sender sender) const;
  Address address_of(uint32_t ue) const;
  EspKeys keys_of(uint32_t ue) const;
  void write_plain(uint32_t ue, uint32_t number, Sender sender, Packet& packet) const;

  TrafficPlan plan_;
  std::vector<uint32_t> order_;  // of the UEs in every round
  KeyStore keys_;                // of one batch: a key takes less time than a million keys' memory
  MultiBuffer multi_buffer_;
  size_t slot_bytes_;
  std::vector<uint8_t> memory_;
  std::array<Packet, kBatch> packets_;
};

}  // namespace gmesp
