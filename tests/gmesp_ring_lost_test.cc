// SPDX-License-Identifier: BSD-3-Clause
// libgmesp whose ring another process is given: the memory is empty by then.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "control/ring_server.h"
#include "tests/client_lab.h"
#include "tests/ring_client.h"

namespace gmesp {
namespace {

// A ring that libgmesp does not know of.
std::unique_ptr<RingClient> raw_ring(const std::string& path) {
  ControlClient client(path);
  client.send(std::string(client::kRingRequest));
  pollfd answer{client.fd(), POLLIN, 0};
  poll(&answer, 1, 20000);
  return std::make_unique<RingClient>(client.take());
}

TEST(GmespRingLost, SaysThatItWasHungUpOn) {
  const std::string path = socket_path("ring-lost.sock");
  int start[2];
  ASSERT_EQ(pipe(start), 0);
  const pid_t other = fork();
  if (other == 0) {
    char byte;
    if (read(start[0], &byte, 1) != 1) _exit(2);
    const bool connected = raw_ring(path)->connected();
    _exit(connected ? 0 : 1);
  }
  const RunningControl running(path, {.workers = 1, .capacity = 64});
  std::vector<std::unique_ptr<RingClient>> rings;
  for (size_t i = 1; i < RingServer::kMaxRings; ++i) rings.push_back(raw_ring(path));
  Client client(path);
  Report report;
  EXPECT_GT(gmesp_refresh(client.get(), 1, 60, 10000, &report), 0) << "it has a ring, and used it";
  ASSERT_EQ(write(start[1], "x", 1), 1);
  int status = -1;
  waitpid(other, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(gmesp_refresh(client.get(), 1, 60, 10000, &report), GMESP_EDISCONNECTED);
}

}  // namespace
}  // namespace gmesp
