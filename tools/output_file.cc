// SPDX-License-Identifier: BSD-3-Clause
#include "tools/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace gmesp {
namespace {

constexpr uint32_t kMagic = 0xa1b2c3d4;  // microseconds, in the byte order of the writer
constexpr uint32_t kLinkTypeEthernet = 1;
constexpr uint32_t kMaxFrameBytes = 65535;
constexpr uint64_t kFramesASecond = 1000000;

struct FileHeader {
  uint32_t magic = kMagic;
  uint16_t major = 2;
  uint16_t minor = 4;
  uint32_t reserved[2]{};
  uint32_t snapshot_bytes = kMaxFrameBytes;
  uint32_t link_type = kLinkTypeEthernet;
};
static_assert(sizeof(FileHeader) == 24, "pcap-savefile(5)");

struct FrameHeader {
  uint32_t seconds;
  uint32_t microseconds;
  uint32_t captured_bytes;
  uint32_t frame_bytes;
};
static_assert(sizeof(FrameHeader) == 16, "pcap-savefile(5)");

}  // namespace

OutputFile::OutputFile(std::string path, Readers readers) : path_(std::move(path)) {
  constexpr mode_t kOwnerOnly = 0600;
  const mode_t mode = readers == Readers::owner ? kOwnerOnly : 0644;
  const int fd = open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, mode);
  if (fd < 0) fail();
  file_.reset(fdopen(fd, "w"));
  if (!file_) {
    close(fd);
    fail();
  }
  struct stat status {};
  if (fstat(fd, &status) != 0) fail();
  if (!S_ISREG(status.st_mode)) return;
  // Rights before the old contents go: what cannot be made ours is left as it is.
  if (readers == Readers::owner && fchmod(fd, kOwnerOnly) != 0) fail();
  if (ftruncate(fd, 0) != 0) fail();
}

OutputFile::~OutputFile() {
  if (!file_) return;
  struct stat status {};
  if (fstat(fileno(file_.get()), &status) == 0 && S_ISREG(status.st_mode)) unlink(path_.c_str());
}

void OutputFile::write(const void* bytes, size_t count) {
  if (fwrite(bytes, 1, count, file_.get()) != count) fail();
}

void OutputFile::finish() {
  if (fflush(file_.get()) != 0) fail();
  if (fclose(file_.release()) == 0) return;
  const int error = errno;
  unlink(path_.c_str());
  errno = error;
  fail();
}

void OutputFile::fail() const {
  throw OutputError("cannot write " + path_ + ": " + std::strerror(errno));
}

PcapFile::PcapFile(std::string path) : file_(std::move(path), Readers::everyone) {
  const FileHeader header;
  file_.write(&header, sizeof header);
}

void PcapFile::add(std::span<const uint8_t> frame) {
  const auto bytes = static_cast<uint32_t>(frame.size());
  const FrameHeader header{static_cast<uint32_t>(frames_ / kFramesASecond),
                           static_cast<uint32_t>(frames_ % kFramesASecond), bytes, bytes};
  ++frames_;
  file_.write(&header, sizeof header);
  file_.write(frame.data(), frame.size());
}

}  // namespace gmesp
