// SPDX-License-Identifier: BSD-3-Clause
// The outbound packet path: what arrives on the host port and leaves on the access port.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/oversize.h"
#include "dataplane/packet.h"
#include "dataplane/path_context.h"
#include "dataplane/reassembly.h"

namespace gmesp {

class Outbound {
 public:
  explicit Outbound(const PathContext& context);

  // Takes a burst from the host port through every step; what is left goes to the access port, and
  // so does what oversize() has.
  void run(Burst& burst, uint64_t now_tsc);
  // The same for packets that another worker has classified and steered here.
  void run_owned(Burst& burst, uint64_t now_tsc);
  Oversize& oversize() { return oversize_; }
  void populate() { reassembler_.populate(); }
  // Once a poll: fragments that wait too long.
  void expire(uint64_t now_tsc) {
    drops_.enter(Direction::out, now_tsc);
    reassembler_.expire(now_tsc);
  }

 private:
  using Jobs = std::array<EspJob, Burst::kCapacity>;

  void hash_addresses(Packet& packet);
  void find_candidate(Packet& packet);
  Verdict find_policy(Packet& packet);
  Verdict trim(Packet& packet);
  Verdict check_checksum(Packet& packet);
  Verdict clamp(Packet& packet, uint64_t now_tsc);
  void clamp_syn(Packet& packet, uint64_t now_tsc);
  uint16_t cleartext_mtu(const Packet& packet) const;
  Verdict check_mtu(Packet& packet, uint64_t now_tsc);
  Verdict check_large(Packet& packet, size_t growth, uint64_t now_tsc);
  Verdict answer_too_big(Packet& packet, uint64_t now_tsc);
  Verdict encapsulate(Packet& packet, uint64_t now_tsc);
  void encrypt_and_sign(Burst& burst, Jobs& jobs);
  Verdict finish(Packet& packet, const EspJob& job);

  Spd& spd_;
  const KeyStore& keys_;
  MultiBuffer& multi_buffer_;
  const Cleartext& cleartext_;
  Steerer& steerer_;
  Drops& drops_;
  Counters& counters_;
  const uint16_t access_mtu_;
  const bool answers_too_big_;
  const bool verify_checksums_;
  const bool device_checksums_;
  Reassembler reassembler_;
  Oversize oversize_;
  Burst cleartext_burst_;
};

}  // namespace gmesp
