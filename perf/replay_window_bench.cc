// SPDX-License-Identifier: BSD-3-Clause
// The replay window's two questions for a packet, may_accept and accept, with all packets in order
// and with half of them behind the right edge; beside it the shifting bit string that RFC 4303
// appendix A2 sketches.
#include <benchmark/benchmark.h>

#include <bitset>
#include <vector>

#include "dataplane/replay_window.h"

namespace gmesp {
namespace {

constexpr size_t kNumbers = 4096;

std::vector<uint32_t> traffic(bool half_late) {
  std::vector<uint32_t> numbers(kNumbers);
  for (uint32_t i = 0; i < kNumbers; ++i) numbers[i] = i + 1;
  constexpr uint32_t kBehind = 16;  // an early packet makes the next 15 late
  for (uint32_t i = 0; half_late && i + kBehind < kNumbers; i += 2 * kBehind) {
    std::swap(numbers[i], numbers[i + kBehind]);
  }
  return numbers;
}

class RingWindow {
 public:
  explicit RingWindow(uint16_t size)
      : size_(size), words_(ReplayWindow::outside_words(size)), window_(fresh()) {}
  bool take(uint32_t number) {
    const SequenceNumber n{number};
    return window_.may_accept(n) && window_.accept(n);
  }
  void reset() { window_ = fresh(); }

 private:
  ReplayWindow fresh() {
    return {size_, SequenceNumber{0}, words_.empty() ? nullptr : words_.data()};
  }
  uint16_t size_;
  std::vector<uint64_t> words_;
  ReplayWindow window_;
};

// Baseline.
class ShiftingWindow {
 public:
  explicit ShiftingWindow(uint16_t size) : size_(size) {}
  bool take(uint32_t number) { return may_accept(number) && accept(number); }
  void reset() {
    highest_ = 0;
    seen_.reset();
  }

 private:
  bool may_accept(uint32_t number) const {
    if (number > highest_) return true;
    const uint32_t behind = highest_ - number;
    return behind < size_ && !seen_[behind];
  }
  bool accept(uint32_t number) {
    if (number > highest_) {
      seen_ <<= number - highest_;
      highest_ = number;
    }
    seen_.set(highest_ - number);
    return true;
  }
  uint16_t size_;
  uint32_t highest_ = 0;
  std::bitset<ReplayWindow::kMaxSize> seen_;
};

template <typename Window>
void packets(benchmark::State& state) {
  Window window(static_cast<uint16_t>(state.range(0)));
  const std::vector<uint32_t> numbers = traffic(state.range(1) != 0);
  size_t accepted = 0;
  for ([[maybe_unused]] auto _ : state) {
    window.reset();
    accepted = 0;
    for (const uint32_t number : numbers) accepted += window.take(number);
    benchmark::DoNotOptimize(accepted);
  }
  if (accepted != kNumbers) state.SkipWithError("fresh numbers refused");
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kNumbers));
}

BENCHMARK_TEMPLATE(packets, RingWindow)
    ->Name("replay_window")
    ->ArgNames({"window", "late"})
    ->ArgsProduct({{32, 64, 128, 1024}, {0, 1}});
BENCHMARK_TEMPLATE(packets, ShiftingWindow)
    ->Name("shifting_bits")
    ->ArgNames({"window", "late"})
    ->ArgsProduct({{32, 64, 128, 1024}, {0, 1}});

}  // namespace
}  // namespace gmesp
