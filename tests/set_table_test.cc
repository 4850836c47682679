// SPDX-License-Identifier: BSD-3-Clause
// Who sends REGISTERs in clear chooses IMPIs and ports: they must not meet in one bucket.
#include "control/registration/set_table.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace gmesp {
namespace {

constexpr size_t kMany = 4096;

// libstdc++'s std::hash of bytes is MurmurHash64A under a seed that everybody knows. Of texts of
// two words, the second can be computed for any first so that all of them have one hash.
std::vector<std::string> texts_of_one_standard_hash() {
  constexpr uint64_t kMul = 0xc6a4a7935bd1e995;
  uint64_t inverse = 1;
  for (int i = 0; i < 6; ++i) inverse *= 2 - kMul * inverse;
  const auto shifted = [](uint64_t word) { return word ^ word >> 47; };  // its own inverse
  const auto mixed = [&](uint64_t word) { return shifted(word * kMul) * kMul; };
  const auto unmixed = [&](uint64_t word) { return shifted(word * inverse) * inverse; };
  std::vector<std::string> texts;
  for (uint64_t i = 0; i < kMany; ++i) {
    const uint64_t state = (0xc70f6907 ^ 16 * kMul ^ mixed(i)) * kMul;
    const std::array<uint64_t, 2> words{i, unmixed(state ^ 0x123456789)};
    texts.emplace_back(reinterpret_cast<const char*>(words.data()), sizeof words);
  }
  std::set<size_t> hashes;
  for (const std::string& text : texts) hashes.insert(std::hash<std::string_view>{}(text));
  EXPECT_EQ(hashes.size(), 1u) << "the texts show nothing about this library";
  return texts;
}

TEST(SetTable, ImpisChosenToMeetInOneBucketDoNot) {
  SetTable table(2 * kMany);
  for (const std::string& impi : texts_of_one_standard_hash()) table.add(impi);
  EXPECT_EQ(table.registrations(), kMany);
  EXPECT_LT(table.fullest_bucket(), 20u) << "by chance: 10 in one of 10^4 tables";
}

TEST(SetTable, UePortsChosenToMeetInOneBucketDoNot) {
  SetTable table(2 * kMany);
  for (const std::string& bytes : texts_of_one_standard_hash()) {
    SaSet& set = table[table.add(std::to_string(table.places()))];
    std::memcpy(set.ue.address.bytes.data(), bytes.data(), bytes.size());
    set.ue.port_c = set.ue.port_s = 40001;
    table.claim_ports(static_cast<SetIndex>(table.places() - 1));
  }
  EXPECT_LT(table.fullest_bucket(), 20u);
}

TEST(SetTable, FindsWhatItHoldsAndNothingElse) {
  SetTable table(2 * kMany);
  const std::vector<std::string> texts = texts_of_one_standard_hash();
  for (size_t i = 0; i < kMany / 2; ++i) table.add(texts[i]);
  for (size_t i = 0; i < kMany; ++i) {
    const Registration* const found = table.find(texts[i]);
    ASSERT_EQ(found != nullptr, i < kMany / 2);
    if (found != nullptr) {
      EXPECT_EQ(found->impi, texts[i]);
    }
  }
}

}  // namespace
}  // namespace gmesp
