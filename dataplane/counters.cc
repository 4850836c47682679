// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/counters.h"

#include <bit>

namespace gmesp {

namespace {
using Words = std::array<uint64_t, sizeof(Counters) / sizeof(uint64_t)>;
}

Counters& operator+=(Counters& sum, const Counters& more) {
  auto words = std::bit_cast<Words>(sum);
  const auto added = std::bit_cast<Words>(more);
  for (size_t i = 0; i < words.size(); ++i) words[i] += added[i];
  return sum = std::bit_cast<Counters>(words);
}

void CounterSnapshot::publish(const Counters& counters) {
  const auto words = std::bit_cast<Words>(counters);
  for (size_t i = 0; i < kWords; ++i) words_[i].store(words[i], std::memory_order_relaxed);
}

Counters CounterSnapshot::read() const {
  Words words;
  for (size_t i = 0; i < kWords; ++i) words[i] = words_[i].load(std::memory_order_relaxed);
  return std::bit_cast<Counters>(words);
}

}  // namespace gmesp
