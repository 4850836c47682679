// SPDX-License-Identifier: BSD-3-Clause
// Which SAs a set consists of, by form, selector rule and role.
#include "control/registration/sa_set.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <string>

#include "control/registration/set_event.h"

namespace gmesp {
namespace {

const SetEnd kUe{parse_address("2001:db8::7").value(), 31001, 31002, Spi{1236}, Spi{48734730}};
const SetEnd kPcscf{parse_address("2001:db8:ffff::1").value(), 5062, 5063, Spi{70001}, Spi{70002}};

// "in 70002 31001>5063 any", with alternates as "31001|31002".
std::string line(const SaOfSet& sa) {
  const bool from_ue = sa.selector.source == kUe.address;
  EXPECT_EQ(sa.selector.source, from_ue ? kUe.address : kPcscf.address);
  EXPECT_EQ(sa.selector.destination, from_ue ? kPcscf.address : kUe.address);
  std::ostringstream text;
  const auto write_ports = [&text](uint16_t first, uint16_t second) {
    if (first == 0) text << '*';
    if (first != 0) text << first;
    if (second != 0) text << '|' << second;
  };
  text << (sa.direction == Direction::in ? "in " : "out ") << static_cast<uint32_t>(sa.spi)
       << (from_ue ? " ue " : " pcscf ");
  write_ports(sa.selector.source_port, sa.alternate.source);
  text << '>';
  write_ports(sa.selector.destination_port, sa.alternate.destination);
  const Protocol protocol = sa.selector.protocol;
  text << (protocol == Protocol::tcp ? " tcp" : protocol == Protocol::udp ? " udp" : " any");
  return text.str();
}

using Lines = std::set<std::string>;
Lines plan(SetForm form, SelectorRule rule, Role role) {
  const SetPlan plan(form, rule, role, kUe, kPcscf);
  Lines lines;
  for (const SaOfSet& sa : plan.sas()) lines.insert(line(sa));
  EXPECT_EQ(lines.size(), plan.sas().size());
  return lines;
}

// INT-22, INT-30: the receiver's SPI, both ends' ports; SPEC 0.1: the four SAs of the published
// set.
TEST(SetPlan, ThePublishedSetHasFourSasByClientAndServerPort) {
  EXPECT_EQ(plan(SetForm::published, SelectorRule::strict, Role::pcscf),
            (Lines{"in 70002 ue 31001>5063 any", "out 1236 pcscf 5063>31001 any",
                   "out 48734730 pcscf 5062>31002 any", "in 70001 ue 31002>5062 any"}));
}

// INT-08: a pair for TCP and one for UDP; INT-34: the P-CSCF may send from any port.
TEST(SetPlan, ASetOf2002HasAPairPerTransport) {
  EXPECT_EQ(plan(SetForm::transport_pairs, SelectorRule::strict, Role::pcscf),
            (Lines{"in 70001 ue 31001>5062 tcp", "out 1236 pcscf *>31001 tcp",
                   "in 70002 ue 31002>5063 udp", "out 48734730 pcscf *>31002 udp"}));
}

// PRS-04
TEST(SetPlan, ASinglePairIsByTheServerPorts) {
  const Lines pair{"in 70002 ue 31002>5063 any", "out 48734730 pcscf 5063>31002 any"};
  EXPECT_EQ(plan(SetForm::single_pair, SelectorRule::strict, Role::pcscf), pair);
  EXPECT_EQ(plan(SetForm::single_pair, SelectorRule::ports_of_set, Role::pcscf), pair);
}

// SPEC 6, 9.1 weakness 2: uc->pc and us->ps come in as well, ps->us and pc->uc go out, each under
// the SPI that its destination port has.
TEST(SetPlan, PortsOfTheSetMayBeCombined) {
  EXPECT_EQ(
      plan(SetForm::published, SelectorRule::ports_of_set, Role::pcscf),
      (Lines{"in 70002 ue 31001|31002>5063|5062 any", "out 1236 pcscf 5063|5062>31001 any",
             "out 48734730 pcscf 5062|5063>31002 any", "in 70001 ue 31002|31001>5062|5063 any"}));
  EXPECT_EQ(plan(SetForm::transport_pairs, SelectorRule::ports_of_set, Role::pcscf),
            (Lines{"in 70001 ue 31001|31002>5062|5063 tcp", "out 1236 pcscf *>31001 tcp",
                   "in 70002 ue 31002|31001>5063|5062 udp", "out 48734730 pcscf *>31002 udp"}));
}

// Another point of view, the same SAs: what goes out here comes in there, with one SPI and
// selector.
TEST(SetPlan, TheUesPlanIsThePcscfsMirrored) {
  for (const SetForm form : {SetForm::published, SetForm::transport_pairs, SetForm::single_pair}) {
    Lines mirrored;
    for (const std::string& line : plan(form, SelectorRule::strict, Role::pcscf)) {
      std::string other = line.starts_with("in ") ? "out " : "in ";
      mirrored.insert(other.append(line, line.find(' ') + 1));
    }
    EXPECT_EQ(plan(form, SelectorRule::strict, Role::ue), mirrored);
  }
  EXPECT_EQ(
      plan(SetForm::published, SelectorRule::ports_of_set, Role::ue),
      (Lines{"out 70002 ue 31001|31002>5063 any", "in 1236 pcscf 5063|5062>31001|31002 any",
             "in 48734730 pcscf 5062|5063>31002|31001 any", "out 70001 ue 31002|31001>5062 any"}));
  EXPECT_EQ(plan(SetForm::transport_pairs, SelectorRule::ports_of_set, Role::ue),
            (Lines{"out 70001 ue 31001|31002>5062 tcp", "in 1236 pcscf *>31001|31002 tcp",
                   "out 70002 ue 31002|31001>5063 udp", "in 48734730 pcscf *>31002|31001 udp"}));
}

TEST(SetPlan, StatesFormsRulesAndEventsHaveNames) {
  EXPECT_EQ(name(SetState::offered), "offered");
  EXPECT_EQ(name(SetState::temporary), "temporary");
  EXPECT_EQ(name(SetState::established), "established");
  EXPECT_EQ(name(SetState::old), "old");
  EXPECT_EQ(name(SetForm::published), "published");
  EXPECT_EQ(name(SetForm::transport_pairs), "transport-pairs");
  EXPECT_EQ(name(SetForm::single_pair), "single-pair");
  EXPECT_EQ(name(SelectorRule::strict), "strict");
  EXPECT_EQ(name(SelectorRule::ports_of_set), "ports-of-set");
  EXPECT_EQ(name(SetEventKind::temporary_used), "temporary_used");
  EXPECT_EQ(name(SetEventKind::expired), "expired");
  EXPECT_EQ(name(SetEventKind::icv_failures), "icv_failures");
}

}  // namespace
}  // namespace gmesp
