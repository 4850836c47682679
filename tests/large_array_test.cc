// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/large_array.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace gmesp {
namespace {

constexpr size_t kPageBytes = 4096;

// Pages of the array that are in memory.
size_t resident_pages(const LargeArray<uint64_t>& array) {
  const size_t bytes = array.size() * sizeof(uint64_t);
  std::vector<unsigned char> pages((bytes + kPageBytes - 1) / kPageBytes);
  // mincore() only looks.
  EXPECT_EQ(mincore(const_cast<uint64_t*>(array.begin()), bytes, pages.data()), 0);
  return static_cast<size_t>(
      std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; }));
}

TEST(LargeArray, TakesMemoryAsItIsUsed) {
  LargeArray<uint64_t> array(4'000'000);
  EXPECT_EQ(resident_pages(array), 0u);
  array[2'000'000] = 1;
  EXPECT_GE(resident_pages(array), 1u);
  EXPECT_LE(resident_pages(array), 512u);  // one page, small or huge
}

TEST(LargeArray, TakesAllOfItOnDemandAndKeepsWhatIsThere) {
  LargeArray<uint64_t> array(4'000'001);
  array[5] = 17;
  array[4'000'000] = 18;
  array.populate();
  EXPECT_EQ(resident_pages(array), (4'000'001 * sizeof(uint64_t) + kPageBytes - 1) / kPageBytes);
  EXPECT_EQ(array[5], 17u);
  EXPECT_EQ(array[4'000'000], 18u);
  EXPECT_TRUE(std::all_of(array.begin() + 6, array.end() - 1, [](uint64_t i) { return i == 0; }));
  array.populate();  // does no harm
  EXPECT_EQ(array[5], 17u);
}

}  // namespace
}  // namespace gmesp
