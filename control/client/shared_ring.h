// SPDX-License-Identifier: BSD-3-Clause
// One producer and one consumer that do not trust each other, over memory that both can write at
// any time. Each side keeps its own index to itself and only tells it; the other side's is read
// once, judged, and used as a private copy. No value in the memory can move an access out of the
// slots: the worst that a lie does is to spoil the liar's own records, or to be noticed (broken()).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace gmesp::client {

// Counted on without end: the place is the number modulo the slots.
struct RingIndices {
  alignas(64) std::atomic<uint64_t> produced;
  alignas(64) std::atomic<uint64_t> consumed;
};
static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(RingIndices) == 128,
              "what two processes share has no lock in it");

struct RingSlots {
  std::byte* memory;
  size_t bytes;  // of one
  size_t count;  // a power of two
  std::byte* at(uint64_t number) const { return memory + (number & (count - 1)) * bytes; }
};

class RingProducer {
 public:
  RingProducer(RingIndices& shared, const RingSlots& slots) : shared_(&shared), slots_(slots) {}

  // Where the next record goes; none: full, or broken.
  std::byte* slot() {
    if (produced_ - consumed_ == slots_.count) look();
    return broken_ || produced_ - consumed_ == slots_.count ? nullptr : slots_.at(produced_);
  }
  void publish() { shared_->produced.store(++produced_, std::memory_order_release); }
  // Records that the consumer has not taken.
  size_t used() {
    look();
    return produced_ - consumed_;
  }
  // The consumer has told an index that cannot be. It stays so.
  bool broken() const { return broken_; }

 private:
  void look() {
    const uint64_t told = shared_->consumed.load(std::memory_order_acquire);
    // Neither back, nor beyond what there is.
    if (produced_ - told > produced_ - consumed_) {
      broken_ = true;
    } else {
      consumed_ = told;
    }
  }

  RingIndices* shared_;
  RingSlots slots_;
  uint64_t produced_ = 0;
  uint64_t consumed_ = 0;  // as last told
  bool broken_ = false;
};

class RingConsumer {
 public:
  RingConsumer(RingIndices& shared, const RingSlots& slots) : shared_(&shared), slots_(slots) {}

  // The oldest record; none: empty, or broken. The producer can still change it: copy, then judge.
  std::byte* front() {
    if (produced_ == consumed_) look();
    return broken_ || produced_ == consumed_ ? nullptr : slots_.at(consumed_);
  }
  void pop() { shared_->consumed.store(++consumed_, std::memory_order_release); }
  // The producer has told an index that cannot be. It stays so.
  bool broken() const { return broken_; }

 private:
  void look() {
    const uint64_t told = shared_->produced.load(std::memory_order_acquire);
    if (told - consumed_ > slots_.count) {
      broken_ = true;
    } else {
      produced_ = told;
    }
  }

  RingIndices* shared_;
  RingSlots slots_;
  uint64_t produced_ = 0;  // as last told
  uint64_t consumed_ = 0;
  bool broken_ = false;
};

// The compiler must not read a record's bytes again after they were copied and judged.
inline void end_of_copy() { asm volatile("" ::: "memory"); }

}  // namespace gmesp::client
