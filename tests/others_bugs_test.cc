// SPDX-License-Identifier: BSD-3-Clause
// Bugs that other implementations had, where no other test of ours shows them impossible; the whole
// list is in tests/README.md. Buffers have their exact size: a sanitizer sees one byte too far.
#include "tests/path_lab.h"

namespace gmesp {
namespace {

class OthersBugs : public OnEveryInstructionSet {};

TestSa inbound_sa(Suite suite) {
  return {suite, 0x3000 + static_cast<uint32_t>(suite), {kUe6, kPcscf6}};
}

PacketBuilder esp_of(const Bytes& esp) {
  return PacketBuilder().ip(kUe6, kPcscf6).content(Protocol::esp, esp);
}

// Several: a packet shorter than ESP header, IV, trailer and ICV of its SA reads before its buffer.
TEST_P(OthersBugs, APacketTooShortForItsSaIsNeverOpened) {
  PathLab lab(open_policy(), {}, GetParam());
  for (const SuiteInfo& info : kSuites) {
    const TestSa sa = inbound_sa(info.suite);
    lab.install_in(sa, 0);
    // The least that RFC 4303 2 allows: one unit of ciphertext with nothing but its trailer.
    Bytes least = bytes_of_header(EspHeader{Be32(sa.spi), Be32(1)});
    const size_t plain = info.alignment_bytes;
    least.resize(sizeof(EspHeader) + info.iv_bytes + plain + info.icv_bytes);
    for (size_t bytes = 0; bytes < least.size(); ++bytes) {
      const Bytes cut(least.begin(), least.begin() + static_cast<ptrdiff_t>(bytes));
      EXPECT_EQ(lab.in(esp_of(cut)), dropped(Drop::esp_length)) << bytes;
    }
    EXPECT_EQ(lab.in(esp_of(least)), dropped(Drop::icv_mismatch));
  }
}

// Several: a pad length beyond the payload, from a peer who has the keys.
TEST_P(OthersBugs, APadLengthBeyondThePayloadIsRefusedThoughTheIcvIsRight) {
  for (const bool checked : {true, false}) {
    PathConfig config;
    config.check_padding = checked;
    PathLab lab(open_policy(), config, GetParam());
    for (const SuiteInfo& info : kSuites) {
      const TestSa sa = inbound_sa(info.suite);
      lab.install_in(sa, 0);
      for (const size_t units : {1u, 2u, 4u}) {
        const size_t plain_bytes = size_t{16} * units;
        for (size_t pad = plain_bytes - 1; pad <= 255; ++pad) {
          Bytes packet = bytes_of_header(EspHeader{Be32(sa.spi), Be32(1)});
          packet.resize(packet.size() + info.iv_bytes + plain_bytes, 7);
          packet[packet.size() - 2] = static_cast<uint8_t>(pad);
          packet.back() = static_cast<uint8_t>(Protocol::udp);
          const Bytes esp = reference::seal(sa.suite, sa.keys(), packet);
          ASSERT_EQ(lab.in(esp_of(esp)), dropped(Drop::bad_padding)) << pad;
        }
      }
    }
  }
}

// VPP: what belongs to a packet was kept in its SA, and the next packet of the batch overwrote it.
TEST_P(OthersBugs, PacketsOfOneSaShareABatchWhateverTheirLengths) {
  PathLab lab(open_policy(), {}, GetParam());
  for (const SuiteInfo& info : kSuites) {
    const TestSa in = inbound_sa(info.suite);
    const TestSa out{info.suite, in.spi, {kPcscf6, kUe6}};
    lab.install_in(in);
    const SaIndex index = lab.install_out(out);
    std::vector<Frame> frames, expected, answers;
    for (uint32_t i = 0; i < Burst::kCapacity; ++i) {
      const PacketBuilder packet =
          PacketBuilder().udp(kUePort, kPcscfPort).payload((i * 211 + 5) % 1300);
      expected.push_back(packet.frame());
      frames.push_back(PacketBuilder(packet).esp(in, i + 1).frame());
      answers.push_back(PacketBuilder()
                            .ip(kPcscf6, kUe6)
                            .udp(kPcscfPort, kUePort)
                            .payload((i * 173 + 9) % 1300)
                            .frame());
    }
    EXPECT_EQ(lab.in(frames), (Outcome{expected, {}}));
    const Outcome sent = lab.out(answers);
    ASSERT_EQ(sent.frames.size(), answers.size());
    for (size_t i = 0; i < answers.size(); ++i) {
      constexpr size_t kFront = sizeof(EthernetHeader) + sizeof(Ipv6Header);
      const auto opened =
          reference::open(out.suite, out.keys(), std::span(sent.frames[i]).subspan(kFront));
      ASSERT_TRUE(opened) << i;
      const auto inner = std::span(answers[i]).subspan(kFront);
      EXPECT_TRUE(std::equal(inner.begin(), inner.end(), opened->begin())) << i;
    }
    lab.spd.remove(index);  // the next suite's SA has the same flow
  }
}

INSTANTIATE_TEST_SUITE_P(On, OthersBugs,
                         testing::Values(InstructionSet::sse, InstructionSet::avx2,
                                         InstructionSet::avx512),
                         instruction_set_label);

}  // namespace
}  // namespace gmesp
