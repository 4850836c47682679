// SPDX-License-Identifier: BSD-3-Clause
// The inbound packet path: what arrives on the access port and goes to the host. inbound.cc is the
// place to start reading the engine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/oversize.h"
#include "dataplane/packet.h"
#include "dataplane/path_context.h"
#include "dataplane/path_mtu.h"
#include "dataplane/reassembly.h"
#include "dataplane/sad.h"

namespace gmesp {

class Inbound {
 public:
  Inbound(const PathContext& context, Sad& sad);

  // Takes a burst from the access port through every step; what is left goes to the host, and so
  // does what oversize() has.
  void run(Burst& burst, uint64_t now_tsc);
  // The same for packets that another worker has classified and steered here.
  void run_owned(Burst& burst, uint64_t now_tsc);
  Oversize& oversize() { return oversize_; }
  void populate() { reassembler_.populate(); }
  // Once a poll: fragments that wait too long.
  void expire(uint64_t now_tsc) {
    drops_.enter(Direction::in, now_tsc);
    reassembler_.expire(now_tsc);
  }

 private:
  using Jobs = std::array<EspJob, Burst::kCapacity>;

  Verdict read_spi(Packet& packet);
  Verdict find_sa(Packet& packet);
  Verdict check_length(Packet& packet);
  Verdict check_replay(Packet& packet);
  void verify_and_decrypt(Burst& burst, Jobs& jobs);
  Verdict check_icv(const Packet& packet, const EspJob& job);
  Verdict update_replay(Packet& packet);
  Verdict strip(Packet& packet);
  Verdict check_selector(Packet& packet);
  void clamp_syn(Packet& packet, uint64_t now_tsc);
  Verdict deliver(Packet& packet, uint64_t now_tsc);
  void run_others(Burst& esp, uint64_t now_tsc);

  SaRecord& record(const Packet& packet) { return sad_.sas().record(*packet.inbound_sa); }

  Sad& sad_;
  Spd& spd_;
  const KeyStore& keys_;
  MultiBuffer& multi_buffer_;
  const Cleartext& cleartext_;
  Steerer& steerer_;
  Drops& drops_;
  Counters& counters_;
  const bool check_padding_;
  const uint16_t host_mtu_;
  const uint16_t access_mtu_;
  Reassembler reassembler_;
  PathMtu path_mtu_;
  Oversize oversize_;
  Burst others_;  // all that is not ESP
};

}  // namespace gmesp
