// SPDX-License-Identifier: BSD-3-Clause
// The path MTU towards a UE, learned from ICMP "too big" about an ESP packet that we have sent (RFC
// 4301 8.2.1, RFC 1191, RFC 8201). Whoever cannot quote a live SA of ours with a number it has just
// used teaches nothing; nobody can raise an MTU, nor lower it beneath what every host must take
// (RFC 8200 5: 1280; 576 for IPv4).
#pragma once

#include <cstdint>

#include "dataplane/packet.h"
#include "dataplane/spd.h"
#include "dataplane/steering.h"

namespace gmesp {

class PathMtu {
 public:
  PathMtu(uint16_t access_mtu, uint64_t tsc_hz, Spd& spd, Steerer& steerer)
      : access_mtu_(access_mtu), tsc_hz_(tsc_hz), spd_(spd), steerer_(steerer) {}

  // A stage for cleartext from the access port: passes all but ICMP errors that quote ESP, which
  // are for nobody but us (icmp_about_esp), or for the worker that owns the quoted UE (taken).
  Verdict hear(Packet& packet, uint64_t now_tsc);

 private:
  const uint16_t access_mtu_;
  const uint64_t tsc_hz_;
  Spd& spd_;
  Steerer& steerer_;
};

}  // namespace gmesp
