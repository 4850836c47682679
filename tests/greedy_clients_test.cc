// SPDX-License-Identifier: BSD-3-Clause
// Who loses what when a process wants too much of the control socket: by hand, a round at a time,
// against newcomers that are other processes.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <string>

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
    sas_.poll();
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

}  // namespace
}  // namespace gmesp
