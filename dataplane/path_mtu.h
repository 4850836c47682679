// SPDX-License-Identifier: BSD-3-Clause
// The path MTU towards a UE, learned from ICMP "too big" about an ESP packet that we have sent (RFC
// 4301 8.2.1, RFC 1191, RFC 8201). Whoever cannot quote a live SA of ours with a number it has just
// used teaches nothing; nobody can raise an MTU, nor lower it beneath what every host must take
// (RFC 8200 5: 1280; 576 for IPv4).
//
// The quote is ciphertext, so the error cannot be translated for the host that sent the packet: it
// is kept, on every SA of the UE, for what comes next. It is looked at only when a packet is too
// large or a SYN passes, and forgotten then when it is too old.
#pragma once

#include <cstdint>

#include "dataplane/packet.h"
#include "dataplane/spd.h"
#include "dataplane/steering.h"
#include "dataplane/token_bucket.h"

namespace gmesp {

constexpr uint64_t kPathMtuLifetimeS = 600;  // RFC 1191 6.3, RFC 8201 4: ten minutes
// What an error may quote: older numbers are no news, and easier to know.
constexpr uint32_t kPathMtuRecentPackets = 65536;

// Time as OutboundSa's record keeps it: 2^30 cycles, 0.2 to 0.5 s.
constexpr uint32_t path_mtu_tick(uint64_t tsc) { return static_cast<uint32_t>(tsc >> 30); }

// The lifetime in ticks of a clock of 8 GHz: with any slower one it is shorter.
constexpr uint32_t kPathMtuMostTicks = path_mtu_tick(kPathMtuLifetimeS * 8'000'000'000);

// Makes sa.path_mtu 0, which is the access MTU, once it is too old. An end further away than any
// lifetime is from before a jump of the clock, and past.
inline void forget_old_path_mtu(Spd& spd, OutboundSa& sa, uint64_t now_tsc) {
  if (sa.path_mtu == 0) return;
  const uint32_t until = spd.sas().record(sa).path_mtu_until;
  const uint32_t left = until - path_mtu_tick(now_tsc);
  if (left == 0 || left > kPathMtuMostTicks) sa.path_mtu = 0;
}

inline uint16_t mtu_towards(const OutboundSa& sa, uint16_t access_mtu) {
  return sa.path_mtu == 0 ? access_mtu : sa.path_mtu;
}

class PathMtu {
 public:
  static constexpr uint32_t kLessonsPerSecond = 100;
  // Anybody can send what looks like a lesson, and to see that it is none costs two lines that are
  // in no cache: beyond this it is dropped unseen. True ones come by the hundred at most.
  static constexpr uint32_t kLooksPerSecond = 20'000;
  static constexpr uint32_t kLooksAtOnce = 256;

  PathMtu(uint16_t access_mtu, uint64_t tsc_hz, Spd& spd, Steerer& steerer)
      : access_mtu_(access_mtu),
        lifetime_tsc_(kPathMtuLifetimeS * tsc_hz),
        spd_(spd),
        steerer_(steerer),
        looks_(kLooksPerSecond, kLooksAtOnce, tsc_hz),
        lessons_(kLessonsPerSecond, kLessonsPerSecond, tsc_hz) {}

  // A stage for cleartext from the access port: passes all but ICMP errors that quote ESP, which
  // are for nobody but us (icmp_about_esp), or for the worker that owns the quoted UE (taken; at a
  // bounded rate, and what is beyond it ends here).
  // Drops: steering_full too.
  Verdict hear(Packet& packet, uint64_t now_tsc);

 private:
  struct Quote;
  // Whether it names a live SA, a number that one has just used, and less than is known by now.
  bool is_news(const Quote& quote, uint32_t mtu, uint64_t now_tsc);
  void learn(const Quote& quote, uint32_t mtu, uint64_t now_tsc);

  const uint16_t access_mtu_;
  const uint64_t lifetime_tsc_;
  Spd& spd_;
  Steerer& steerer_;
  Throttle looks_;
  Throttle lessons_;
};

}  // namespace gmesp
