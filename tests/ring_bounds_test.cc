// SPDX-License-Identifier: BSD-3-Clause
// What clients of the rings can make gmespd hold: memory of those that have gone, descriptors that
// nobody takes.
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "control/ring_memory.h"
#include "control/ring_server.h"
#include "tests/ring_lab.h"

namespace gmesp {
namespace {

class RingBoundsTest : public RingServerTest {
 protected:
  // What the file holds, whoever has mapped it.
  static blkcnt_t blocks(const RingClient& ring) {
    struct stat file {};
    EXPECT_EQ(fstat(ring.memory_file(), &file), 0);
    return file.st_blocks;
  }
  // Asks for a ring and says no more, without looking at the answer.
  FileDescriptor ask_and_turn_away() ON(control_thread) {
    SocketPair pair = socket_pair();
    shutdown(pair.ours.get(), SHUT_WR);
    server_.adopt(std::move(pair.servers));
    settle();
    return std::move(pair.ours);
  }
  // Of the process's own, until the kernel lets no more be on their way.
  static bool fill_the_limit(int socket) {
    while (send_with(socket, "x", socket)) {
    }
    return errno == ETOOMANYREFS;
  }
};

TEST_F(RingBoundsTest, TakesTheMemoryOfAClientThatHasGoneBack) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  ask(*ring, register_record(1, 1));
  EXPECT_GT(blocks(*ring), 0);
  ring->hang_up();
  settle();
  EXPECT_EQ(server_.rings(), 0u);
  EXPECT_EQ(blocks(*ring), 0) << "the client has kept its descriptor and its mapping";
}

TEST_F(RingBoundsTest, TakesTheMemoryOfAClientThatLiesBack) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  ring->memory().answers.consumed = UINT64_MAX;
  settle();
  EXPECT_EQ(server_.counts().thrown_out, 1u);
  EXPECT_EQ(blocks(*ring), 0);
}

// With keys in it that nobody has taken.
TEST_F(RingBoundsTest, LeavesNothingOfItInTheMemory) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  ask(*ring, register_record(1, 1));
  ASSERT_NE(ring->memory().header.magic, 0u);
  ring->hang_up();
  settle();
  const auto* bytes = reinterpret_cast<const unsigned char*>(&ring->memory());
  EXPECT_EQ(std::count(bytes, bytes + sizeof(client::SharedMemory), 0),
            static_cast<ptrdiff_t>(sizeof(client::SharedMemory)));
}

TEST_F(RingBoundsTest, SendsNoMoreDescriptorsThanAreTaken) {
  AssumeRole role(control_thread);
  std::vector<FileDescriptor> sockets;
  for (size_t i = 0; i < RingServer::kMaxUntakenOfProcess; ++i) {
    sockets.push_back(ask_and_turn_away());
  }
  EXPECT_EQ(server_.rings(), 0u);
  const RingClient refused(ask_and_turn_away());
  EXPECT_NE(refused.text().find("\"no_memory\""), std::string::npos) << refused.text();
  EXPECT_EQ(server_.counts().turned_away, 1u);

  const RingClient late(std::move(sockets.back()));
  EXPECT_EQ(late.text(), client::kRingAnswer);
  sockets.pop_back();
  EXPECT_TRUE(connect()->connected()) << "one has been taken";
  sockets.clear();
  EXPECT_TRUE(connect()->connected()) << "so have those of clients that have gone";
}

// A descriptor that was only looked at is on its way still.
TEST_F(RingBoundsTest, KnowsWhatWasTakenFromWhatWasLookedAt) {
  AssumeRole role(control_thread);
  std::vector<FileDescriptor> sockets;
  for (size_t i = 0; i < RingServer::kMaxUntakenOfProcess; ++i) {
    sockets.push_back(ask_and_turn_away());
    char text[64];
    EXPECT_GT(recv(sockets.back().get(), text, sizeof text, MSG_PEEK), 0);
  }
  EXPECT_FALSE(connect()->connected());
}

TEST_F(RingBoundsTest, SaysSoWhenTheKernelCarriesNoMoreDescriptors) {
  AssumeRole role(control_thread);
  const pid_t child = fork();  // the kernel makes no bounds for root
  if (child == 0) {
    if (geteuid() == 0 &&
        (setgroups(0, nullptr) != 0 || setgid(65534) != 0 || setuid(65534) != 0)) {
      _exit(2);
    }
    const rlimit few{64, 64};
    setrlimit(RLIMIT_NOFILE, &few);
    const SocketPair filled = socket_pair();
    if (!fill_the_limit(filled.ours.get())) _exit(3);
    SocketPair pair = socket_pair();
    server_.adopt(std::move(pair.servers));
    const RingClient ring(std::move(pair.ours));
    const bool told = ring.text().find("\"no_memory\"") != std::string::npos;
    _exit(told && server_.counts().turned_away == 1 ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace gmesp
