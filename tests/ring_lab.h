// SPDX-License-Identifier: BSD-3-Clause
// gmespd's end of the rings with a Registrar and real workers behind it, a round at a time.
#pragma once

#include <gtest/gtest.h>
#include <sys/epoll.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/registration/registrar.h"
#include "control/ring_server.h"
#include "tests/control_rig.h"
#include "tests/ring_client.h"

namespace gmesp {

// Not a temporary: g++ 12 takes the parts of one for uninitialised.
inline const RegistrarConfig kPlainConfig;

class RingServerTest : public testing::Test {
 protected:
  RingServerTest() {
    registrar_.on_event([this](const SetEvent& event) { heard(event); });
  }

  std::unique_ptr<RingClient> connect() ON(control_thread) { return connect(socket_pair()); }
  std::unique_ptr<RingClient> connect(SocketPair pair) ON(control_thread) {
    server_.adopt(std::move(pair.servers));
    return std::make_unique<RingClient>(std::move(pair.ours));
  }
  std::vector<std::unique_ptr<RingClient>> connect_many(size_t count) ON(control_thread) {
    std::vector<std::unique_ptr<RingClient>> rings;
    while (rings.size() < count) rings.push_back(connect());
    return rings;
  }
  void heard(const SetEvent& event) {
    const AssumeRole role(control_thread);
    server_.on_event(event);
  }
  // What the control thread does in a round.
  void round() ON(control_thread) {
    epoll_event events[RingServer::kMaxRings];
    const int count = epoll_wait(epoll_.get(), events, std::size(events), 0);
    for (int i = 0; i < count; ++i) server_.on_ready(events[i].data.u64, events[i].events);
    server_.poll();
    rig_.poll_workers();
    proxies_.poll();
    while (registrar_.tick()) {
    }
  }
  void settle() ON(control_thread) {
    do {
      round();
    } while (server_.poll() || proxies_.waiting());
    round();
  }
  // The answer to one command.
  client::AnswerRecord ask(RingClient& ring, const client::CommandRecord& record)
      ON(control_thread) {
    EXPECT_TRUE(ring.put(record));
    settle();
    const std::optional<client::AnswerRecord> answer = ring.get();
    EXPECT_TRUE(answer.has_value());
    return answer.value_or(client::AnswerRecord{});
  }
  static std::string code(const client::AnswerRecord& answer) {
    return {reinterpret_cast<const char*>(answer.tail.data()), answer.head.refused};
  }

  ControlRig rig_{{.capacity = 4096}};
  WorkerProxies proxies_{rig_.channel_pointers()};
  SaManager sas_{rig_.limits, rig_.policy, rig_.steering, rig_.keys, proxies_};
  std::chrono::milliseconds now_{1000000};
  Registrar registrar_{kPlainConfig, sas_, [this] { return now_; }};
  FileDescriptor epoll_{epoll_create1(EPOLL_CLOEXEC)};
  RingServer server_{epoll_.get(), registrar_, Role::pcscf};
};

}  // namespace gmesp
