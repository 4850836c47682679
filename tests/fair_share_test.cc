// SPDX-License-Identifier: BSD-3-Clause
#include "control/fair_share.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "control/file_descriptor.h"

namespace gmesp {
namespace {

struct Row {
  const char* what;
  std::vector<std::pair<uid_t, uint64_t>> holders;
  std::pair<uid_t, uint64_t> newcomer;
  std::pair<uid_t, uint64_t> gives;  // {0, 0}: nobody
};

const Row kRows[] = {
    {"nobody is there", {}, {1, 1}, {0, 0}},
    {"one process has all", {{1, 1}, {1, 1}, {1, 1}}, {1, 2}, {1, 1}},
    {"it asks for more", {{1, 1}, {1, 1}, {1, 1}}, {1, 1}, {0, 0}},
    {"another user asks", {{1, 1}, {1, 1}, {1, 1}}, {2, 2}, {1, 1}},
    {"a user with a process for each", {{1, 1}, {1, 2}, {1, 3}}, {2, 9}, {1, 1}},
    {"one more of those", {{1, 1}, {1, 2}, {1, 3}}, {1, 4}, {0, 0}},
    {"two users with as many", {{1, 1}, {1, 1}, {2, 2}, {2, 2}}, {1, 1}, {0, 0}},
    {"a third user", {{1, 1}, {1, 1}, {2, 2}, {2, 2}}, {3, 3}, {1, 1}},
    {"one more would only change sides", {{1, 1}, {1, 1}, {2, 2}}, {2, 2}, {0, 0}},
    {"the greedy one of a user's processes", {{1, 1}, {1, 2}, {1, 2}, {1, 2}}, {2, 9}, {1, 2}},
    {"within a user", {{1, 1}, {1, 2}, {1, 2}, {1, 2}, {2, 3}, {2, 3}}, {1, 1}, {1, 2}},
    {"a user below his share takes from the other, not from himself",
     {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {2, 2}},
     {2, 2},
     {1, 1}},
};

TEST(FairShare, TheLargestGivesWayUntilAllHaveAsMuch) {
  for (const Row& row : kRows) {
    std::vector<Peer> holders;
    for (const auto& [user, process] : row.holders) holders.push_back({process, user, 0});
    const auto giver = who_gives_way(holders, {row.newcomer.second, row.newcomer.first, 0});
    EXPECT_EQ(giver.has_value(), row.gives.first != 0) << row.what;
    if (!giver) continue;
    EXPECT_EQ(giver->user, row.gives.first) << row.what;
    EXPECT_EQ(giver->process, row.gives.second) << row.what;
  }
}

TEST(FairShare, ComparesUsersThenProcessesOfOneUser) {
  const std::vector<Peer> holders = {{1, 7, 0}, {1, 7, 0}, {2, 7, 0}, {3, 8, 0}};
  const Peer& greedy = holders[0];
  const Peer& other = holders[2];
  const Peer& other_user = holders[3];
  EXPECT_FALSE(has_more(holders, greedy, greedy));
  EXPECT_FALSE(has_more(holders, other, greedy));
  EXPECT_FALSE(has_more(holders, other_user, greedy));
  EXPECT_TRUE(has_more(holders, greedy, other));
  EXPECT_TRUE(has_more(holders, other, other_user)) << "a user with three";
  EXPECT_TRUE(has_more(holders, other_user, {9, 9, 0})) << "somebody new";
  EXPECT_FALSE(has_more(holders, other_user, {9, 7, 0})) << "one more of the user with three";
}

TEST(FairShare, PartsAreEqualForUsersThenProcessesThenConnections) {
  FairParts parts;
  const Peer alone{1, 7, 0}, with_another{2, 8, 0}, of_three{3, 8, 0};
  for (const Peer& peer : {alone, with_another, of_three, of_three, of_three}) parts.add(peer);
  EXPECT_EQ(parts.part(512, alone), 256u);
  EXPECT_EQ(parts.part(512, with_another), 128u);
  EXPECT_EQ(parts.part(512, of_three), 42u);
  EXPECT_EQ(parts.part(11, of_three), 0u) << "rounded down";
}

TEST(FairShare, KnowsAPeerByTheKernelsWord) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
  const Peer peer = Peer::of(ends[0]);
  EXPECT_EQ(peer.process, static_cast<uint64_t>(getpid()));
  EXPECT_EQ(peer.user, geteuid());
  EXPECT_EQ(peer.group, getegid());
  close(ends[0]);
  close(ends[1]);
  EXPECT_EQ(Peer::of(-1).user, static_cast<uid_t>(-1)) << "nobody, above all not root";
}

// Connections of this process twice and of another, as a process in a PID namespace of its own has
// them: the kernel says 0 of each.
class ElsewhereTest : public testing::Test {
 protected:
  enum Result { kTold = 0, kNotTold = 1, kNumbered = 2, kKernelCannot = 3 };

  ElsewhereTest() : listener_(socket(AF_UNIX, SOCK_SEQPACKET, 0)) {
    // An address of the kernel's choice.
    const sa_family_t family = AF_UNIX;
    bind(listener_.get(), reinterpret_cast<const sockaddr*>(&family), sizeof family);
    listen(listener_.get(), 4);
    clients_[0] = connection();
    clients_[1] = connection();
    other_ = fork();
    if (other_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const FileDescriptor client = connection();
      pause();
    }
    for (FileDescriptor& ours : servers_) {
      ours = FileDescriptor(accept(listener_.get(), nullptr, nullptr));
    }
  }
  ~ElsewhereTest() override {
    kill(other_, SIGKILL);
    waitpid(other_, nullptr, 0);
  }

  FileDescriptor connection() const {
    sockaddr_un address{};
    socklen_t bytes = sizeof address;
    getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &bytes);
    FileDescriptor client(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    EXPECT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), bytes), 0);
    return client;
  }
  Result told() const {
    const Peer first = Peer::of(servers_[0].get());
    const Peer second = Peer::of(servers_[1].get());
    const Peer other = Peer::of(servers_[2].get());
    if (first.process == 0) return kKernelCannot;
    if ((first.process & Peer::kElsewhere) == 0) return kNumbered;
    return first.process == second.process && first.process != other.process ? kTold : kNotTold;
  }

  // Before, one is everybody's.
  static bool has_pid_inodes() {
    struct stat ours {};
    struct stat anybodys {};
    fstat(FileDescriptor(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0))).get(), &ours);
    fstat(FileDescriptor(eventfd(0, 0)).get(), &anybodys);
    return ours.st_dev != anybodys.st_dev;
  }

  FileDescriptor listener_;
  std::array<FileDescriptor, 2> clients_;
  std::array<FileDescriptor, 3> servers_;
  pid_t other_ = -1;
};

TEST_F(ElsewhereTest, ProcessesThatHaveNoNumberHereAreToldApart) {
  if (geteuid() != 0) GTEST_SKIP() << "a PID namespace takes root";
  const pid_t outer = fork();
  if (outer == 0) {
    if (unshare(CLONE_NEWPID) != 0) _exit(99);
    const pid_t inner = fork();
    if (inner == 0) _exit(told());
    int status = -1;
    waitpid(inner, &status, 0);
    _exit(WEXITSTATUS(status));
  }
  int status = -1;
  waitpid(outer, &status, 0);
  if (WEXITSTATUS(status) == kKernelCannot || !has_pid_inodes()) {
    GTEST_SKIP() << "Linux 6.9 or later";
  }
  EXPECT_EQ(WEXITSTATUS(status), kTold);
}

}  // namespace
}  // namespace gmesp
