// SPDX-License-Identifier: BSD-3-Clause
// What becomes of a packet that the crypto library did not finish: this executable has a
// MultiBuffer of its own, linked in place of crypto/multi_buffer.cc, that fails every second job.
#include <string>

#include "crypto/iv_source.h"
#include "tests/path_lab.h"

namespace gmesp {

MultiBuffer::MultiBuffer(InstructionSet instruction_set) : instruction_set_(instruction_set) {}
MultiBuffer::~MultiBuffer() = default;

void MultiBuffer::encrypt_and_sign(std::span<EspJob> jobs) {
  for (size_t i = 0; i < jobs.size(); ++i) jobs[i].good = i % 2 == 0;
}
void MultiBuffer::verify_and_decrypt(std::span<EspJob> jobs) { encrypt_and_sign(jobs); }
// All members, so that the linker has no reason to bring the real ones.
bool MultiBuffer::write_ivs(std::span<const EspJob>) { return false; }
void MultiBuffer::seal(std::span<EspJob> jobs) { encrypt_and_sign(jobs); }
std::string MultiBuffer::self_test() { return {}; }

namespace {

const TestSa kIn{Suite::sha1_null, 0x1000, {kUe6, kPcscf6}};
const TestSa kOut{Suite::sha1_null, 0x2000, {kPcscf6, kUe6}};

// It may still hold plaintext: it must not leave.
TEST(CryptoFailed, NoUnfinishedPacketLeaves) {
  PathLab lab;
  lab.install_out(kOut);
  std::vector<Frame> frames;
  for (size_t i = 0; i < 10; ++i) {
    frames.push_back(PacketBuilder().ip(kPcscf6, kUe6).udp(1, 2).payload("secret").frame());
  }
  const Outcome outcome = lab.out(frames);
  EXPECT_EQ(outcome.drops, (std::map<Drop, uint64_t>{{Drop::crypto_failed, 5}}));
  ASSERT_EQ(outcome.frames.size(), 5u);
  for (size_t i = 0; i < 5; ++i) {  // every second one, told by its sequence number
    EXPECT_EQ(outcome.frames[i][54 + 7], 2 * i + 1);
  }
  EXPECT_EQ(lab.counters.protected_out, 5u);
}

TEST(CryptoFailed, AnUnfinishedInboundPacketHasNoGoodIcv) {
  PathLab lab;
  const SaIndex index = lab.install_in(kIn);
  std::vector<Frame> frames, expected;
  for (uint32_t n = 1; n <= 4; ++n) {
    const PacketBuilder packet = PacketBuilder().udp(1, 2).payload("secret");
    frames.push_back(PacketBuilder(packet).esp(kIn, n).frame());
    if (n % 2 == 1) expected.push_back(packet.frame());
  }
  EXPECT_EQ(lab.in(frames), (Outcome{expected, {{Drop::icv_mismatch, 2}}}));
  EXPECT_EQ(lab.sad.sas()[index].window.highest(), SequenceNumber{3});
}

}  // namespace
}  // namespace gmesp
