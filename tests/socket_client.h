// SPDX-License-Identifier: BSD-3-Clause
// A client of the control socket of a gmespd that is another process.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "control/command_rules.h"
#include "control/file_descriptor.h"

namespace gmesp {

class SocketClient {
 public:
  explicit SocketClient(const std::string& path)
      : fd_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    connected_ =
        connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  bool connected() const { return connected_; }
  int fd() const { return fd_.get(); }
  FileDescriptor take() { return std::move(fd_); }

  bool send(const std::string& record, int flags = 0) {
    return ::send(fd_.get(), record.data(), record.size(), MSG_NOSIGNAL | flags) >= 0;
  }
  // Empty: nothing came in time, or the connection has ended.
  std::string receive(int timeout_ms = 20000) {
    pollfd wait{fd_.get(), POLLIN, 0};
    if (poll(&wait, 1, timeout_ms) != 1) return "";
    std::string text(2 * kMaxRecordBytes, '\0');
    ssize_t got = recv(fd_.get(), text.data(), text.size(), 0);
    // A reset is told once, before what still waits to be read.
    if (got < 0 && errno == ECONNRESET) got = recv(fd_.get(), text.data(), text.size(), 0);
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return text;
  }
  nlohmann::json ask(const std::string& record) {
    if (!send(record)) return {};
    return nlohmann::json::parse(receive(), nullptr, false);
  }

 private:
  FileDescriptor fd_;
  bool connected_ = false;
};

}  // namespace gmesp
