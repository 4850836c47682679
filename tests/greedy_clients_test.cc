// SPDX-License-Identifier: BSD-3-Clause
// Who loses what when a process wants too much of the control socket: by hand, a round at a time,
// against newcomers that are other processes.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/served_by_hand.h"

namespace gmesp {
namespace {

const std::string kCount = R"({"command":"sa count"})";
const std::string kMonitor = R"({"command":"monitor"})";
const std::string kAdd =
    R"({"command":"sa add","dir":"in","spi":4096,"src":"198.51.100.7","dst":"192.0.2.1",)"
    R"("proto":"any","alg":"hmac-md5-96","auth-key":"000102030405060708090a0b0c0d0e0f",)"
    R"("ealg":"null"})";

class GreedyClientsTest : public ServedByHand {
 protected:
  // What another process is answered by a server that has, if it is so, no descriptor left.
  std::string answer_to_another(const std::string& record, bool out_of_descriptors = false) {
    int ends[2];
    if (pipe(ends) != 0) return "";
    const pid_t child = fork();
    if (child == 0) {
      ControlClient client(path_);
      client.send(record);
      const std::string answer = client.receive();
      _exit(write(ends[1], answer.data(), answer.size()) < 0);
    }
    close(ends[1]);
    const FileDescriptor its_answer(ends[0]);
    rlimit before{};
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    if (out_of_descriptors) {
      const rlimit none{static_cast<rlim_t>(FileDescriptor(dup(ends[0])).get()), before.rlim_max};
      EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    }
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) serve();
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    std::string answer(1000, '\0');
    const ssize_t got = read(its_answer.get(), answer.data(), answer.size());
    answer.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return answer;
  }
};

TEST_F(GreedyClientsTest, AClientThatMonitorsKeepsItsPlaceWhereItsProcessHasOthers) {
  ControlClient& monitor = connect();
  ASSERT_TRUE(monitor.send(kMonitor));
  serve();
  EXPECT_NE(monitor.receive(0).find("monitoring"), std::string::npos);
  fill();
  EXPECT_NE(answer_to_another(kCount).find("total"), std::string::npos);
  EXPECT_TRUE(is_served(monitor));
}

TEST_F(GreedyClientsTest, AClientThatWaitsForItsAnswerKeepsItsPlaceWhereItsProcessHasOthers) {
  ControlClient& waiting = connect();
  ASSERT_TRUE(waiting.send(kAdd));
  serve();
  fill();
  EXPECT_NE(answer_to_another(kCount).find("total"), std::string::npos);
  {
    const AssumeRole control(control_thread);
    rig_.poll_workers();
    proxies_.poll();
  }
  serve();
  EXPECT_NE(waiting.receive(0).find("added"), std::string::npos);
}

TEST_F(GreedyClientsTest, AProcessThatMonitorsWithoutEndKeepsNobodyFromIt) {
  for (size_t i = 0; i < ControlSocket::kMaxMonitors; ++i) {
    ASSERT_TRUE(connect().send(kMonitor));
    serve();
    EXPECT_NE(clients_.back()->receive(0).find("monitoring"), std::string::npos);
  }
  EXPECT_NE(answer_to_another(kMonitor).find("monitoring"), std::string::npos);
  EXPECT_NE(clients_.back()->receive(0).find("too_many_connections"), std::string::npos)
      << "the newest has given way";
  EXPECT_TRUE(is_served(*clients_.front()));
}

// With a limit that is far below the number of places.
TEST_F(GreedyClientsTest, AProcessThatUsesUpTheDescriptorsKeepsNobodyOut) {
  for (int i = 0; i < 20; ++i) {
    connect();
    serve();
  }
  const size_t clients = socket_->connections();
  EXPECT_NE(answer_to_another(kCount, true).find("total"), std::string::npos);
  serve();
  EXPECT_EQ(socket_->connections(), clients - 1) << "one has given way, and the newcomer has gone";
}

class ManySasTest : public ServedByHand {
 protected:
  static constexpr uint32_t kSas = 90000;
  ManySasTest() : ServedByHand({.capacity = kSas, .worker_capacity = 64}) {
    const AssumeRole control(control_thread);
    const std::vector<uint8_t> key(20, 0x5a);
    NewSa sa;
    sa.direction = Direction::out;
    sa.selector.source = *parse_address("192.0.2.1");
    sa.selector.destination = *parse_address("198.51.100.7");
    sa.suite = Suite::sha1_null;
    sa.keys.authentication = Key(key);
    for (uint32_t i = 0; i < kSas; ++i) {
      sa.spi = Spi{1000 + i};
      sas_.add(sa, [](std::optional<Refusal>) {});  // that no worker has is all the same
    }
  }
  static size_t answers(ControlClient& client) {
    size_t count = 0;
    while (!client.receive(0).empty()) ++count;
    return count;
  }
  // Of all clients until now.
  size_t walked() {
    for (const auto& client : clients_) walked_ += answers(*client);
    return walked_;
  }
  // What the control thread does in a round, for clients that are there.
  void serve_a_round() {
    const AssumeRole control(control_thread);
    epoll_event events[512];
    const int count = epoll_wait(epoll_.get(), events, 512, 0);
    for (int i = 0; i < count; ++i) socket_->on_ready(events[i].data.u64, events[i].events);
    socket_->serve_waiting();
  }

 private:
  size_t walked_ = 0;
};

// A filter that fits none of them: a page looks at 65536, which takes longer than a round's share
// divided by 32.
const std::string kWalk = R"({"command":"sa list","dir":"out","spi":1})";

TEST_F(ManySasTest, AClientThatAsksForMuchGivesOthersTheirTurn) {
  constexpr size_t kRecords = 32;
  ControlClient& client = connect();
  serve();
  for (size_t i = 0; i < kRecords; ++i) ASSERT_TRUE(client.send(kWalk));
  serve_a_round();
  const size_t in_one_turn = answers(client);
  EXPECT_GE(in_one_turn, 1u);
  EXPECT_LT(in_one_turn, kRecords);
  serve();
  EXPECT_EQ(in_one_turn + answers(client), kRecords) << "all in the end";
}

TEST_F(ManySasTest, AProcessWithManyConnectionsTakesNoMoreOfARound) {
  constexpr size_t kClients = 200;
  for (size_t i = 0; i < kClients; ++i) {
    connect();
    serve();
  }
  for (const auto& client : clients_) ASSERT_TRUE(client->send(kWalk));
  serve_a_round();
  size_t in_one_round = 0;
  for (const auto& client : clients_) in_one_round += answers(*client);
  EXPECT_GE(in_one_round, 1u);
  EXPECT_LT(in_one_round, kClients / 4);
  serve();
  for (const auto& client : clients_) in_one_round += answers(*client);
  EXPECT_EQ(in_one_round, kClients) << "all in the end";
}

TEST_F(ManySasTest, AProcessWithManyConnectionsKeepsNoOtherFromItsTurn) {
  for (int i = 0; i < 200; ++i) {
    connect();
    serve();
  }
  for (const auto& client : clients_) {
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(client->send(kWalk));
  }
  serve_a_round();
  const size_t before = walked();
  const pid_t child = fork();
  if (child == 0) _exit(ControlClient(path_).ask(kCount).contains("total") ? 0 : 1);
  int status = -1;
  for (int round = 0; round < 800 && waitpid(child, &status, WNOHANG) == 0; ++round) {
    usleep(1000);  // its round has come when it has asked
    serve_a_round();
  }
  EXPECT_EQ(status, 0);
  EXPECT_LT(walked() - before, 400u) << "of the 800 that wait";
}

TEST_F(ManySasTest, AreNotAllLookedAtForAnSpiWithoutItsDestination) {
  ControlClient& client = connect();
  serve();
  ASSERT_TRUE(client.send(R"({"command":"sa show","dir":"out","spi":1000})"));
  serve();
  EXPECT_NE(client.receive(0).find("ambiguous_spi"), std::string::npos);
}

}  // namespace
}  // namespace gmesp
