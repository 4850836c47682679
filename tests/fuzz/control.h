// SPDX-License-Identifier: BSD-3-Clause
// What the fuzzers of the control interfaces share: SAs, registrations, rings and commands as in
// gmespd, with one worker that runs when it is told to and a clock that stands still until then.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <cstdint>

#include "control/commands.h"
#include "control/registration/registrar.h"
#include "control/ring_server.h"
#include "tests/control_rig.h"
#include "tests/fuzz/fuzz.h"

namespace gmesp {

// What a refused call must leave as it was.
struct ControlState {
  size_t sas = 0;
  std::array<size_t, 4> sets{};
  size_t registrations = 0;

  friend bool operator==(const ControlState&, const ControlState&) = default;
};

inline bool is_refusal_code(std::string_view code) {
  return std::ranges::any_of(kRefusalInfo,
                             [&](const RefusalInfo& info) { return info.code == code; });
}

class FuzzControl {
 public:
  explicit FuzzControl(Role role)
      : rig_(rig_of(role)),
        proxies(rig_.channel_pointers()),
        sas(rig_.limits, rig_.policy, rig_.steering, rig_.keys, proxies),
        registrar(config(), sas, [this] { return now; }),
        rings(epoll_.get(), registrar, role),
        commands({rig_.info, rig_.keys, proxies, sas, registrar, rings, audit, policy}) {
    registrar.on_event([this](const SetEvent& event) {
      const AssumeRole assumed(control_thread);
      rings.on_event(event);
    });
  }
  // Nothing of a set is left when all have been told to go: SAs, events, packets.
  ~FuzzControl() {
    const AssumeRole role(control_thread);
    registrar.remove_all([](std::optional<Refusal>) {});
    sas.flush([](size_t) {});
    settle();
    now += std::chrono::hours(1000);
    settle();
    CHECK(state() == ControlState{});
    CHECK(live_packets() == 0);
    CHECK(rig_.channels[0]->events.read_available() == 0);
  }

  // One round of the control thread.
  void round() ON(control_thread) {
    epoll_event events[8];
    const int count = epoll_wait(epoll_.get(), events, std::size(events), 0);
    for (int i = 0; i < count; ++i) rings.on_ready(events[i].data.u64, events[i].events);
    rings.poll();
    rig_.poll_workers();
    proxies.poll();
    while (registrar.tick()) {
    }
  }
  void settle() ON(control_thread) {
    do {
      round();
    } while (rings.poll() || proxies.waiting());
    round();
  }
  ControlState state() const {
    ControlState state;
    state.sas = count_all(sas);
    for (size_t i = 0; i < state.sets.size(); ++i) {
      state.sets[i] = registrar.count(static_cast<SetState>(i));
    }
    state.registrations = registrar.registrations();
    return state;
  }

 private:
  // To make a worker takes 20 ms; it holds nothing when its SAs have gone.
  static ControlRig& rig_of(Role role) {
    static std::array<ControlRig*, 2> rigs{};
    ControlRig*& rig = rigs[role == Role::ue ? 1 : 0];
    if (rig == nullptr) rig = new ControlRig({.capacity = 32, .key_slots = 256, .role = role});
    return *rig;
  }
  static RegistrarConfig config() {
    RegistrarConfig config;
    config.capacity = 16;  // so that the table can be full
    return config;
  }

  ControlRig& rig_;
  FileDescriptor epoll_{epoll_create1(EPOLL_CLOEXEC)};

 public:
  std::chrono::milliseconds now{1000000};
  WorkerProxies proxies;
  SaManager sas;
  Registrar registrar;
  RingServer rings;
  Audit audit{{}, 1'000'000'000, proxies};
  PolicyKeeper policy{proxies, rig_.policy, {}};
  Commands commands;
};

}  // namespace gmesp
