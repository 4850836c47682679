// SPDX-License-Identifier: BSD-3-Clause
// Packets that share a burst must not touch each other: twins, bad ones, other suites, cleartext.
#include "tests/fragments.h"
#include "tests/path_lab.h"

namespace gmesp {
namespace {

class Batch : public OnEveryInstructionSet {};

TestSa sa_in(Suite suite, uint32_t spi = 0x3000) {
  return {suite, spi + static_cast<uint32_t>(suite), {kUe6, kPcscf6}};
}
TestSa sa_out(Suite suite) {
  const auto port = static_cast<uint16_t>(100 + static_cast<int>(suite));
  return {suite, 0x4000u + static_cast<uint32_t>(suite), {kPcscf6, kUe6, port, port}};
}

PacketBuilder message(size_t number) {
  return PacketBuilder().udp(kUePort, kPcscfPort).payload(number * 19 % 1200);
}

// RFC 4303 3.4.3: both copies pass the check before the ICV; only one the check after it.
TEST_P(Batch, ExactlyOneOfTwinsPasses) {
  PathLab lab(open_policy(), {}, GetParam());
  const TestSa sa = sa_in(Suite::sha1_aes_cbc);
  const SaIndex index = lab.install_in(sa);
  std::vector<Frame> frames, expected;
  for (uint32_t number = 1; number <= 32; ++number) {
    for (int twin = 0; twin < 2; ++twin) frames.push_back(message(number).esp(sa, number).frame());
    expected.push_back(message(number).frame());
  }
  EXPECT_EQ(lab.in(frames), (Outcome{expected, {{Drop::replayed, 32}}}));
  EXPECT_EQ(lab.sad.sas().record(lab.sad.sas()[index]).replayed, 32u);
}

TEST_P(Batch, ABurstOfOnePacketsCopiesPassesOne) {
  PathLab lab(open_policy(), {}, GetParam());
  const TestSa sa = sa_in(Suite::aes_gcm);
  lab.install_in(sa);
  EXPECT_EQ(lab.in(std::vector<Frame>(Burst::kCapacity, message(5).esp(sa, 77).frame())),
            (Outcome{{message(5).frame()}, {{Drop::replayed, Burst::kCapacity - 1}}}));
}

TEST_P(Batch, AForgedTwinDoesNotHarmTheRealOne) {
  PathLab lab(open_policy(), {}, GetParam());
  const TestSa sa = sa_in(Suite::md5_aes_cbc);
  lab.install_in(sa);
  const Frame real = message(3).esp(sa, 1).frame();
  Frame forged = real;
  forged[message(3).esp_offset() + 30] ^= 0x40;
  EXPECT_EQ(lab.in({forged, real, forged}),
            (Outcome{{message(3).frame()}, {{Drop::icv_mismatch, 2}}}));
}

TEST_P(Batch, OneBadPacketAtEveryIndexSpoilsNoOther) {
  PathLab lab(open_policy(), {}, GetParam());
  for (const SuiteInfo& info : kSuites) lab.install_in(sa_in(info.suite), 0);
  std::vector<Frame> good, plain;
  for (size_t i = 0; i < Burst::kCapacity; ++i) {
    const TestSa sa = sa_in(kSuites[i % kSuiteCount].suite);
    good.push_back(message(i).esp(sa, static_cast<uint32_t>(i + 1)).frame());
    plain.push_back(message(i).frame());
  }
  for (size_t bad = 0; bad < good.size(); ++bad) {
    std::vector<Frame> frames = good, expected = plain;
    frames[bad].back() ^= 0x80;
    expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(bad));
    EXPECT_EQ(lab.in(frames), (Outcome{expected, {{Drop::icv_mismatch, 1}}})) << bad;
  }
}

// One of every way to be dropped at every place, all others in order.
TEST_P(Batch, EveryKindOfBadPacketAtEveryIndexSpoilsNoOther) {
  PathLab lab(open_policy(), {}, GetParam());
  const TestSa sa = sa_in(Suite::sha1_aes_cbc);
  lab.install_in(sa, 0);
  const PacketBuilder packet = message(4);
  Frame cut = PacketBuilder(packet).esp(sa, 1).frame();
  cut.resize(cut.size() - 7);
  const std::pair<Frame, Drop> bad[] = {
      {{1, 2, 3}, Drop::runt},
      {cut, Drop::runt},
      {Fragmenter(packet).fragment({0, 0}), Drop::bad_fragment},
      {PacketBuilder(packet).inside().fragment_header().esp(sa, 1).frame(), Drop::fragment},
      {PacketBuilder(packet).esp(sa_in(Suite::aes_gcm), 1).frame(), Drop::unknown_spi},
      {PacketBuilder()
           .content(Protocol::esp, bytes_of_header(EspHeader{Be32(sa.spi), Be32(1)}))
           .payload(45)
           .frame(),
       Drop::esp_length},
      {PacketBuilder(packet).esp(sa, 1).esp_next_header(Protocol::none).frame(),
       Drop::dummy_packet},
      {packet.frame(), Drop::cleartext_on_protected_port},
      {PacketBuilder(packet).ip(kPcscf6, kUe6).esp(sa, 1).frame(), Drop::selector_mismatch},
  };
  for (const auto& [frame, reason] : bad) {
    for (size_t at = 0; at < 20; ++at) {
      std::vector<Frame> frames, expected;
      for (size_t i = 0; i < 20; ++i) {
        const auto number = static_cast<uint32_t>(i + 1);
        if (i == at) frames.push_back(frame);
        if (i == at) continue;
        frames.push_back(message(i).esp(sa, number).frame());
        expected.push_back(message(i).frame());
      }
      EXPECT_EQ(lab.in(frames), (Outcome{expected, {{reason, 1}}}))
          << drop_info(reason).name << " at " << at;
    }
  }
}

TEST_P(Batch, MixedSuitesAndCleartextGoOutTogether) {
  PathLab lab(open_policy(), {}, GetParam());
  std::vector<Frame> frames;
  std::vector<PacketBuilder> plain;
  for (const SuiteInfo& info : kSuites) lab.install_out(sa_out(info.suite));
  for (size_t i = 0; i < 63; ++i) {
    const size_t kind = i % (kSuiteCount + 1);
    const auto port = static_cast<uint16_t>(100 + kind);
    plain.push_back(PacketBuilder().ip(kPcscf6, kUe6).udp(port, port).payload(i * 17));
    frames.push_back(plain.back().frame());
  }
  const Outcome outcome = lab.out(frames);
  ASSERT_EQ(outcome.frames.size(), 63u);
  EXPECT_EQ(lab.counters.protected_out, 56u);
  EXPECT_EQ(lab.counters.bypassed_out, 7u);
  size_t at = 0;
  uint32_t number = 0;
  for (size_t i = 0; i < 63; ++i) {  // ESP in order, then what went in clear
    const size_t kind = i % (kSuiteCount + 1);
    if (kind == 0) ++number;
    if (kind == kSuiteCount) continue;
    const TestSa sa = sa_out(kSuites[kind].suite);
    const Frame expected = PacketBuilder(plain[i]).esp(sa, number).frame();
    const Frame& frame = outcome.frames[at++];
    ASSERT_EQ(frame.size(), expected.size()) << i;
    const auto opened = reference::open(sa.suite, sa.keys(), std::span(frame).subspan(54));
    EXPECT_TRUE(opened) << i;
    EXPECT_EQ(opened, reference::open(sa.suite, sa.keys(), std::span(expected).subspan(54))) << i;
  }
  for (size_t i = kSuiteCount; i < 63; i += kSuiteCount + 1) {
    EXPECT_EQ(outcome.frames[at++], plain[i].frame());
  }
}

INSTANTIATE_TEST_SUITE_P(On, Batch,
                         testing::Values(InstructionSet::sse, InstructionSet::avx2,
                                         InstructionSet::avx512),
                         instruction_set_label);

}  // namespace
}  // namespace gmesp
