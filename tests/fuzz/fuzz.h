// SPDX-License-Identifier: BSD-3-Clause
// What every fuzzer here is made of: a CHECK that holds in any build, and the input as a stream. A
// fuzzer defines run(); an input is judged by it alone, whatever came before, so that a file which
// breaks it breaks it again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

// Not assert(): it is to hold in any build.
#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (false)

namespace gmesp {

// Behind its end there are zeros without end: every prefix of an input is one too.
class FuzzInput {
 public:
  explicit FuzzInput(std::span<const uint8_t> bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  uint8_t byte() {
    if (rest_.empty()) return 0;
    const uint8_t first = rest_.front();
    rest_ = rest_.subspan(1);
    return first;
  }
  // Big-endian, as on the wire: what a dictionary or a dump has fits.
  uint16_t number16() {
    const unsigned high = byte();
    return static_cast<uint16_t>(high << 8 | byte());
  }
  uint32_t number32() {
    const uint32_t high = number16();
    return high << 16 | number16();
  }
  // As many of them as there are.
  std::vector<uint8_t> bytes(size_t count) {
    const auto taken = rest_.first(std::min(count, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return {taken.begin(), taken.end()};
  }
  // With a length of 16 bits in front.
  std::vector<uint8_t> piece() { return bytes(number16()); }

 private:
  std::span<const uint8_t> rest_;
};

// In every fuzzer's own file.
void run(FuzzInput input);

}  // namespace gmesp

extern "C" inline int fuzz_one(const uint8_t* data, size_t size) {
  // Memory of exactly this size: the sanitizer sees one byte too far.
  const std::vector<uint8_t> exact(data, data + size);
  gmesp::run(gmesp::FuzzInput(exact));
  return 0;
}
