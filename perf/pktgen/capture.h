// SPDX-License-Identifier: BSD-3-Clause
// The frames of a capture file in memory, in order. libpcap would copy each; a million of them are
// walked here where the page cache has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gmesp {

class Capture {
 public:
  // Throws std::runtime_error: no such file, or none that mkpcap could have written.
  explicit Capture(const std::string& path);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  size_t size() const { return frames_.size(); }
  std::span<const uint8_t> operator[](size_t i) const { return frames_[i]; }

 private:
  uint8_t* memory_ = nullptr;
  size_t bytes_ = 0;
  std::vector<std::span<const uint8_t>> frames_;
};

}  // namespace gmesp
