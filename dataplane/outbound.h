// SPDX-License-Identifier: BSD-3-Clause
// The outbound packet path: what arrives on the host port and leaves on the access port.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "crypto/key_store.h"
#include "crypto/multi_buffer.h"
#include "dataplane/cleartext.h"
#include "dataplane/counters.h"
#include "dataplane/packet.h"
#include "dataplane/path_config.h"
#include "dataplane/spd.h"
#include "dataplane/steering.h"

namespace gmesp {

class Outbound {
 public:
  // Everything referred to belongs to the same worker, or is constant, and outlives this object.
  Outbound(const PathConfig& config, Spd& spd, const KeyStore& keys, MultiBuffer& multi_buffer,
           const Cleartext& cleartext, Steerer& steerer, Counters& counters);

  // Takes a burst from the host port through every step; what is left goes to the access port.
  void run(Burst& burst, uint64_t now_tsc);
  // The same for packets that another worker has classified and steered here.
  void run_owned(Burst& burst, uint64_t now_tsc);

 private:
  using Jobs = std::array<EspJob, Burst::kCapacity>;

  Verdict demultiplex(Packet& packet);
  void hash_addresses(Packet& packet);
  void find_candidate(Packet& packet);
  Verdict find_policy(Packet& packet);
  Verdict trim(Packet& packet);
  Verdict check_checksum(Packet& packet);
  Verdict clamp(Packet& packet);
  Verdict check_mtu(Packet& packet);
  Verdict encapsulate(Packet& packet, uint64_t now_tsc);
  void encrypt_and_sign(Burst& burst, Jobs& jobs);

  Spd& spd_;
  const KeyStore& keys_;
  MultiBuffer& multi_buffer_;
  const Cleartext& cleartext_;
  Steerer& steerer_;
  Counters& counters_;
  const uint16_t access_mtu_;
  const bool verify_checksums_;
  const bool device_checksums_;
  const MssTable mss_;
  Burst cleartext_burst_;
};

}  // namespace gmesp
