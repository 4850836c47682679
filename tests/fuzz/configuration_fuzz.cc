// SPDX-License-Identifier: BSD-3-Clause
// gmespd.toml: whatever the text, it is refused with a sentence that names its place, or means
// something that the engine can run with.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "control/config.h"
#include "tests/fuzz/fuzz.h"

namespace gmesp {
namespace {

// read_config() takes a path: a file that never sees a disk.
class TextFile {
 public:
  TextFile() : fd_(memfd_create("configuration", MFD_CLOEXEC)) { CHECK(fd_ >= 0); }
  const std::string& with(const std::vector<uint8_t>& text) {
    CHECK(ftruncate(fd_, 0) == 0);
    CHECK(pwrite(fd_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    return path_;
  }

 private:
  int fd_;
  std::string path_ = "/proc/self/fd/" + std::to_string(fd_);
};

void check(const Config& config) {
  CHECK(!config.socket.empty());
  CHECK(!config.access.device.empty() && !config.host.device.empty());
  CHECK(config.window == 0 ||
        (config.window >= ReplayWindow::kMinSize && config.window <= ReplayWindow::kMaxSize));
  CHECK(config.worker.sa_capacity > 0);
  CHECK(config.worker.path.access_mtu >= 576);
  for (const PolicyRule& rule : config.policy.rules) {
    CHECK(!rule.name.empty() && (rule.in || rule.out));
    for (const auto* ports : {&rule.local_ports, &rule.remote_ports}) {
      for (const PortRange& range : *ports) CHECK(range.first <= range.last);
    }
  }
  if (config.policy.role == Role::pcscf) CHECK(!config.policy.protected_ports.test(0));
  CHECK(config.ims.ue_port_first <= config.ims.ue_port_last);
}

}  // namespace

void run(FuzzInput input) {
  static auto& file = *new TextFile();
  const std::string& path = file.with(input.bytes(SIZE_MAX));
  try {
    check(read_config(path));
  } catch (const ConfigError& error) {
    CHECK(std::string_view(error.what()).starts_with(path));
  }
}

}  // namespace gmesp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz_one(data, size);
}
