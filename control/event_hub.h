// SPDX-License-Identifier: BSD-3-Clause
// What happens in the engine by itself, told to whoever listens: clients that monitor, the log,
// rings of libgmesp. A listener is called on the control thread while the event happens, possibly
// inside SaManager or Registrar: it takes a note and returns; it sends nothing and calls nobody.
#pragma once

#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "control/audit.h"
#include "control/registration/set_event.h"
#include "control/sa_manager.h"
#include "dataplane/counters.h"
#include "dataplane/thread_role.h"

namespace gmesp {

// A drop reason whose counter has grown within the last second.
struct DropNotice {
  Drop reason{};
  uint64_t count = 0;  // packets since it was looked at before
};

struct Event {
  int64_t when_ms = 0;  // monotonic
  std::variant<SetEvent, SaUseNotice, DropNotice, AuditNotice> what;
};
static_assert(std::is_trivially_copyable_v<Event>, "listeners keep as many as they like");

// What a listener asks for.
struct EventKinds {
  bool ue = false;    // SetEvent
  bool sa = false;    // SaUseNotice: SAs of no set
  bool drop = false;  // DropNotice
  bool audit = false;

  bool contains(const Event& event) const {
    if (std::holds_alternative<SetEvent>(event.what)) return ue;
    if (std::holds_alternative<AuditNotice>(event.what)) return audit;
    return std::holds_alternative<SaUseNotice>(event.what) ? sa : drop;
  }
};
inline constexpr EventKinds kAllEvents{true, true, true, true};

class EventHub {
 public:
  using Listener = std::function<void(const Event&)>;

  // For as long as the hub lives.
  void listen(Listener listener) { listeners_.push_back(std::move(listener)); }
  void post(const Event& event) const ON(control_thread) {
    for (const Listener& listener : listeners_) listener(event);
  }

 private:
  std::vector<Listener> listeners_;
};

}  // namespace gmesp
