// SPDX-License-Identifier: BSD-3-Clause
#include "perf/pktgen/capture.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "control/file_descriptor.h"

namespace gmesp {
namespace {

constexpr uint32_t kMagic = 0xa1b2c3d4;  // pcap-savefile(5), in this machine's byte order
constexpr size_t kFileHeaderBytes = 24;
constexpr size_t kFrameHeaderBytes = 16;
constexpr size_t kCapturedBytesOffset = 8;

uint32_t word_at(const uint8_t* bytes) {
  uint32_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

}  // namespace

Capture::Capture(const std::string& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!file || fstat(file.get(), &status) != 0) {
    throw std::runtime_error(path + ": " + std::strerror(errno));
  }
  bytes_ = static_cast<size_t>(status.st_size);
  void* const mapping = mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file.get(), 0);
  if (mapping == MAP_FAILED) throw std::runtime_error(path + ": " + std::strerror(errno));
  memory_ = static_cast<uint8_t*>(mapping);
  size_t at = kFileHeaderBytes;
  bool whole = bytes_ > at && word_at(memory_) == kMagic;
  while (whole && at < bytes_) {
    const uint8_t* const header = memory_ + at;
    at += kFrameHeaderBytes;
    whole = at <= bytes_ && word_at(header + kCapturedBytesOffset) <= bytes_ - at;
    if (!whole) break;
    frames_.emplace_back(memory_ + at, word_at(header + kCapturedBytesOffset));
    at += frames_.back().size();
  }
  if (whole) return;
  munmap(memory_, bytes_);
  throw std::runtime_error(path + ": not a whole capture as gmespctl mkpcap writes it");
}

Capture::~Capture() { munmap(memory_, bytes_); }

}  // namespace gmesp
