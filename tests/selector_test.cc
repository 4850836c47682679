// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/selector.h"

#include <gtest/gtest.h>

#include <functional>

namespace gmesp {
namespace {

Address address(std::string_view text) { return *parse_address(text); }

const Flow kFlow{address("2001:db8::10"), address("2001:db8:1::5"), 5062, 5063, Protocol::udp};

Selector exact() {
  return {kFlow.source, kFlow.destination, kFlow.source_port, kFlow.destination_port,
          kFlow.protocol};
}

// RFC 4301 4.4.1.1: each of the five facts decides by itself.
TEST(Selector, MatchesOnlyWhenEveryFactAgrees) {
  EXPECT_TRUE(exact().matches(kFlow));
  const std::pair<const char*, std::function<void(Flow&)>> kChanges[] = {
      {"source", [](Flow& flow) { flow.source = address("2001:db8::11"); }},
      {"destination", [](Flow& flow) { flow.destination = address("2001:db8:1::6"); }},
      {"addresses the other way round", [](Flow& f) { std::swap(f.source, f.destination); }},
      {"source port", [](Flow& flow) { flow.source_port = 5063; }},
      {"destination port", [](Flow& flow) { flow.destination_port = 5062; }},
      {"no ports", [](Flow& flow) { flow.source_port = flow.destination_port = 0; }},
      {"protocol tcp", [](Flow& flow) { flow.protocol = Protocol::tcp; }},
      {"protocol icmpv6", [](Flow& flow) { flow.protocol = Protocol::icmpv6; }},
  };
  for (const auto& [name, change] : kChanges) {
    Flow flow = kFlow;
    change(flow);
    EXPECT_FALSE(exact().matches(flow)) << name;
  }
}

TEST(Selector, APortLeftOutMatchesAnyPort) {
  Selector selector = exact();
  selector.source_port = Selector::kAnyPort;
  for (const uint16_t port : {uint16_t{0}, uint16_t{1}, uint16_t{65535}}) {
    Flow flow = kFlow;
    flow.source_port = port;
    EXPECT_TRUE(selector.matches(flow));
    flow.destination_port = 1;
    EXPECT_FALSE(selector.matches(flow));
  }
}

// SPEC 7.2: one SA carries both; nothing else is SIP.
TEST(Selector, AnyProtocolIsUdpOrTcpAndNothingElse) {
  Selector selector = exact();
  selector.protocol = Selector::kAnyProtocol;
  selector.source_port = selector.destination_port = Selector::kAnyPort;
  for (int number = 0; number < 256; ++number) {
    Flow flow = kFlow;
    flow.protocol = static_cast<Protocol>(number);
    EXPECT_EQ(selector.matches(flow), number == 6 || number == 17) << number;
  }
}

// SPEC 6, ports-of-set: either port of the one end with either of the other, and no third one.
TEST(Selector, TakesTheSecondPortsInEveryCombination) {
  const AlternatePorts alternate{5064, 5065};
  for (const uint16_t source : std::initializer_list<uint16_t>{5062, 5064, 5063, 5065, 0}) {
    for (const uint16_t destination : std::initializer_list<uint16_t>{5063, 5065, 5062, 5064, 0}) {
      Flow flow = kFlow;
      flow.source_port = source;
      flow.destination_port = destination;
      const bool is_of_set =
          (source == 5062 || source == 5064) && (destination == 5063 || destination == 5065);
      EXPECT_EQ(exact().matches(flow, alternate), is_of_set) << source << ' ' << destination;
      // None: the selector alone, and a packet's port 0 is no alternate.
      EXPECT_EQ(exact().matches(flow, {}), exact().matches(flow)) << source << ' ' << destination;
      flow.protocol = Protocol::tcp;
      EXPECT_FALSE(exact().matches(flow, alternate));
    }
  }
  Flow other = kFlow;
  other.source = address("2001:db8::11");
  EXPECT_FALSE(exact().matches(other, alternate));
}

// From the least to the most specific: ports before the protocol.
TEST(Selector, PortsDecideBeforeTheProtocol) {
  struct Row {
    uint16_t source_port;
    uint16_t destination_port;
    Protocol protocol;
    int specificity;
  };
  constexpr Row kRows[] = {
      {0, 0, Selector::kAnyProtocol, 0},
      {0, 0, Protocol::udp, 1},
      {1, 0, Selector::kAnyProtocol, 2},
      {0, 1, Selector::kAnyProtocol, 2},
      {1, 0, Protocol::tcp, 3},
      {0, 1, Protocol::udp, 3},
      {1, 65535, Selector::kAnyProtocol, 4},
      {1, 65535, Protocol::udp, 5},
  };
  for (const Row& row : kRows) {
    const Selector selector{{}, {}, row.source_port, row.destination_port, row.protocol};
    EXPECT_EQ(selector.specificity(), row.specificity);
  }
}

}  // namespace
}  // namespace gmesp
