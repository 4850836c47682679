// SPDX-License-Identifier: BSD-3-Clause
// Both ends of Gm in one test: an engine of role ue and one of role pcscf, each with real workers,
// a SaManager and a Registrar, a clock in the test's hand, and a wire between their access ports.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/registration/registrar.h"
#include "control/sa_manager.h"
#include "tests/control_rig.h"
#include "tests/packet_builder.h"

namespace gmesp {

inline constexpr std::string_view kImpi = "001010000000001@ims.mnc001.mcc001.3gppnetwork.org";
inline constexpr std::string_view kImpu = "sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org";
inline constexpr uint32_t kExpires_s = 600000;

// Not a temporary: g++ 12 takes the parts of one for uninitialised.
inline const RegistrarConfig kPlainConfig;

struct TestClock {
  int64_t ms = 1'000'000;
  int64_t between_looks_ms = 0;  // what passes from one look at it to the next
  Registrar::Clock clock() {
    return [this] { return std::chrono::milliseconds(ms += between_looks_ms); };
  }
};

// Different for every n.
inline std::array<uint8_t, 16> test_key(uint32_t n) {
  std::array<uint8_t, 16> key{};
  for (size_t i = 0; i < key.size(); ++i)
    key[i] = static_cast<uint8_t>(n >> (i % 4 * 8)) ^ uint8_t(i * 37);
  return key;
}

class GmEnd {
 public:
  GmEnd(Role role, TestClock& clock, const RegistrarConfig& config, size_t capacity)
      : rig({.capacity = capacity, .role = role}),
        proxies(rig.channel_pointers()),
        sas(rig.limits, rig.policy, rig.steering, rig.keys, proxies),
        registrar(config, sas, clock.clock()) {
    rig.policy.protected_ports.set(config.port_ps);
    for (const uint16_t port : config.port_pc) rig.policy.protected_ports.set(port);
    registrar.on_event([this](const SetEvent& event) { events.push_back(event); });
  }

  // Runs workers, manager and timers until nobody owes anything.
  void settle() ON(control_thread) {
    do {
      rig.poll_workers();
      proxies.poll();
      while (registrar.tick()) {
      }
    } while (proxies.waiting());
    rig.poll_workers();
    proxies.poll();
  }
  // What a call that answers later answers in the end; what it throws.
  template <typename Call>
  std::optional<Refusal> outcome(Call&& call) ON(control_thread) {
    std::optional<Refusal> result = Refusal::kCount;  // never answered
    try {
      call([&](std::optional<Refusal> refusal) { result = refusal; });
    } catch (const Refused& refused) {
      return refused.refusal();
    }
    settle();
    return result;
  }
  size_t heard(SetEventKind kind, SetHandle handle) const {
    return static_cast<size_t>(std::ranges::count_if(events, [&](const SetEvent& event) {
      return event.kind == kind && event.handle == handle;
    }));
  }
  bool knows(SetHandle handle) ON(control_thread) {
    try {
      registrar.view(handle);
      return true;
    } catch (const Refused& refused) {
      EXPECT_EQ(refused.refusal(), Refusal::unknown_handle);
      return false;
    }
  }
  SetState state(SetHandle handle) ON(control_thread) { return registrar.view(handle).state; }
  std::chrono::seconds left(SetHandle handle) ON(control_thread) {
    return std::chrono::duration_cast<std::chrono::seconds>(registrar.view(handle).left);
  }
  size_t live_sas() const { return count_all(sas); }

  ControlRig rig;
  WorkerProxies proxies;
  SaManager sas;
  Registrar registrar;
  std::vector<SetEvent> events;
};

// One registration's set as the two ends name it.
struct Pair {
  SetHandle ue = kNoSet;
  SetHandle pcscf = kNoSet;
};

struct Phone {
  Address address = kUe4;
  Address pcscf = kPcscf4;
  std::string_view impi = kImpi;
  std::string_view impu = kImpu;
};

class GmLab {
 public:
  explicit GmLab(const RegistrarConfig& config = kPlainConfig) : GmLab(config, config) {}
  GmLab(const RegistrarConfig& ue_config, const RegistrarConfig& pcscf_config, size_t capacity = 64)
      : ue(Role::ue, clock, ue_config, capacity),
        pcscf(Role::pcscf, clock, pcscf_config, capacity) {}

  // SM1, at both ends. over: the set that it goes over.
  Pair offer(const Phone& phone = {}, Pair over = {}) ON(control_thread) {
    const std::string_view impus[] = {phone.impu};
    RegisterCall call{
        .ue = phone.address, .pcscf = phone.pcscf, .impi = phone.impi, .impus = impus};
    call.over = over.ue;
    const RegisterAnswer client = ue.registrar.registered(call);
    call.over = over.pcscf;
    call.client = &client.ours;
    client_header = client.ours;
    const RegisterAnswer server = pcscf.registrar.registered(call);
    server_header = server.ours;
    return {client.handle, server.handle};
  }
  // SM6: fresh keys, the P-CSCF first.
  void challenge(Pair set) ON(control_thread) {
    const auto ck = test_key(++keys_), ik = test_key(++keys_);
    const SecurityAgreement server = pcscf.registrar.view(set.pcscf).ours;
    EXPECT_EQ(pcscf.outcome([&](Registrar::Done done) ON(control_thread) {
      pcscf.registrar.challenge(set.pcscf, ImsKey(ck), ImsKey(ik), nullptr, std::move(done));
    }),
              std::nullopt);
    EXPECT_EQ(ue.outcome([&](Registrar::Done done) ON(control_thread) {
      ue.registrar.challenge(set.ue, ImsKey(ck), ImsKey(ik), &server, std::move(done));
    }),
              std::nullopt);
  }
  // SM7.
  bool respond(Pair set) ON(control_thread) {
    const bool arrived = request_up(set);
    const SecurityAgreement verify = pcscf.registrar.view(set.pcscf).ours;
    const SecurityAgreement client = ue.registrar.view(set.ue).ours;
    pcscf.registrar.response(set.pcscf, &verify, &client);
    return arrived;
  }
  // The same at the P-CSCF alone, of a UE that sent this Security-Client.
  void answer(SetHandle set, const SecurityAgreement& client) ON(control_thread) {
    const SecurityAgreement verify = pcscf.registrar.view(set).ours;
    pcscf.registrar.response(set, &verify, &client);
  }
  // The P-CSCF's half of SM12: before the 200 OK leaves.
  void ok_at_pcscf(Pair set, uint32_t expires_s = kExpires_s) ON(control_thread) {
    EXPECT_EQ(pcscf.outcome([&](Registrar::Done done) ON(control_thread) {
      pcscf.registrar.ok(set.pcscf, expires_s, std::move(done));
    }),
              std::nullopt);
  }
  void ok_at_ue(Pair set, uint32_t expires_s = kExpires_s) ON(control_thread) {
    EXPECT_EQ(ue.outcome([&](Registrar::Done done) ON(control_thread) {
      ue.registrar.ok(set.ue, expires_s, std::move(done));
    }),
              std::nullopt);
  }
  // SM1 to SM12 and the 200 OK.
  Pair enrol(const Phone& phone = {}, Pair over = {}) ON(control_thread) {
    const Pair set = offer(phone, over);
    challenge(set);
    EXPECT_TRUE(respond(set));
    ok_at_pcscf(set);
    EXPECT_TRUE(request_down(set));
    ok_at_ue(set);
    return set;
  }

  // UDP: both ends send from their client port to the other's server port (SPEC 7.1).
  bool request_up(Pair set) ON(control_thread) {
    const SetView view = ue.registrar.view(set.ue);
    return goes_up(view, view.ue.port_c, view.pcscf.port_s);
  }
  bool request_down(Pair set) ON(control_thread) {
    const SetView view = pcscf.registrar.view(set.pcscf);
    return goes_down(view, view.pcscf.port_c, view.ue.port_s);
  }
  bool goes_up(const SetView& set, uint16_t from, uint16_t to, bool tcp = false)
      ON(control_thread) {
    return carry(ue, pcscf, packet(set.ue.address, set.pcscf.address, from, to, tcp));
  }
  bool goes_down(const SetView& set, uint16_t from, uint16_t to, bool tcp = false)
      ON(control_thread) {
    return carry(pcscf, ue, packet(set.pcscf.address, set.ue.address, from, to, tcp));
  }
  // The plain frame through both engines. True: it came out as it went in, and was ESP between.
  bool carry(GmEnd& from, GmEnd& to, const Frame& frame) ON(control_thread) {
    from.rig.host.feed(0, frame);
    from.settle();
    const std::vector<Frame> on_wire = from.rig.access.take_sent();
    if (on_wire.size() != 1 || on_wire[0].size() <= frame.size()) return false;
    wire = on_wire[0];
    wire_spi = spi_of(wire);
    return arrives(to, wire) == frame;
  }
  // What comes out of the host port for a frame on the wire; nothing: it was dropped.
  static std::optional<Frame> arrives(GmEnd& to, const Frame& on_wire) ON(control_thread) {
    to.rig.access.feed(0, on_wire);
    to.settle();
    const std::vector<Frame> out = to.rig.host.take_sent();
    return out.size() == 1 ? std::optional(out[0]) : std::nullopt;
  }
  void pass_time(std::chrono::milliseconds time) ON(control_thread) {
    clock.ms += time.count();
    ue.settle();
    pcscf.settle();
  }

  TestClock clock;
  GmEnd ue;
  GmEnd pcscf;
  SecurityAgreement client_header;  // of the last offer()
  SecurityAgreement server_header;
  Frame wire;  // the last packet that carry() saw between the two, and its SPI
  Spi wire_spi{};

 private:
  static Frame packet(const Address& source, const Address& destination, uint16_t from, uint16_t to,
                      bool tcp) {
    PacketBuilder builder;
    builder.ip(source, destination);
    tcp ? builder.tcp(from, to) : builder.udp(from, to);
    return builder.payload("SIP").frame();
  }
  static Spi spi_of(const Frame& frame) {
    const size_t esp = frame[12] == 0x08 ? 14 + 20 : 14 + 40;
    return Spi{uint32_t{frame[esp]} << 24 | uint32_t{frame[esp + 1]} << 16 |
               uint32_t{frame[esp + 2]} << 8 | frame[esp + 3]};
  }

  uint32_t keys_ = 0;
};

}  // namespace gmesp
