// SPDX-License-Identifier: BSD-3-Clause
#include "tools/stale_sockets.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "control/file_descriptor.h"
#include "dataplane/dpdk/device_string.h"

namespace gmesp {
namespace {

// Where a device listens; none: it does not, or not at a file.
std::optional<std::string_view> socket_of(const DeviceString& device) {
  const auto is = [&](std::string_view key, std::string_view value) {
    return device.argument(key) == value;
  };
  if (device.is_virtio_user() && is("server", "1")) return device.argument("path");
  if (device.is_vhost() && !is("client", "1")) return device.argument("iface");
  const bool memif = device.name().starts_with("net_memif");
  const bool server = is("role", "server") || is("role", "master");
  if (memif && server && is("socket-abstract", "no")) return device.argument("socket");
  return std::nullopt;
}

}  // namespace

std::vector<std::string> device_sockets(const Config& config) {
  std::vector<std::string> files;
  for (const DeviceConfig* config_of : {&config.access, &config.host}) {
    const DeviceString device(config_of->device);
    if (const auto file = socket_of(device)) files.emplace_back(*file);
  }
  return files;
}

bool has_device_that_connects(const Config& config) {
  for (const DeviceConfig* config_of : {&config.access, &config.host}) {
    const DeviceString device(config_of->device);
    for (const char* kind : {"memif", "vhost", "virtio_user"}) {
      if (device.name().find(kind) != std::string_view::npos) return true;
    }
  }
  return false;
}

void remove_stale_socket(const std::string& path) {
  struct stat file {};
  sockaddr_un address{};
  if (lstat(path.c_str(), &file) != 0 || !S_ISSOCK(file.st_mode)) return;
  if (path.size() >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const FileDescriptor probe(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const auto* to = reinterpret_cast<const sockaddr*>(&address);
  // A listener of another type says EPROTOTYPE.
  if (connect(probe.get(), to, sizeof address) == 0 || errno != ECONNREFUSED) {
    throw std::runtime_error("somebody listens at " + path +
                             ": stop it, or give the device another socket");
  }
  unlink(path.c_str());
}

}  // namespace gmesp
