// SPDX-License-Identifier: BSD-3-Clause
// The jobs of a batch side by side by suite, in the order they came. Their keys were asked for
// passes ago (Inbound::check_replay, Outbound::find_policy): within a batch it is too late
// (measured). Private to crypto/.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

#include "crypto/algorithm.h"
#include "crypto/multi_buffer.h"

namespace gmesp {

class BySuite {
 public:
  explicit BySuite(std::span<EspJob> jobs) {
    assert(jobs.size() <= MultiBuffer::kMaxJobs);
    std::array<uint8_t, kSuiteCount> counts{};
    for (EspJob& job : jobs) {
      job.good = false;
      ++counts[static_cast<size_t>(job.suite)];
    }
    std::array<uint8_t, kSuiteCount> next{};
    for (size_t i = 0; i < kSuiteCount; ++i) {
      next[i] = begin_[i];
      begin_[i + 1] = static_cast<uint8_t>(begin_[i] + counts[i]);
    }
    for (EspJob& job : jobs) sorted_[next[static_cast<size_t>(job.suite)]++] = &job;
  }

  std::span<EspJob* const> operator[](Suite suite) const {
    const size_t i = static_cast<size_t>(suite);
    return {sorted_.data() + begin_[i], size_t{begin_[i + 1]} - begin_[i]};
  }

 private:
  std::array<uint8_t, kSuiteCount + 1> begin_{};
  std::array<EspJob*, MultiBuffer::kMaxJobs> sorted_;
};

}  // namespace gmesp
