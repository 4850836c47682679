// SPDX-License-Identifier: BSD-3-Clause
// RFC 4303 3.4.3: the anti-replay window of one inbound SA. A ring of bits indexed by the sequence
// number's low bits; the window is the `size` numbers up to and with the highest one accepted.
// Sequence numbers are 32 bits (no ESN: IMS does not negotiate it), so nothing wraps. Not
// thread-safe: one worker owns the SA. Windows over 64 keep their bits outside, in memory that the
// owner of the SA provides and frees after the delete.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace gmesp {

enum class SequenceNumber : uint32_t {};

class ReplayWindow {
 public:
  static constexpr uint16_t kMinSize = 32;
  static constexpr uint16_t kMaxSize = 1024;
  static constexpr uint16_t kOff = 0;  // accepts everything: benchmarks only

  // 64-bit words that a window of `size` needs outside: 0 up to 64, else the next power of two of
  // bits.
  static constexpr size_t outside_words(uint16_t size) {
    return size <= 64 ? 0 : std::bit_ceil(static_cast<size_t>(size)) / 64;
  }

  ReplayWindow() = default;
  // size: 0 or 32..1024. Everything up to `seen` counts as received; 0 itself is never valid (RFC
  // 4303 2.2: the first packet has 1). words: outside_words(size) words, or nullptr when that is 0.
  ReplayWindow(uint16_t size, SequenceNumber seen, uint64_t* words)
      : highest_(static_cast<uint32_t>(seen)), size_(size) {
    if (outside_words(size) == 0) {
      bits_ = ~uint64_t{0};
    } else {
      words_ = words;
      std::fill_n(words_, outside_words(size), ~uint64_t{0});
    }
  }

  // Before the ICV: could this number be accepted? Changes nothing. Spoofed packets may well pass.
  bool may_accept(SequenceNumber number) const {
    const auto n = static_cast<uint32_t>(number);
    if (n > highest_ || size_ == kOff) return true;
    return highest_ - n < size_ && !is_set(n);
  }

  // After the ICV: accepts the number once. Not redundant: two copies of a packet can share a burst
  // and both pass may_accept before either gets here.
  bool accept(SequenceNumber number) {
    if (!may_accept(number)) return false;
    const auto n = static_cast<uint32_t>(number);
    if (size_ == kOff) {
      highest_ = std::max(highest_, n);
      return true;
    }
    if (n == highest_ + 1) {  // nothing to clear: its bit is the one set next
      highest_ = n;
    } else if (n > highest_) {
      advance(n);
    }
    word(n) |= bit(n);
    return true;
  }

  SequenceNumber highest() const { return SequenceNumber{highest_}; }
  uint16_t size() const { return size_; }

 private:
  size_t word_count() const { return size_ <= 64 ? 1 : outside_words(size_); }
  const uint64_t* words() const { return size_ <= 64 ? &bits_ : words_; }
  // Not words chosen and indexed in one expression: g++ 12 with -fsanitize=shift gets that wrong.
  uint64_t* words() { return size_ <= 64 ? &bits_ : words_; }
  uint64_t& word(uint32_t n) { return words()[(n / 64) & (word_count() - 1)]; }
  static uint64_t bit(uint32_t n) { return uint64_t{1} << (n % 64); }
  bool is_set(uint32_t n) const { return (words()[(n / 64) & (word_count() - 1)] & bit(n)) != 0; }

  // Moves the right edge to n; the numbers jumped over have not been received.
  void advance(uint32_t n) {
    uint32_t cleared = highest_;
    const auto capacity = static_cast<uint32_t>(word_count() * 64);
    if (n - highest_ >= capacity) cleared = n - capacity;  // every bit once is enough
    while (cleared != n) {
      const uint32_t first = cleared + 1;
      const uint32_t in_word = std::min(64 - first % 64, n - cleared);
      const uint64_t ones = in_word == 64 ? ~uint64_t{0} : (uint64_t{1} << in_word) - 1;
      word(first) &= ~(ones << (first % 64));
      cleared += in_word;
    }
    highest_ = n;
  }

  uint32_t highest_ = 0;
  uint16_t size_ = 64;
  union {
    uint64_t bits_ = ~uint64_t{0};  // size <= 64
    uint64_t* words_;               // size > 64
  };
};
static_assert(sizeof(ReplayWindow) == 16, "a window up to 64 lives in the SA's one hot line");

}  // namespace gmesp
