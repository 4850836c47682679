// SPDX-License-Identifier: BSD-3-Clause
// What happens to sets by itself, for whoever asked to hear of it: libgmesp's clients, `gmespctl
// monitor`, the log.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "control/registration/sa_set.h"

namespace gmesp {

enum class SetEventKind : uint8_t {
  temporary_used,  // first packet on a temporary set: SM7 (DESIGN 4)
  taken_into_use,  // first packet after establishment, or the set before it has expired (PUB-04,
                   // PUB-05)
  retired,         // old from now on: lives 64*T1 at most
  authentication_timeout,  // a set that was never established has gone (INT-60, 61, 76)
  expired,                 // its lifetime has ended (PUB-09)
  deleted,                 // gone, by a call or a rule
  sequence_soft_limit,     // of one of its SAs: register again soon (RFC 4303 3.3.3)
  sequence_exhausted,      // one of its SAs sends nothing any more
  icv_failures,            // a burst of packets with a bad ICV on one of its SAs
  kCount
};
std::string_view name(SetEventKind kind);  // "temporary_used", ...

struct SetEvent {
  SetEventKind kind{};
  SetState state{};  // after the event
  SetHandle handle{};
  int64_t when_ms = 0;  // monotonic
};
using SetEventHandler = std::function<void(const SetEvent&)>;

}  // namespace gmesp
