// SPDX-License-Identifier: BSD-3-Clause
// The IVs that MultiBuffer writes: never twice for CBC, disjoint between SAs for GCM and GMAC.
#include <array>
#include <bit>
#include <cstring>
#include <set>

#include "crypto/multi_buffer.h"
#include "tests/crypto_batch.h"

namespace gmesp {
namespace {

constexpr size_t kMillion = 1'000'000;

// The IVs of a million packets, in the order they were written.
template <typename Iv>
std::vector<Iv> million_ivs(MultiBuffer& multi_buffer, Suite suite) {
  CryptoBatch batch(InstructionSet::best);
  for (size_t i = 0; i < MultiBuffer::kMaxJobs; ++i) {
    batch.add(suite, Direction::out, counting_keys(suite, i), counting_packet(suite, 1, i));
  }
  std::vector<Iv> ivs;
  ivs.reserve(kMillion + MultiBuffer::kMaxJobs);
  while (ivs.size() < kMillion) {
    EXPECT_TRUE(multi_buffer.write_ivs(batch.jobs()));
    for (const EspJob& job : batch.jobs()) {
      ivs.emplace_back();
      std::memcpy(&ivs.back(), job.esp + kEspHeaderBytes, sizeof(Iv));
    }
  }
  return ivs;
}

using Iv16 = std::array<uint64_t, 2>;

size_t differing_bits(uint64_t a, uint64_t b) { return static_cast<size_t>(std::popcount(a ^ b)); }
size_t differing_bits(const Iv16& a, const Iv16& b) {
  return differing_bits(a[0], b[0]) + differing_bits(a[1], b[1]);
}

// Half of the bits of two random IVs differ; in neighbours of a bare counter, one or two.
template <typename Iv>
double mean_difference(const std::vector<Iv>& ivs) {
  size_t bits = 0;
  for (size_t i = 1; i < ivs.size(); ++i) bits += differing_bits(ivs[i - 1], ivs[i]);
  return static_cast<double>(bits) / static_cast<double>(ivs.size() - 1);
}

template <typename Iv>
bool all_different(std::vector<Iv> ivs) {
  std::sort(ivs.begin(), ivs.end());
  return std::adjacent_find(ivs.begin(), ivs.end()) == ivs.end();
}

class IvTest : public OnEveryInstructionSet {};

// RFC 3602 3, RFC 2451 3; SPEC 8.1.
TEST_P(IvTest, CbcIvsOfAMillionPacketsAreAllDifferentAndLookRandom) {
  MultiBuffer multi_buffer(GetParam());
  const auto ivs = million_ivs<Iv16>(multi_buffer, Suite::sha1_aes_cbc);
  EXPECT_TRUE(all_different(ivs));
  EXPECT_NEAR(mean_difference(ivs), 64, 0.1);
}

TEST_P(IvTest, Des3IvsOfAMillionPacketsAreAllDifferentAndLookRandom) {
  MultiBuffer multi_buffer(GetParam());
  const auto ivs = million_ivs<uint64_t>(multi_buffer, Suite::md5_des3);
  EXPECT_TRUE(all_different(ivs));
  EXPECT_NEAR(mean_difference(ivs), 32, 0.1);
}

INSTANTIATE_TEST_SUITE_P(On, IvTest,
                         testing::Values(InstructionSet::sse, InstructionSet::avx2,
                                         InstructionSet::avx512),
                         instruction_set_label);

// A restart must not repeat the IVs of the run before it, whose key may live on.
TEST(Iv, DiffersBetweenOneObjectAndTheNext) {
  MultiBuffer first, second;
  for (const Suite suite : {Suite::sha1_aes_cbc, Suite::sha1_des3}) {
    auto ivs = million_ivs<uint64_t>(first, suite);
    const auto others = million_ivs<uint64_t>(second, suite);
    ivs.insert(ivs.end(), others.begin(), others.end());
    EXPECT_TRUE(all_different(ivs)) << suite_label(suite);
  }
}

// SPEC R18: the SAs of a set share key and salt; SPI and sequence number keep their IVs apart.
TEST(Iv, GcmAndGmacIvIsSpiAndSequenceNumber) {
  MultiBuffer multi_buffer;
  for (const Suite suite : {Suite::aes_gcm, Suite::aes_gmac}) {
    std::set<Bytes> ivs;
    CryptoBatch batch(InstructionSet::best);
    for (const uint32_t spi : {0x10000u, 0x10001u, 0xffffffffu, 1u}) {
      for (const uint32_t number : {1u, 2u, 0x10000u, 0x10001u, 0xffffffffu}) {
        batch.add(suite, Direction::out, counting_keys(suite, 0),
                  reference::plain(suite, spi, number, Bytes(8), Bytes(20), 17));
      }
    }
    multi_buffer.encrypt_and_sign(batch.jobs());
    for (const EspJob& job : batch.jobs()) {
      EXPECT_EQ(std::memcmp(job.esp, job.esp + 8, 8), 0);
      ivs.insert(Bytes(job.esp + 8, job.esp + 16));
    }
    EXPECT_EQ(ivs.size(), batch.jobs().size());
  }
}

}  // namespace
}  // namespace gmesp
