// SPDX-License-Identifier: BSD-3-Clause
// DESIGN 7: any bytes at all are forwarded or counted under one reason; nothing crashes, leaks or
// reads beyond a packet (run under ASan). Fixed seeds, so that a failure comes again.
#include <cstdlib>
#include <random>

#include "perf/resident_memory.h"
#include "tests/sanitizers.h"
#include "tests/worker_lab.h"

namespace gmesp {
namespace {

using Random = std::mt19937;

size_t below(Random& random, size_t bound) { return random() % bound; }

Frame random_bytes(Random& random) {
  Frame frame(below(random, 2) == 0 ? below(random, 80) : below(random, 1600));
  for (uint8_t& byte : frame) byte = static_cast<uint8_t>(random());
  return frame;
}

const TestSa kSas[] = {
    {Suite::sha1_aes_cbc, 0x1001, {kUe6, kPcscf6, kUePort, kPcscfPort}},
    {Suite::md5_null, 0x1002, {kUe4, kPcscf4, kUePort, kPcscfPort}},
    {Suite::aes_gcm, 0x1003, {kUe6, kPcscf6}},
    {Suite::sha1_des3, 0x1004, {kUe4, kPcscf4}},
};
const TestSa kOutSas[] = {
    {Suite::sha1_aes_cbc, 0x2001, {kPcscf6, kUe6, kPcscfPort, kUePort}},
    {Suite::aes_gmac, 0x2002, {kPcscf4, kUe4, kPcscfPort, kUePort}},
};

// What an ICMP error is about: ESP that was sent, perhaps, or cleartext.
Bytes quoted_packet(Random& random, const Address& pcscf, const Address& ue, uint16_t from,
                    uint16_t to) {
  PacketBuilder packet = PacketBuilder().ip(pcscf, ue).udp(from, to);
  if (below(random, 2) == 0) {
    packet.esp(kOutSas[pcscf.is_v4()], static_cast<uint32_t>(below(random, 500)));
  }
  return packet.ip_packet();
}

PacketBuilder random_packet(Random& random, bool from_ue) {
  PacketBuilder packet;
  const bool v4 = below(random, 2) == 0;
  const Address& ue = v4 ? kUe4 : kUe6;
  const Address& pcscf = v4 ? kPcscf4 : kPcscf6;
  packet.ip(from_ue ? ue : pcscf, from_ue ? pcscf : ue);
  for (size_t tags = below(random, 5); tags > 1; --tags)
    packet.vlan(static_cast<uint16_t>(random()));
  if (v4) packet.ip_options(Bytes(4 * below(random, 11), 1));
  constexpr Protocol kExtensions[] = {Protocol::hop_by_hop, Protocol::routing,
                                      Protocol::destination_options, Protocol::fragment};
  for (size_t headers = below(random, 8); !v4 && headers < 4 && headers > 0; --headers) {
    packet.extension(kExtensions[below(random, 4)]);
    if (below(random, 3) == 0) packet.inside();
  }
  constexpr uint16_t kPorts[] = {kUePort, kPcscfPort, 5060};
  const bool protected_flow = below(random, 2) == 0;
  const uint16_t from = protected_flow ? kPorts[!from_ue] : kPorts[below(random, 3)];
  const uint16_t to = protected_flow ? kPorts[from_ue] : kPorts[below(random, 3)];
  switch (below(random, 4)) {
    case 0:
      packet.tcp(from, to, static_cast<uint8_t>(random()), Bytes(4 * below(random, 11), 2));
      break;
    case 1:
      packet.icmp_error(
          static_cast<uint8_t>(below(random, 2) == 0 ? random() : 1 + below(random, 3)),
          static_cast<int>(below(random, 5)), 1280 + static_cast<uint32_t>(below(random, 250)),
          quoted_packet(random, pcscf, ue, from, to));
      break;
    default:
      packet.udp(from, to);
  }
  const size_t lengths[] = {60, 60, 60, 60, 60, 60, 1500, 9000};
  packet.payload(below(random, lengths[below(random, 8)]));
  if (v4 && below(random, 4) == 0) packet.fragment_bits(below(random, 5) == 0 ? 0x2000 : 0);
  return packet;
}

// Sealed, so that inputs get past the ICV; some with a trailer of garbage.
Frame random_esp(Random& random, bool from_ue, uint32_t number) {
  PacketBuilder packet = random_packet(random, from_ue);
  packet.esp(kSas[below(random, std::size(kSas))], number);
  if (below(random, 4) == 0) {
    packet.esp_next_header(Protocol{static_cast<uint8_t>(random() % 64)});
  }
  return packet.frame();
}

void mutate(Random& random, Frame& frame) {
  for (size_t changes = below(random, 4); changes > 0 && !frame.empty(); --changes) {
    // Mostly headers: what is behind is payload to every check.
    const size_t at = below(random, std::min<size_t>(frame.size(), 120));
    frame[at] =
        static_cast<uint8_t>(below(random, 2) == 0 ? random() : frame[at] ^ 1u << below(random, 8));
  }
  if (below(random, 8) == 0) frame.resize(below(random, frame.size() + 1));
  if (below(random, 16) == 0) frame.resize(frame.size() + below(random, 40));
}

Frame random_frame(Random& random, bool from_ue, uint32_t number) {
  const size_t kind = below(random, 8);
  if (kind == 0) return random_bytes(random);
  Frame frame =
      kind < 5 ? random_packet(random, from_ue).frame() : random_esp(random, from_ue, number);
  if (below(random, 2) == 0) mutate(random, frame);
  return frame;
}

// GMESP_LONG=1: 100 times as many, 10 million frames at one worker (tests/README.md says how long).
uint32_t times_as_many() { return std::getenv("GMESP_LONG") != nullptr ? 100 : 1; }

struct Row {
  size_t workers;
  size_t queues;
  uint32_t frames;
};

class Conservation : public testing::TestWithParam<Row> {};

TEST_P(Conservation, EveryByteStringIsForwardedOrCountedOnce) {
  const AssumeRole role(worker_thread);
  WorkerLab::Shape shape;
  shape.workers = GetParam().workers;
  shape.queues = GetParam().queues;
  shape.policy.own_prefixes = {Prefix{kPcscf4, 128}};
  shape.policy.rules.insert(shape.policy.rules.begin(),
                            {"no 5060", true, true, Match::udp, {{5060, 5060}}, {}, false});
  WorkerLab lab(shape);
  for (uint32_t i = 0; i < std::size(kSas); ++i) {
    lab.command(lab.install_in(kSas[i], SaIndex{i}), lab.owner(kSas[i]));
  }
  for (uint32_t i = 0; i < std::size(kOutSas); ++i) {
    lab.command(lab.install_out(kOutSas[i], SaIndex{i}), lab.owner(kOutSas[i]));
  }
  lab.settle();
  Random random(20261120);
  size_t resident_before = 0;
  const uint32_t frames = GetParam().frames * times_as_many();
  for (uint32_t i = 0; i < frames; ++i) {
    const bool from_access = below(random, 2) == 0;
    const bool from_ue = below(random, 8) == 0 ? !from_access : from_access;
    FakeDevice& port = from_access ? lab.access : lab.host;
    port.feed(below(random, shape.queues), random_frame(random, from_ue, i));
    if (i == frames / 2) resident_before = resident_bytes();
    if (i % 200 == 0) {
      lab.settle();
      lab.host.take_sent();
      lab.access.take_sent();
    }
  }
  lab.settle();
  lab.expect_conserved();
  if (!kAddressSanitizer) {  // which keeps what is freed
    EXPECT_LT(resident_bytes(), resident_before + (size_t{4} << 20)) << "memory grows with packets";
  }
  const Counters sum = lab.sum();
  EXPECT_EQ(sum.access.rx_packets + sum.host.rx_packets, frames);
  EXPECT_GT(sum.protected_in, frames / 100) << "traffic gets to the end of the path";
  EXPECT_GT(sum.protected_out, frames / 100);
  EXPECT_GT(sum.fragments_made, frames / 100);
  EXPECT_GT(sum.answers_made, 0u);
  EXPECT_GT(sum[Drop::icmp_about_esp], 0u);
}

INSTANTIATE_TEST_SUITE_P(Of, Conservation,
                         testing::Values(Row{1, 1, 100'000}, Row{2, 1, 20'000}, Row{2, 2, 20'000},
                                         Row{4, 1, 20'000}));

}  // namespace
}  // namespace gmesp
