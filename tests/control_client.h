// SPDX-License-Identifier: BSD-3-Clause
// A client of the control socket, and a control thread to talk to, for tests.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "control/control_thread.h"
#include "control/file_descriptor.h"
#include "tests/control_rig.h"

namespace gmesp {

// A path in the test's own folder, short enough for a socket's address.
inline std::string socket_path(const std::string& name) {
  return "/tmp/gmesp-test-" + std::to_string(getpid()) + "-" + name;
}

class ControlClient {
 public:
  explicit ControlClient(const std::string& path)
      : fd_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    connected_ =
        connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  bool connected() const { return connected_; }
  int fd() const { return fd_.get(); }

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

// gmespd without DPDK: real workers and the control thread, each on its thread.
class RunningControl {
 public:
  // registrar: as the rig has it when there is none.
  RunningControl(const std::string& socket, const RigConfig& rig_config,
                 const RegistrarConfig* registrar = nullptr)
      : rig(rig_config) {
    if (registrar != nullptr) rig.registrar = *registrar;
    control = std::make_unique<ControlThread>(ControlConfig{socket, "", rig.limits, rig.registrar},
                                              rig.info, rig.policy, rig.steering, rig.keys,
                                              rig.channel_pointers());
    rig.start();
    thread_ = std::thread([this] {
      AssumeRole role(control_thread);
      control->run(stop_.get());
    });
  }
  ~RunningControl() {
    const uint64_t one = 1;
    EXPECT_EQ(write(stop_.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
    thread_.join();
    rig.stop();
  }
  RunningControl(const RunningControl&) = delete;
  RunningControl& operator=(const RunningControl&) = delete;

  ControlRig rig;
  std::unique_ptr<ControlThread> control;

 private:
  FileDescriptor stop_{eventfd(0, EFD_CLOEXEC)};
  std::thread thread_;
};

}  // namespace gmesp
