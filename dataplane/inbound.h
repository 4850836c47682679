// SPDX-License-Identifier: BSD-3-Clause
// The inbound packet path: what arrives on the access port and goes to the host. inbound.cc is the
// place to start reading the engine.
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
#include "dataplane/sad.h"
#include "dataplane/steering.h"

namespace gmesp {

class Inbound {
 public:
  // Everything referred to belongs to the same worker, or is constant, and outlives this object.
  Inbound(const PathConfig& config, Sad& sad, const KeyStore& keys, MultiBuffer& multi_buffer,
          const Cleartext& cleartext, Steerer& steerer, Counters& counters);

  // Takes a burst from the access port through every step; what is left goes to the host.
  void run(Burst& burst, uint64_t now_tsc);
  // The same for packets that another worker has classified and steered here.
  void run_owned(Burst& burst, uint64_t now_tsc);

 private:
  using Jobs = std::array<EspJob, Burst::kCapacity>;

  Verdict demultiplex(Packet& packet);
  Verdict read_spi(Packet& packet);
  Verdict find_sa(Packet& packet);
  Verdict check_length(Packet& packet);
  Verdict check_replay(Packet& packet);
  void verify_and_decrypt(Burst& burst, Jobs& jobs);
  Verdict check_icv(const Packet& packet, const EspJob& job);
  Verdict update_replay(Packet& packet);
  Verdict strip(Packet& packet);
  Verdict check_selector(Packet& packet);
  Verdict deliver(Packet& packet, uint64_t now_tsc);

  SaRecord& record(const Packet& packet) { return sad_.sas().record(*packet.inbound_sa); }

  Sad& sad_;
  const KeyStore& keys_;
  MultiBuffer& multi_buffer_;
  const Cleartext& cleartext_;
  Steerer& steerer_;
  Counters& counters_;
  const bool check_padding_;
  const MssTable mss_;
  Burst cleartext_burst_;
};

}  // namespace gmesp
