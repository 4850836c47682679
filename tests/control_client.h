// SPDX-License-Identifier: BSD-3-Clause
// A client of the control socket, and a control thread to talk to, for tests.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "control/control_thread.h"
#include "control/file_descriptor.h"
#include "tests/control_rig.h"
#include "tests/socket_client.h"

namespace gmesp {

// A path in the test's own folder, short enough for a socket's address.
inline std::string socket_path(const std::string& name) {
  return "/tmp/gmesp-test-" + std::to_string(getpid()) + "-" + name;
}

using ControlClient = SocketClient;

// gmespd without DPDK: real workers and the control thread, each on its thread.
class RunningControl {
 public:
  // registrar: as the rig has it when there is none.
  RunningControl(const std::string& socket, const RigConfig& rig_config,
                 const RegistrarConfig* registrar = nullptr, const ConfigOrigin& origin = {})
      : rig(rig_config) {
    if (registrar != nullptr) rig.registrar = *registrar;
    control = std::make_unique<ControlThread>(ControlConfig{.socket = socket,
                                                            .group = "",
                                                            .sa = rig.limits,
                                                            .registrar = rig.registrar,
                                                            .origin = origin},
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
