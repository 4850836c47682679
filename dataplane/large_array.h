// SPDX-License-Identifier: BSD-3-Clause
// A fixed array of many plain elements, all zero bytes at first, on its own pages (huge ones where
// the kernel gives them): one TLB entry covers 32,000 SAs instead of 64. Made at start; element
// access is all that happens later.
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
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
    if (memory == MAP_FAILED) {
      throw std::system_error(errno, std::generic_category(),
                              "memory for a table; lower [sa] capacity");
    }
    madvise(memory, bytes(), MADV_HUGEPAGE);  // a wish; small pages serve too
    data_ = static_cast<T*>(memory);
  }
  ~LargeArray() { munmap(data_, bytes()); }
  LargeArray(const LargeArray&) = delete;
  LargeArray& operator=(const LargeArray&) = delete;

  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  size_t size() const { return size_; }

 private:
  size_t bytes() const { return (size_ == 0 ? 1 : size_) * sizeof(T); }
  size_t size_;
  T* data_;
};

}  // namespace gmesp
