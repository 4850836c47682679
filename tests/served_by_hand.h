// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <gtest/gtest.h>
#include <sys/epoll.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "control/control_socket.h"
#include "control/listener.h"
#include "tests/control_client.h"

namespace gmesp {

// The control socket without its thread: clients act, then serve() lets it react.
class ServedByHand : public testing::Test {
 protected:
  explicit ServedByHand(const RigConfig& config = {}) : rig_(config) {}

  ControlRig rig_;
  WorkerProxies proxies_{rig_.channel_pointers()};
  SaManager sas_{rig_.limits, rig_.policy, rig_.steering, rig_.keys, proxies_};
  Registrar registrar_{rig_.registrar, sas_, [] { return std::chrono::milliseconds(0); }};
  FileDescriptor epoll_{epoll_create1(0)};
  RingServer rings_{epoll_.get(), registrar_, rig_.policy.role};
  Audit audit_{{}, 1'000'000'000, proxies_};
  PolicyKeeper policy_{proxies_, rig_.policy, {}};
  Commands commands_{{rig_.info, rig_.keys, proxies_, sas_, registrar_, rings_, audit_, policy_}};
  EventHub events_;
  std::string path_ = socket_path("by-hand.sock");
  std::unique_ptr<ControlSocket> socket_ = std::make_unique<ControlSocket>(
      listen_on(path_, ""), path_, epoll_.get(), commands_, events_);
  std::vector<std::unique_ptr<ControlClient>> clients_;

  ControlClient& connect() {
    clients_.push_back(std::make_unique<ControlClient>(path_));
    return *clients_.back();
  }
  void serve() {
    AssumeRole control(control_thread);
    epoll_event events[8];
    int count = 0;
    while ((count = epoll_wait(epoll_.get(), events, 8, 0)) != 0 || socket_->somebody_waits()) {
      for (int i = 0; i < count; ++i) socket_->on_ready(events[i].data.u64, events[i].events);
      socket_->serve_waiting();
    }
    socket_->send_events();
  }
  void fill() {
    while (clients_.size() < ControlSocket::kMaxConnections) {
      connect();
      serve();
    }
  }
  bool is_served(ControlClient& client) {
    EXPECT_TRUE(client.send(R"({"command":"sa count"})"));
    serve();
    return client.receive(0).find("total") != std::string::npos;
  }
};

}  // namespace gmesp
