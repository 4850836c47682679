// SPDX-License-Identifier: BSD-3-Clause
// Role ue: the ports that one worker's SAs protect, and for how long.
#include <initializer_list>

#include "tests/worker_lab.h"

namespace gmesp {
namespace {

constexpr SaIndex kIndex{7};

// INT-35, on the worker's own clock: the tsc_hz of the lab is 1 GHz.
TEST(WorkerPorts, HoldsThePortsOfAUesSaAfterItsEnd) {
  const AssumeRole role(worker_thread);
  for (const uint32_t hold_s : {0u, 1000u}) {
    WorkerLab::Shape shape;
    shape.policy.role = Role::ue;
    shape.policy.protected_port_hold_s = hold_s;
    WorkerLab lab(shape);
    // At the UE: `in` comes from the P-CSCF, and the UE's port is local.
    const TestSa in{Suite::md5_null, 0x800, {kPcscf6, kUe6, kPcscfPort, kUePort}};
    const auto clear = [&] {
      lab.access.feed(0, PacketBuilder().ip(kPcscf6, kUe6).udp(1, kUePort).frame());
    };
    lab.command(lab.install_in(in, kIndex));
    clear();
    lab.settle();
    EXPECT_EQ(lab.counters(0)[Drop::cleartext_on_protected_port], 1u);
    lab.command(DeleteSa{Direction::in, kIndex});
    lab.settle();
    clear();
    lab.settle();
    EXPECT_EQ(lab.counters(0)[Drop::cleartext_on_protected_port], hold_s == 0 ? 1u : 2u);
  }
}

// INT-35: second ports are protected and held like the selector's, either direction.
TEST(WorkerPorts, ProtectsTheSecondLocalPortOfAUesSaToo) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.policy.role = Role::ue;
  shape.policy.protected_port_hold_s = 0;
  WorkerLab lab(shape);
  TestSa in{Suite::md5_null, 0x800, {kPcscf6, kUe6, kPcscfPort, kUePort}};
  in.alternate = {6102, 5101};
  TestSa out{Suite::md5_null, 0x801, {kUe6, kPcscf6, kUePort, kPcscfPort}};
  out.alternate = {5102, 6102};
  lab.command(lab.install_in(in, kIndex));
  lab.command(lab.install_out(out, kIndex));
  const auto dropped = [&]() ON(worker_thread) {
    const uint64_t before = lab.counters(0)[Drop::cleartext_on_protected_port];
    for (const uint16_t port : std::initializer_list<uint16_t>{5101, 5102, 6102, 5103}) {
      lab.access.feed(0, PacketBuilder().ip(kPcscf4, kUe4).udp(1, port).frame());
    }
    lab.settle();
    return lab.counters(0)[Drop::cleartext_on_protected_port] - before;
  };
  EXPECT_EQ(dropped(), 2u);
  lab.command(DeleteSa{Direction::in, kIndex});
  EXPECT_EQ(dropped(), 1u);
  lab.command(DeleteSa{Direction::out, kIndex});
  EXPECT_EQ(dropped(), 0u);
}

}  // namespace
}  // namespace gmesp
