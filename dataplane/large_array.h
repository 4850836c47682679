// SPDX-License-Identifier: BSD-3-Clause
// A fixed array of many plain elements, all zero bytes at first, on its own pages (huge ones where
// the kernel gives them): one TLB entry covers 16,000 SAs instead of 32. Made at start; element
// access is all that happens later. A page costs its first user a fault and the clearing of it,
// 12 ms on a bad day (perf/README.md): populate() pays that at start.
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <type_traits>

namespace gmesp {

template <typename T>
class LargeArray {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>,
                "elements begin as zero bytes and end without a destructor");

 public:
  // Throws std::system_error when the memory cannot be had.
  explicit LargeArray(size_t size) : size_(size) {
    void* memory =
        mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw_no_memory();
    madvise(memory, bytes(), MADV_HUGEPAGE);  // a wish; small pages serve too
    data_ = static_cast<T*>(memory);
  }
  ~LargeArray() { munmap(data_, bytes()); }
  LargeArray(const LargeArray&) = delete;
  LargeArray& operator=(const LargeArray&) = delete;

  // Takes every page now, near the CPU of the calling thread, which owns the array. Throws
  // std::system_error when there is not so much memory.
  void populate() {
#ifdef MADV_POPULATE_WRITE
    if (madvise(data_, bytes(), MADV_POPULATE_WRITE) == 0) return;
    if (errno == ENOMEM) throw_no_memory();
#endif
    // Before Linux 5.14: a write to each page does the same.
    constexpr size_t kPageBytes = 4096;
    auto* const memory = reinterpret_cast<volatile uint8_t*>(data_);
    for (size_t at = 0; at < bytes(); at += kPageBytes) memory[at] = memory[at];
  }

  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  size_t size() const { return size_; }

 private:
  [[noreturn]] static void throw_no_memory() {
    throw std::system_error(errno, std::generic_category(),
                            "memory for a table; lower [sa] capacity or [fragments] held");
  }
  size_t bytes() const { return (size_ == 0 ? 1 : size_) * sizeof(T); }
  size_t size_;
  T* data_;
};

}  // namespace gmesp
