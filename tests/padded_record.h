// SPDX-License-Identifier: BSD-3-Clause
// A client's record as Commands::handle() takes it: followed by the padding that it may read, and
// not by one byte more, so that AddressSanitizer sees a read beyond. (A vector that is made larger
// takes twice its size.)
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "control/request.h"

namespace gmesp {

class PaddedRecord {
 public:
  explicit PaddedRecord(std::string_view text)
      : size_(text.size()), bytes_(std::make_unique<char[]>(size_ + RequestReader::kPadding)) {
    std::ranges::copy(text, bytes_.get());
  }
  std::span<char> text() { return {bytes_.get(), size_}; }
  // Of the padding too.
  bool is_wiped() const {
    return std::all_of(bytes_.get(), bytes_.get() + size_ + RequestReader::kPadding,
                       [](char c) { return c == 0; });
  }

 private:
  size_t size_;
  std::unique_ptr<char[]> bytes_;
};

}  // namespace gmesp
