// SPDX-License-Identifier: BSD-3-Clause
// MultiBuffer against OpenSSL, and what one job of a batch may do to the others.
#include "crypto/multi_buffer.h"

#include <openssl/sha.h>

#include "crypto/self_test.h"
#include "tests/crypto_batch.h"

namespace gmesp {
namespace {

constexpr size_t kLongestPayload = 1500;

struct Expected {
  Bytes plain, sealed;
};

class MultiBufferTest : public OnEveryInstructionSet {
 protected:
  // Seals what is expected, opens what was sealed.
  void seal_and_open(const std::vector<std::pair<Suite, size_t>>& suites_and_payloads) {
    MultiBuffer multi_buffer(GetParam());
    CryptoBatch outbound(GetParam()), inbound(GetParam());
    std::vector<Expected> expected;
    for (const auto& [suite, payload_bytes] : suites_and_payloads) {
      const size_t seed = expected.size();
      const EspKeys keys = counting_keys(suite, seed);
      const Bytes plain = counting_packet(suite, payload_bytes, seed);
      expected.push_back({plain, reference::seal(suite, keys, plain)});
      outbound.add(suite, Direction::out, keys, plain);
      inbound.add(suite, Direction::in, keys, expected.back().sealed);
    }
    multi_buffer.seal(outbound.jobs());
    multi_buffer.verify_and_decrypt(inbound.jobs());
    for (size_t i = 0; i < expected.size(); ++i) {
      const auto& [suite, payload_bytes] = suites_and_payloads[i];
      ASSERT_TRUE(outbound.jobs()[i].good && inbound.jobs()[i].good);
      ASSERT_EQ(outbound.packet(i), expected[i].sealed) << suite_label(suite) << payload_bytes;
      ASSERT_EQ(inbound.covered(i), expected[i].plain) << suite_label(suite) << payload_bytes;
    }
  }
};

// ESP-14, PRV-04.
TEST_P(MultiBufferTest, AgreesWithOpenSslForEverySuiteAndLength) {
  for (const SuiteInfo& info : kSuites) {
    std::vector<std::pair<Suite, size_t>> batch;
    for (size_t i = 0; i <= kLongestPayload; ++i) {
      // Short and long ones next to each other: a step without a common factor with 1501.
      batch.emplace_back(info.suite, i * 601 % (kLongestPayload + 1));
      if (batch.size() == MultiBuffer::kMaxJobs || i == kLongestPayload) {
        ASSERT_NO_FATAL_FAILURE(seal_and_open(batch));
        batch.clear();
      }
    }
  }
}

TEST_P(MultiBufferTest, AgreesWithOpenSslForEveryBatchSize) {
  for (const SuiteInfo& info : kSuites) {
    for (size_t jobs = 0; jobs <= 40; ++jobs) {
      std::vector<std::pair<Suite, size_t>> batch;
      for (size_t i = 0; i < jobs; ++i) batch.emplace_back(info.suite, (i * 53 + jobs) % 200);
      ASSERT_NO_FATAL_FAILURE(seal_and_open(batch));
    }
  }
}

TEST_P(MultiBufferTest, AgreesWithOpenSslWhenAllSuitesShareABatch) {
  for (size_t round = 0; round < 5; ++round) {
    std::vector<std::pair<Suite, size_t>> batch;
    for (size_t i = 0; i < MultiBuffer::kMaxJobs; ++i) {
      const size_t mixed = (i + 1) * (round + 3) * 2654435761u >> 7;
      batch.emplace_back(kSuites[mixed % kSuiteCount].suite, mixed % 1400);
    }
    ASSERT_NO_FATAL_FAILURE(seal_and_open(batch));
  }
}

// A reassembled datagram can be as long as an IP length field allows.
TEST_P(MultiBufferTest, AgreesWithOpenSslForTheLongestPacket) {
  std::vector<std::pair<Suite, size_t>> batch;
  for (const SuiteInfo& info : kSuites) batch.emplace_back(info.suite, 65535 - 60);
  seal_and_open(batch);
}

// Thirty-two jobs of all suites, and the plain packets to compare with.
std::vector<Expected> add_mixed(CryptoBatch& inbound) {
  std::vector<Expected> expected;
  for (size_t i = 0; i < 32; ++i) {
    const Suite suite = kSuites[i % kSuiteCount].suite;
    const EspKeys keys = counting_keys(suite, i);
    const Bytes plain = counting_packet(suite, i * 41 % 300, i);
    expected.push_back({plain, reference::seal(suite, keys, plain)});
    inbound.add(suite, Direction::in, keys, expected.back().sealed);
  }
  return expected;
}

// RFC 4303 3.4.4: header, IV, payload and ICV are all covered.
TEST_P(MultiBufferTest, RefusesOneForgedPacketAtEveryIndexAndNoOther) {
  MultiBuffer multi_buffer(GetParam());
  for (size_t bad = 0; bad < 32; ++bad) {
    CryptoBatch inbound(GetParam());
    const std::vector<Expected> expected = add_mixed(inbound);
    EspJob& forged = inbound.jobs()[bad];
    const size_t positions[] = {0,
                                7,
                                8,
                                forged.esp_bytes / 2u,
                                forged.esp_bytes - 17u,
                                forged.esp_bytes - 12u,
                                forged.esp_bytes - 1u};
    forged.esp[positions[bad % std::size(positions)]] ^= static_cast<uint8_t>(1u << bad % 8);
    multi_buffer.verify_and_decrypt(inbound.jobs());
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(inbound.jobs()[i].good, i != bad) << "forged: " << bad << ", job: " << i;
      if (i != bad) {
        ASSERT_EQ(inbound.covered(i), expected[i].plain);
      }
    }
  }
}

// ESP-19, R7.
TEST_P(MultiBufferTest, RefusesEveryBitFlippedInAPacket) {
  MultiBuffer multi_buffer(GetParam());
  for (const SuiteInfo& info : kSuites) {
    const EspKeys keys = counting_keys(info.suite, 3);
    const Bytes sealed = reference::seal(info.suite, keys, counting_packet(info.suite, 20, 3));
    for (size_t first = 0; first < sealed.size(); first += 16) {
      CryptoBatch inbound(GetParam());
      for (size_t byte = first; byte < std::min(first + 16, sealed.size()); ++byte) {
        for (size_t bit = 0; bit < 8; ++bit) {
          Bytes forged = sealed;
          forged[byte] ^= static_cast<uint8_t>(1u << bit);
          inbound.add(info.suite, Direction::in, keys, forged);
        }
      }
      multi_buffer.verify_and_decrypt(inbound.jobs());
      for (const EspJob& job : inbound.jobs()) ASSERT_FALSE(job.good) << suite_label(info.suite);
    }
  }
}

TEST_P(MultiBufferTest, LeavesNoDecryptedByteOfAForgedPacket) {
  MultiBuffer multi_buffer(GetParam());
  for (const SuiteInfo& info : kSuites) {
    CryptoBatch inbound(GetParam());
    const EspKeys keys = counting_keys(info.suite, 1);
    Bytes forged = reference::seal(info.suite, keys, counting_packet(info.suite, 100, 1));
    forged.back() ^= 1;
    inbound.add(info.suite, Direction::in, keys, forged);
    multi_buffer.verify_and_decrypt(inbound.jobs());
    EXPECT_FALSE(inbound.jobs()[0].good);
    Bytes payload = inbound.covered(0);
    payload.erase(payload.begin(), payload.begin() + esp_front_bytes(info));
    EXPECT_EQ(payload, Bytes(payload.size(), 0)) << suite_label(info.suite);
  }
}

// Too short for its suite, or no whole number of cipher blocks.
TEST_P(MultiBufferTest, RefusesOneBadLengthAtEveryIndexAndNoOther) {
  MultiBuffer multi_buffer(GetParam());
  for (size_t bad = 0; bad < 32; ++bad) {
    CryptoBatch inbound(GetParam());
    const std::vector<Expected> expected = add_mixed(inbound);
    EspJob& job = inbound.jobs()[bad];
    const SuiteInfo& info = suite_info(job.suite);
    const auto frame = static_cast<uint16_t>(esp_front_bytes(info) + info.icv_bytes);
    const uint16_t lengths[] = {0, 8, static_cast<uint16_t>(frame - 1), frame,
                                static_cast<uint16_t>(job.esp_bytes - 1)};
    for (const uint16_t length : lengths) {
      job.esp_bytes = length;
      multi_buffer.verify_and_decrypt(inbound.jobs().subspan(bad, 1));
      ASSERT_FALSE(job.good) << suite_label(job.suite) << ' ' << length;
    }
    multi_buffer.verify_and_decrypt(inbound.jobs());
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(inbound.jobs()[i].good, i != bad) << "short: " << bad << ", job: " << i;
      if (i != bad) {
        ASSERT_EQ(inbound.covered(i), expected[i].plain);
      }
    }
  }
}

// Replay is not decided here: two copies of a packet are both genuine.
TEST_P(MultiBufferTest, AcceptsTwinsInOneBatch) {
  MultiBuffer multi_buffer(GetParam());
  for (const SuiteInfo& info : kSuites) {
    CryptoBatch inbound(GetParam());
    const EspKeys keys = counting_keys(info.suite, 1);
    const Bytes plain = counting_packet(info.suite, 100, 1);
    const Bytes sealed = reference::seal(info.suite, keys, plain);
    for (size_t i = 0; i < 2; ++i) inbound.add(info.suite, Direction::in, keys, sealed);
    multi_buffer.verify_and_decrypt(inbound.jobs());
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_TRUE(inbound.jobs()[i].good);
      EXPECT_EQ(inbound.covered(i), plain);
    }
  }
}

// Lanes keep keys by pointer: none may stay behind in one.
TEST_P(MultiBufferTest, NeedsNoKeyOnceACallHasReturned) {
  MultiBuffer multi_buffer(GetParam());
  for (const SuiteInfo& info : kSuites) {
    for (size_t jobs = 1; jobs <= 20; ++jobs) {
      CryptoBatch first(GetParam()), second(GetParam());
      for (size_t i = 0; i < jobs; ++i) {
        const EspKeys keys = counting_keys(info.suite, i);
        first.add(info.suite, Direction::out, keys, counting_packet(info.suite, 64, i));
        second.add(info.suite, Direction::out, keys, counting_packet(info.suite, 64, i));
      }
      multi_buffer.seal(first.jobs());
      first.release_keys();
      multi_buffer.seal(second.jobs());
      for (size_t i = 0; i < jobs; ++i) {
        const EspKeys keys = counting_keys(info.suite, i);
        const Bytes expected =
            reference::seal(info.suite, keys, counting_packet(info.suite, 64, i));
        ASSERT_EQ(first.packet(i), expected);
        ASSERT_EQ(second.packet(i), expected);
      }
    }
  }
}

TEST_P(MultiBufferTest, ProtectsWithIvsOfItsOwnWhatThePeerThenReads) {
  MultiBuffer multi_buffer(GetParam());
  CryptoBatch outbound(GetParam());
  for (size_t i = 0; i < MultiBuffer::kMaxJobs; ++i) {
    const Suite suite = kSuites[i % kSuiteCount].suite;
    outbound.add(suite, Direction::out, counting_keys(suite, i), counting_packet(suite, i, i));
  }
  multi_buffer.encrypt_and_sign(outbound.jobs());
  for (size_t i = 0; i < MultiBuffer::kMaxJobs; ++i) {
    const Suite suite = kSuites[i % kSuiteCount].suite;
    ASSERT_TRUE(outbound.jobs()[i].good);
    const auto opened = reference::open(suite, counting_keys(suite, i), outbound.packet(i));
    ASSERT_TRUE(opened) << suite_label(suite);
    const Bytes plain = counting_packet(suite, i, i);
    EXPECT_EQ(*opened, Bytes(plain.begin() + esp_front_bytes(suite_info(suite)), plain.end()));
  }
}

TEST_P(MultiBufferTest, PassesItsSelfTest) { EXPECT_EQ(MultiBuffer(GetParam()).self_test(), ""); }

INSTANTIATE_TEST_SUITE_P(On, MultiBufferTest,
                         testing::Values(InstructionSet::best, InstructionSet::sse,
                                         InstructionSet::avx2, InstructionSet::avx512),
                         instruction_set_label);

// Few packets a batch for long, then many: IVs are made all the while, wherever the library stands.
TEST(MultiBuffer, ProtectsALargeBatchAfterAnyNumberOfSmallOnes) {
  constexpr Suite kSuite = Suite::sha1_aes_cbc;
  MultiBuffer multi_buffer(InstructionSet::best);
  CryptoBatch batch(InstructionSet::best);
  for (size_t i = 0; i < MultiBuffer::kMaxJobs; ++i) {
    batch.add(kSuite, Direction::out, counting_keys(kSuite, i), counting_packet(kSuite, 64, i));
  }
  uint32_t random = 1;
  const auto next = [&random](uint32_t range) {
    random = random * 1664525 + 1013904223;
    return (random >> 16) % range;
  };
  for (int round = 0; round < 300; ++round) {
    for (uint32_t small = next(8000); small > 0; --small) {
      multi_buffer.encrypt_and_sign(batch.jobs().first(1 + next(4)));
    }
    const auto large = batch.jobs().first(5 + next(60));
    for (EspJob& job : large) job.good = false;
    multi_buffer.encrypt_and_sign(large);
    for (const EspJob& job : large) ASSERT_TRUE(job.good) << round;
  }
}

TEST(MultiBuffer, TakesTheInstructionSetAskedForOrSaysWhatIsMissing) {
  const std::pair<InstructionSet, std::string> rows[] = {{InstructionSet::sse, "SSE"},
                                                         {InstructionSet::avx2, "AVX2"},
                                                         {InstructionSet::avx512, "AVX512"}};
  for (const auto& [instruction_set, wanted] : rows) {
    if (cpu_has(instruction_set)) {
      EXPECT_EQ(MultiBuffer(instruction_set).instruction_set_name(), wanted);
    } else {
      EXPECT_THROW(MultiBuffer{instruction_set}, std::runtime_error);
    }
  }
}

TEST(MultiBuffer, SelfTestDigestsAreWhatOpenSslComputes) {
  for (const SuiteInfo& info : kSuites) {
    Bytes packets;
    for (size_t i = 0; i < kSelfTestPackets; ++i) {
      Bytes packet(self_test_esp_bytes(info.suite, i));
      fill_self_test_packet(i, packet, info.icv_bytes);
      packet.resize(packet.size() - info.icv_bytes);
      const EspKeys keys = self_test_keys(info.suite, i);
      ASSERT_EQ(check_keys(info.suite, keys), KeyError::none);
      const Bytes sealed = reference::seal(info.suite, keys, packet);
      packets.insert(packets.end(), sealed.begin(), sealed.end());
    }
    Sha1Digest digest;
    SHA1(packets.data(), packets.size(), digest.data());
    EXPECT_EQ(kSelfTestDigests[static_cast<size_t>(info.suite)], digest) << suite_label(info.suite);
  }
}

}  // namespace
}  // namespace gmesp
