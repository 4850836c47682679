// SPDX-License-Identifier: BSD-3-Clause
// UEs for tests of several workers: who they are, what they say, and where they belong.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "tests/worker_lab.h"

namespace gmesp {

// The n-th UE and what it says to the P-CSCF and hears from it; n-th of either family by turns.
struct Ue {
  explicit Ue(uint32_t n)
      : address(n % 2 == 0 ? *parse_address("192.0.2." + std::to_string(10 + n))
                           : *parse_address("2001:db8:1::" + std::to_string(10 + n))),
        pcscf(n % 2 == 0 ? kPcscf4 : kPcscf6),
        in{kSuites[n % kSuiteCount].suite, 0x1000 + n, {address, pcscf, kUePort, kPcscfPort}},
        out{kSuites[n % kSuiteCount].suite, 0x2000 + n, {pcscf, address, kPcscfPort, kUePort}},
        index{n} {}
  PacketBuilder request() const {
    return PacketBuilder().ip(address, pcscf).udp(kUePort, kPcscfPort).payload("REGISTER");
  }
  PacketBuilder answer() const {
    return PacketBuilder().ip(pcscf, address).udp(kPcscfPort, kUePort).payload("200 OK");
  }

  Address address;
  Address pcscf;
  TestSa in;
  TestSa out;
  SaIndex index;
};

inline constexpr uint32_t kUes = 40;

inline std::vector<Ue> all_ues() {
  std::vector<Ue> ues;
  for (uint32_t n = 0; n < kUes; ++n) ues.emplace_back(n);
  return ues;
}

// The first that this worker owns.
inline Ue ue_of(const WorkerLab& lab, size_t worker) {
  const std::vector<Ue> ues = all_ues();
  return *std::find_if(ues.begin(), ues.end(),
                       [&](const Ue& ue) { return lab.owner(ue.in) == worker; });
}

inline void install_all(WorkerLab& lab, const std::vector<Ue>& ues) {
  for (const Ue& ue : ues) {
    const size_t owner = lab.owner(ue.in);
    EXPECT_EQ(owner, lab.owner(ue.out)) << "both directions of a UE end at one worker";
    lab.command(lab.install_in(ue.in, ue.index), owner);
    lab.command(lab.install_out(ue.out, ue.index), owner);
  }
}

inline void feed_all(WorkerLab& lab, const std::vector<Ue>& ues, uint32_t round) {
  for (const Ue& ue : ues) {
    const size_t queue = (round + static_cast<uint32_t>(ue.index)) % lab.access.rx_queues();
    lab.access.feed(queue, ue.request().esp(ue.in, round).frame());
    lab.host.feed(queue, ue.answer().frame());
  }
}

inline Address other_host(uint32_t n) { return *parse_address("203.0.113." + std::to_string(n)); }

struct WorkersRow {
  size_t workers;
  size_t queues;
};
inline constexpr WorkersRow kWorkersRows[] = {{2, 1}, {2, 2}, {4, 1}, {4, 2}, {4, 4}};

}  // namespace gmesp
