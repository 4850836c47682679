// SPDX-License-Identifier: BSD-3-Clause
// The time stamp counter of a machine that was suspended or moved may jump: to 0, back, far ahead.
// What waits for a time must not wait until the old time comes again.
#include <ostream>

#include "dataplane/path_mtu.h"
#include "tests/fragments.h"
#include "tests/path_lab.h"

namespace gmesp {
namespace {

constexpr uint64_t kSecond = PathLab::kTscHz;
constexpr uint64_t kTimeoutS = 5;
constexpr uint32_t kHoldS = 128;

const TestSa kIn{Suite::sha1_aes_cbc, 0x10002, {kUe6, kPcscf6, kUePort, kPcscfPort}};
const TestSa kOut{Suite::sha1_aes_cbc, 0x20003, {kPcscf6, kUe6, kPcscfPort, kUePort}};

PacketBuilder request() {
  return PacketBuilder().ip(kUe6, kPcscf6).udp(kUePort, kPcscfPort).payload(100);
}
PacketBuilder answer(size_t bytes = 100) {
  return PacketBuilder().ip(kPcscf6, kUe6).udp(kPcscfPort, kUePort).payload(bytes);
}

struct Jump {
  const char* name;
  uint64_t from;
  uint64_t to;
  bool goes_on = false;  // no jump: the counter's end is six cycles before its 5

  friend void PrintTo(const Jump& jump, std::ostream* stream) { *stream << jump.name; }
};
constexpr uint64_t kLate = 9'000'000'000'000'000'000;  // half of the counter
constexpr uint64_t kDay = 86'400 * kSecond;
constexpr Jump kJumps[] = {
    {"to_0", kLate, 0},
    {"back", kLate, kLate / 2},
    {"a_day_back", kLate, kLate - kDay},
    {"an_hour_ahead", 1'000'000, 3600 * kSecond},
    {"far_ahead", 1'000'000, kLate},
    {"near_the_end", 5, UINT64_MAX - kDay},
    {"over_the_end", UINT64_MAX, 5, true},
};

class ClockJump : public testing::TestWithParam<Jump> {
 protected:
  static Policy policy_of(Role role) {
    Policy policy = open_policy();
    policy.role = role;
    policy.protected_port_hold_s = kHoldS;
    return policy;
  }
  static bool goes_on() { return GetParam().goes_on; }
};

TEST(ClockJumps, StopNoTraffic) {
  Policy policy = open_policy();
  PathLab lab(policy);
  lab.install_in(kIn);
  lab.install_out(kOut);
  uint32_t number = 0;
  uint16_t gone = 7000;
  for (const uint64_t tsc : {uint64_t{1'000'000}, uint64_t{0}, UINT64_MAX, uint64_t{5},
                             uint64_t{1} << 63, uint64_t{1} << 62, UINT64_MAX - 1, uint64_t{0}}) {
    lab.now_tsc = tsc;
    SCOPED_TRACE(tsc);
    const PacketBuilder packet = request();
    const Frame esp = PacketBuilder(packet).esp(kIn, ++number).frame();
    EXPECT_EQ(lab.in(esp), passed(packet));
    EXPECT_EQ(lab.in(esp), dropped(Drop::replayed));
    const PacketBuilder clear = PacketBuilder().udp(5060, 5060);
    EXPECT_EQ(lab.in(clear), passed(clear));
    EXPECT_EQ(lab.out(answer()).frames.size(), 1u);
    lab.out(PacketBuilder().ip(kPcscf4, kUe4).fragment_bits(0x2000).udp(1, 2).payload(64));
    // A port's hold time over the jump (role ue): taken and given back, whatever the time.
    lab.ports.add(gone);
    lab.ports.remove(gone++, tsc);
  }
  EXPECT_EQ(lab.counters.protected_out, 8u);
}

// All that waits ends at once with a jump, back too: its age cannot be known.
TEST_P(ClockJump, FragmentsWaitForTheirTimeoutAndNoLonger) {
  PathLab lab;
  lab.install_in(kIn);
  const Fragmenter whole(request().esp(kIn, 1));
  const std::vector<Frame> halves = whole.fragments({64});
  const Frame outward = Fragmenter(answer()).fragment({0, 64});
  lab.now_tsc = GetParam().from;
  EXPECT_EQ(lab.in(halves[0]), (Outcome{}));
  EXPECT_EQ(lab.out(outward), (Outcome{}));
  lab.now_tsc = GetParam().to;
  EXPECT_EQ(lab.expire(0), goes_on() ? (Outcome{}) : dropped(Drop::fragment_timeout, 2));
  EXPECT_EQ(lab.counters.fragments_held, goes_on() ? 2u : 0u);

  if (!goes_on()) {
    EXPECT_EQ(lab.in(halves[0]), (Outcome{}));
    EXPECT_EQ(lab.out(outward), (Outcome{}));
  }
  EXPECT_EQ(lab.expire(kSecond), (Outcome{})) << "it waits on the new clock";
  EXPECT_EQ(lab.in(halves[1]), passed(request()));
  EXPECT_EQ(lab.expire(kTimeoutS * kSecond), dropped(Drop::fragment_timeout));
  EXPECT_EQ(lab.counters.fragments_held, 0u);
}

// INT-35.
TEST_P(ClockJump, PortsAreHeldForTheirTimeAndNoLonger) {
  const Policy policy = policy_of(Role::ue);
  PathLab lab(policy);
  const PacketBuilder clear = PacketBuilder().ip(kPcscf6, kUe6).udp(1, kUePort);
  const PacketBuilder other = PacketBuilder().ip(kPcscf6, kUe6).udp(1, kUePort + 1);
  const auto is_held = [&] { return lab.in(clear) == dropped(Drop::cleartext_on_protected_port); };
  const auto give_back = [&] {
    lab.ports.add(kUePort);
    lab.ports.remove(kUePort, lab.now_tsc);
  };
  lab.now_tsc = GetParam().from;
  give_back();
  EXPECT_TRUE(is_held());
  EXPECT_EQ(lab.in(other), passed(other)) << "a port that never was one";
  lab.now_tsc = GetParam().to;
  EXPECT_EQ(is_held(), goes_on());
  EXPECT_EQ(lab.in(other), passed(other));

  give_back();
  EXPECT_TRUE(is_held());
  lab.now_tsc += kHoldS * kSecond - 1;
  EXPECT_TRUE(is_held());
  lab.now_tsc += 1;
  EXPECT_FALSE(is_held());
}

// RFC 1191 6.3.
TEST_P(ClockJump, PathMtusAreKeptForTheirTimeAndNoLonger) {
  PathLab lab;
  lab.install_out(kOut, 1000);
  const auto learn = [&] {
    lab.in(PacketBuilder()
               .ip(*parse_address("2001:db8:9::1"), kPcscf6)
               .icmp_error(2, 0, 1300, answer(1400).esp(kOut, 1000).ip_packet()));
  };
  // What a large packet becomes: two fragments on the narrow path, one packet on a whole one.
  const auto packets = [&] { return lab.out(answer(1400)).frames.size(); };
  lab.now_tsc = GetParam().from;
  learn();
  EXPECT_EQ(packets(), 2u);
  lab.now_tsc = GetParam().to;
  EXPECT_EQ(packets(), goes_on() ? 2u : 1u);

  learn();
  EXPECT_EQ(packets(), 2u);
  lab.now_tsc += (kPathMtuLifetimeS - 2) * kSecond;
  EXPECT_EQ(packets(), 2u);
  lab.now_tsc += 4 * kSecond;
  EXPECT_EQ(packets(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Of, ClockJump, testing::ValuesIn(kJumps),
                         [](const testing::TestParamInfo<Jump>& info) { return info.param.name; });

// The workers share the ports, and the round of one may have begun before that of the one that
// gives a port back.
TEST(PortHold, CountsForARoundThatBeganBeforeIt) {
  Policy policy = open_policy();
  policy.role = Role::ue;
  policy.protected_port_hold_s = 1;
  PathLab lab(policy);
  lab.ports.add(kUePort);
  lab.ports.remove(kUePort, lab.now_tsc + 1000);
  EXPECT_EQ(lab.in(PacketBuilder().ip(kPcscf6, kUe6).udp(1, kUePort)),
            dropped(Drop::cleartext_on_protected_port));
}

}  // namespace
}  // namespace gmesp
