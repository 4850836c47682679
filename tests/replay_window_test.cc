// SPDX-License-Identifier: BSD-3-Clause
// RFC 4303 3.4.3: tables of numbered rows at both ends of the number space, every pair of numbers,
// and random traffic against a model that remembers every number it has seen.
#include "dataplane/replay_window.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <bitset>
#include <cstdlib>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "tests/vectors.h"

namespace gmesp {
namespace {

constexpr uint16_t kSizes[] = {32, 33, 63, 64, 65, 127, 128, 129, 500, 512, 1000, 1023, 1024};
constexpr uint32_t kTop = 0xffffffff;

// A window and its words, of exactly the size it asks for.
class Window {
 public:
  Window(uint16_t size, uint32_t seen)
      : words_(ReplayWindow::outside_words(size)),
        window_(size, SequenceNumber{seen}, words_.empty() ? nullptr : words_.data()) {}

  bool may_accept(uint32_t number) const { return window_.may_accept(SequenceNumber{number}); }
  bool accept(uint32_t number) { return window_.accept(SequenceNumber{number}); }
  uint32_t highest() const { return static_cast<uint32_t>(window_.highest()); }

 private:
  std::vector<uint64_t> words_;
  ReplayWindow window_;
};

class SlowModel {
 public:
  SlowModel(uint16_t size, uint32_t seen) : size_(size), seen_(seen), highest_(seen) {}

  bool may_accept(uint32_t number) const {
    const bool left_of_window = uint64_t{number} + size_ <= highest_;
    return number > seen_ && !left_of_window && !received_.contains(number);
  }
  bool accept(uint32_t number) {
    if (!may_accept(number)) return false;
    received_.insert(number);
    highest_ = std::max(highest_, number);
    return true;
  }
  uint32_t highest() const { return highest_; }

 private:
  uint16_t size_;
  uint32_t seen_;
  uint32_t highest_;
  std::set<uint32_t> received_;
};

struct Row {
  uint32_t number;  // added to what was seen before the first row
  bool accepted;
};

// Window 64.
constexpr Row kRows[] = {
    /*  1 */ {0, false},     // seen before the SA began; at 0: RFC 4303 2.2, the first is 1
    /*  2 */ {1, true},      //
    /*  3 */ {1, false},     // twice
    /*  4 */ {9, true},      // over a gap
    /*  5 */ {8, true},      // into the gap
    /*  6 */ {7, true},      //
    /*  7 */ {7, false},     //
    /*  8 */ {9, false},     //
    /*  9 */ {64, true},     // 1 is the left edge now
    /* 10 */ {1, false},     //
    /* 11 */ {2, true},      //
    /* 12 */ {65, true},     // 2 is the left edge
    /* 13 */ {2, false},     //
    /* 14 */ {1, false},     // left of it
    /* 15 */ {3, true},      //
    /* 16 */ {66, true},     //
    /* 17 */ {2, false},     // received, and out
    /* 18 */ {3, false},     // the left edge, received
    /* 19 */ {129, true},    // by 63
    /* 20 */ {65, false},    // out
    /* 21 */ {66, false},    // the left edge, received
    /* 22 */ {67, true},     // its neighbour, jumped over
    /* 23 */ {193, true},    // by 64: the ring comes round once
    /* 24 */ {129, false},   // out, though its bit's place is new
    /* 25 */ {130, true},    // left edge
    /* 26 */ {130, false},   //
    /* 27 */ {258, true},    // by 65
    /* 28 */ {194, false},   //
    /* 29 */ {195, true},    //
    /* 30 */ {257, true},    //
    /* 31 */ {5000, true},   // far
    /* 32 */ {4936, false},  // 5000 - 64
    /* 33 */ {4937, true},   // 5000 - 63
    /* 34 */ {4999, true},   //
    /* 35 */ {4999, false},  //
    /* 36 */ {258, false},   //
    /* 37 */ {0, false},     //
    /* 38 */ {8191, true},   // the last number there is, when the rows run at the top
    /* 39 */ {8191, false},  //
    /* 40 */ {8190, true},   //
    /* 41 */ {8128, true},   // left edge
    /* 42 */ {8127, false},  //
};

class AtBothEnds : public testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(ReplayWindow, AtBothEnds, testing::Values(0u, kTop - 8191));

TEST_P(AtBothEnds, AcceptsEachNumberOnceInsideTheWindow) {
  Window window(64, GetParam());
  for (size_t i = 0; i < std::size(kRows); ++i) {
    const uint32_t number = GetParam() + kRows[i].number;
    EXPECT_EQ(window.may_accept(number), kRows[i].accepted) << "row " << i + 1;
    EXPECT_EQ(window.accept(number), kRows[i].accepted) << "row " << i + 1;
  }
}

// RFC 4303 3.4.3: the check before the ICV moves nothing.
TEST_P(AtBothEnds, LookingChangesNothing) {
  for (const uint16_t size : kSizes) {
    Window window(size, GetParam());
    ASSERT_TRUE(window.accept(GetParam() + 100));
    EXPECT_TRUE(window.may_accept(GetParam() + 8000));
    EXPECT_TRUE(window.may_accept(GetParam() + 101));
    EXPECT_EQ(window.highest(), GetParam() + 100);
    EXPECT_TRUE(window.accept(GetParam() + 99));
  }
}

// ESP-18, R5.
TEST_P(AtBothEnds, WindowIsExactlyAsWideAsConfigured) {
  for (const uint16_t size : kSizes) {
    Window window(size, GetParam());
    const uint32_t right = GetParam() + 4 * size;
    ASSERT_TRUE(window.accept(right));
    EXPECT_FALSE(window.accept(right - size)) << "size " << size;
    EXPECT_TRUE(window.accept(right - size + 1)) << "size " << size;
    EXPECT_FALSE(window.accept(right - size + 1)) << "size " << size;
  }
}

// In order, then all of them again.
TEST_P(AtBothEnds, ManyWindowsFullOfTrafficAreAcceptedOnce) {
  for (const uint16_t size : kSizes) {
    Window window(size, GetParam());
    for (uint32_t n = 1; n <= 8191; ++n) ASSERT_TRUE(window.accept(GetParam() + n)) << size;
    for (uint32_t n = 0; n <= 8191; ++n) ASSERT_FALSE(window.accept(GetParam() + n)) << size;
  }
}

TEST(ReplayWindow, KnownSequences) {
  for (const auto& row : vectors().at("replay_window")) {
    Window window(row.at("window").get<uint16_t>(), 0);
    for (const auto& step : row.at("sequence")) {
      const auto number = step.at(0).get<uint32_t>();
      EXPECT_EQ(window.accept(number), step.at(1) == "accept") << row.at("why") << ": " << number;
    }
  }
}

// Two accepted numbers, then every number there could be around them.
TEST(ReplayWindow, EveryPairOfNumbers) {
  constexpr uint32_t kNumbers = 140;  // more than twice the largest of the sizes
  for (const uint32_t size : {32u, 33u, 63u, 64u}) {
    for (uint32_t first = 1; first < kNumbers; ++first) {
      for (uint32_t second = 1; second < kNumbers; ++second) {
        Window window(static_cast<uint16_t>(size), 0);
        const uint32_t right = std::max(first, second);
        ASSERT_TRUE(window.accept(first));
        ASSERT_EQ(window.accept(second), second != first && second + size > right);
        for (uint32_t n = 0; n < kNumbers + size; ++n) {
          const bool fresh = n != 0 && n != first && n != second && n + size > right;
          ASSERT_EQ(window.may_accept(n), fresh) << size << ": " << first << ", " << second;
        }
      }
    }
  }
}

// Traffic around the right edge: steps, duplicates, stragglers, jumps of about a ring, far jumps.
rc::Gen<int64_t> distance_from_highest(uint16_t size) {
  const int64_t width = size;
  return rc::gen::weightedOneOf<int64_t>(
      {{4, rc::gen::inRange<int64_t>(1, 4)},
       {6, rc::gen::inRange<int64_t>(-width - 2, 1)},
       {2, rc::gen::inRange<int64_t>(1, 3 * width)},
       {1, rc::gen::element<int64_t>(63, 64, 65, 1023, 1024, 1025, width - 1, width, width + 1)},
       {1, rc::gen::inRange<int64_t>(1, int64_t{1} << 31)}});
}

uint32_t within_numbers(int64_t number) {
  return static_cast<uint32_t>(std::clamp<int64_t>(number, 0, kTop));
}

TEST(ReplayWindow, EqualsAModelThatRemembersEverything) {
  for (const uint16_t size : kSizes) {
    EXPECT_TRUE(rc::check([size] {
      const auto start = *rc::gen::element<uint32_t>(0, 1, 1000, 1u << 31, kTop - 3000, kTop);
      const auto distances = *rc::gen::container<std::vector<int64_t>>(distance_from_highest(size));
      Window window(size, start);
      SlowModel model(size, start);
      for (const int64_t distance : distances) {
        const uint32_t number = within_numbers(int64_t{model.highest()} + distance);
        RC_ASSERT(window.may_accept(number) == model.may_accept(number));
        RC_ASSERT(window.accept(number) == model.accept(number));
        RC_ASSERT(window.highest() == model.highest());
      }
      for (int64_t back = -2; back <= 2 * size; ++back) {
        const uint32_t number = within_numbers(int64_t{model.highest()} - back);
        RC_ASSERT(window.may_accept(number) == model.may_accept(number));
      }
    })) << "size "
        << size;
  }
}

// GMESP_LONG=1: what takes a minute instead of a second.
bool run_long() { return std::getenv("GMESP_LONG") != nullptr; }

constexpr uint16_t kEdgeSizes[] = {32, 33, 64, 65, 128, 1024};

// Where a number can stand so that it matters: at the edges of the window, of a word, of the ring
// and of the numbers, on both sides, and far away.
std::vector<int64_t> distances_that_matter(uint16_t size) {
  const auto ring =
      static_cast<int64_t>(64 * std::max<size_t>(1, ReplayWindow::outside_words(size)));
  std::set<int64_t> distances{0, 2, int64_t{1} << 31};
  for (const int64_t edge : {int64_t{0}, int64_t{size}, int64_t{64}, ring}) {
    for (const int64_t near : {edge - 1, edge, edge + 1}) {
      distances.insert(near);
      distances.insert(-near);
    }
  }
  return {distances.begin(), distances.end()};
}

// Every sequence of so many of these distances, each step judged by the model; then every one of
// them as the number after the last.
class AllSequences {
 public:
  AllSequences(uint16_t size, uint32_t start, std::vector<int64_t> distances)
      : size_(size), start_(start), distances_(std::move(distances)) {}

  void run(size_t length) { go_on(SlowModel(size_, start_), length); }
  size_t tried() const { return tried_; }

 private:
  void go_on(const SlowModel& model, size_t length) {
    Window window(size_, start_);
    for (const uint32_t number : accepted_) ASSERT_TRUE(window.accept(number));
    ASSERT_EQ(window.highest(), model.highest());
    for (const int64_t distance : distances_) {
      ++tried_;
      const uint32_t number = within_numbers(int64_t{model.highest()} + distance);
      const bool fresh = model.may_accept(number);
      ASSERT_EQ(window.may_accept(number), fresh)
          << number << " after " << testing::PrintToString(accepted_);
      // One that is refused changes nothing: what follows it is what follows without it.
      if (!fresh) {
        ASSERT_FALSE(window.accept(number));
      }
      if (!fresh || length == 0) continue;
      accepted_.push_back(number);
      SlowModel next = model;
      next.accept(number);
      go_on(next, length - 1);
      if (testing::Test::HasFatalFailure()) return;
      accepted_.pop_back();
    }
  }

  const uint16_t size_;
  const uint32_t start_;
  const std::vector<int64_t> distances_;
  std::vector<uint32_t> accepted_;
  size_t tried_ = 0;
};

TEST(ReplayWindow, EverySequenceOfDistancesThatMatter) {
  for (const uint16_t size : kEdgeSizes) {
    for (const uint32_t start : {0u, 100000u, kTop - 2u * size, kTop - 1}) {
      SCOPED_TRACE(testing::Message() << "size " << size << " from " << start);
      AllSequences sequences(size, start, distances_that_matter(size));
      sequences.run(run_long() ? 4 : 3);
      if (HasFatalFailure()) return;
      EXPECT_GT(sequences.tried(), 50u);
    }
  }
}

// Windows smaller than any SA has are exhausted: no state of theirs is further than a few numbers
// away. From both ends of the numbers, and over the end of the ring.
TEST(ReplayWindow, EverySequenceOfNearNumbersInSmallWindows) {
  constexpr int64_t kFar = 10;  // more than any of the sizes
  constexpr uint16_t kLargest = 8;
  std::vector<int64_t> distances;
  for (int64_t distance = -kFar; distance <= kFar; ++distance) distances.push_back(distance);
  for (uint16_t size = 1; size <= kLargest; ++size) {
    for (const uint32_t start : {0u, 64u - 6, kTop - 12}) {
      SCOPED_TRACE(testing::Message() << "size " << size << " from " << start);
      AllSequences sequences(size, start, distances);
      sequences.run(run_long() ? 5 : 4);
      if (HasFatalFailure()) return;
      EXPECT_GT(sequences.tried(), 40'000u);
    }
  }
}

// A bit for each number of the window, the highest first: no ring, no words.
class ShiftedModel {
 public:
  ShiftedModel(uint16_t size, uint32_t seen) : size_(size), highest_(seen) { received_.set(); }

  bool accept(uint32_t number) {
    if (number > highest_) {
      received_ <<= std::min<size_t>(number - highest_, received_.size());
      received_.set(0);
      highest_ = number;
      return true;
    }
    const uint32_t behind = highest_ - number;
    if (behind >= size_ || received_.test(behind)) return false;
    received_.set(behind);
    return true;
  }
  uint32_t highest() const { return highest_; }

 private:
  uint16_t size_;
  uint32_t highest_;
  std::bitset<ReplayWindow::kMaxSize> received_;
};

// Mostly the next numbers and what is late or twice; sometimes an edge, rarely a far jump.
int64_t random_distance(uint64_t random, uint16_t size,
                        const std::vector<int64_t>& distances_that_matter) {
  const uint64_t what = random % 64;
  random >>= 6;
  if (what < 24) return random % 8 == 0 ? 3 : 1;
  if (what < 56) return -static_cast<int64_t>(random % (size + 3u));
  if (what < 58) return static_cast<int64_t>(random % (3u * size));
  if (what == 58 && random % 4096 == 0) return static_cast<int64_t>(random % (1u << 31));
  const size_t one = random % distances_that_matter.size();
  const bool far = distances_that_matter[one] > 1 << 20;
  return far ? 1 : distances_that_matter[one];
}

TEST(ReplayWindow, EqualsAModelOverALongLife) {
  const uint64_t steps = run_long() ? 100'000'000 : 1'000'000;
  for (const uint16_t size : {uint16_t{32}, uint16_t{64}, uint16_t{128}, uint16_t{1024}}) {
    const std::vector<int64_t> distances = distances_that_matter(size);
    std::mt19937_64 random(size);  // the same steps every time
    Window window(size, 0);
    ShiftedModel model(size, 0);
    uint64_t accepted = 0;
    uint64_t at_the_end = 0;
    for (uint64_t step = 0; step < steps; ++step) {
      const int64_t distance = random_distance(random(), size, distances);
      const uint32_t number = within_numbers(int64_t{model.highest()} + distance);
      // No 0: to the shifted model it is a number like others once the window reaches it.
      const bool fresh = number != 0 && model.accept(number);
      const bool could = window.may_accept(number);
      ASSERT_TRUE(could == fresh && window.accept(number) == fresh &&
                  window.highest() == model.highest())
          << "size " << size << ", step " << step << ", number " << number;
      accepted += fresh ? 1 : 0;
      if (model.highest() != kTop || ++at_the_end < 3u * size) continue;
      at_the_end = 0;
      const auto start = static_cast<uint32_t>(random());
      window = Window(size, start);
      model = ShiftedModel(size, start);
    }
    EXPECT_GT(accepted, steps / 4);
    EXPECT_GT(steps - accepted, steps / 32);
  }
}

TEST(ReplayWindow, OffAcceptsEverythingAgain) {
  Window window(ReplayWindow::kOff, 0);
  for (const uint32_t number : {1u, 1u, kTop, 5u, 5u, kTop}) {
    EXPECT_TRUE(window.may_accept(number));
    EXPECT_TRUE(window.accept(number));
  }
}

TEST(ReplayWindow, OffStillKnowsTheHighest) {
  ReplayWindow window(ReplayWindow::kOff, SequenceNumber{0}, nullptr);
  window.accept(SequenceNumber{7});
  window.accept(SequenceNumber{3});
  EXPECT_EQ(window.highest(), SequenceNumber{7});
}

TEST(ReplayWindow, DefaultIsAnUnused64) {  // ESP-18: 64 is the default
  ReplayWindow window;
  EXPECT_EQ(window.size(), 64);
  EXPECT_FALSE(window.accept(SequenceNumber{0}));
  EXPECT_TRUE(window.accept(SequenceNumber{1}));
}

TEST(ReplayWindow, AsksForMemoryOnlyOver64) {
  EXPECT_EQ(ReplayWindow::outside_words(0), 0u);
  EXPECT_EQ(ReplayWindow::outside_words(32), 0u);
  EXPECT_EQ(ReplayWindow::outside_words(64), 0u);
  EXPECT_EQ(ReplayWindow::outside_words(65), 2u);
  EXPECT_EQ(ReplayWindow::outside_words(128), 2u);
  EXPECT_EQ(ReplayWindow::outside_words(129), 4u);
  EXPECT_EQ(ReplayWindow::outside_words(1000), 16u);
  EXPECT_EQ(ReplayWindow::outside_words(1024), 16u);
}

}  // namespace
}  // namespace gmesp
