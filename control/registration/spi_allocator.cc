// SPDX-License-Identifier: BSD-3-Clause
#include "control/registration/spi_allocator.h"

#include <algorithm>
#include <utility>

namespace gmesp {
namespace {

// 10 million SPIs of 2^31 are taken: a try fails once in 200, and 64 in a row never do.
constexpr int kTries = 64;
// More than one for each that comes, so that the queue ends, and few, so that no call is long.
constexpr int kLetGoAtOnce = 4;

}  // namespace

SpiAllocator::SpiAllocator(SpiRange range, Milliseconds quarantine, std::function<bool(Spi)> in_use,
                           size_t expected, size_t most_quarantined)
    : range_(range),
      quarantine_(quarantine),
      in_use_(std::move(in_use)),
      most_quarantined_(most_quarantined),
      reserved_(expected),
      resting_(std::min(expected, most_quarantined)) {}

std::optional<Spi> SpiAllocator::take(std::span<const Spi> avoid, Milliseconds now) {
  let_go(now);
  for (int i = 0; i < kTries; ++i) {
    const uint32_t spi = range_.first + random_.below(range_.last - range_.first + 1);
    if (std::find(avoid.begin(), avoid.end(), Spi{spi}) != avoid.end() || resting_.contains(spi) ||
        reserved_.contains(spi) || in_use_(Spi{spi})) {
      continue;
    }
    reserved_.insert(spi);
    return Spi{spi};
  }
  return std::nullopt;
}

void SpiAllocator::release(Spi spi, Milliseconds now) {
  let_go(now);
  const auto number = static_cast<uint32_t>(spi);
  if (!reserved_.erase(number)) return;
  if (resting_.size() >= most_quarantined_) {
    resting_.erase(queue_.front().spi);
    queue_.pop_front();
    ++let_go_early_;
  }
  resting_.insert(number);
  queue_.push_back({number, now + quarantine_});
}

void SpiAllocator::let_go(Milliseconds now) {
  for (int i = 0; i < kLetGoAtOnce && !queue_.empty() && queue_.front().until <= now; ++i) {
    resting_.erase(queue_.front().spi);
    queue_.pop_front();
  }
}

}  // namespace gmesp
