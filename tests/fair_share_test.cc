// SPDX-License-Identifier: BSD-3-Clause
#include "control/fair_share.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <vector>

namespace gmesp {
namespace {

struct Row {
  const char* what;
  std::vector<std::pair<uid_t, pid_t>> holders;
  std::pair<uid_t, pid_t> newcomer;
  std::pair<uid_t, pid_t> gives;  // {0, 0}: nobody
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

TEST(FairShare, KnowsAPeerByTheKernelsWord) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
  const Peer peer = Peer::of(ends[0]);
  EXPECT_EQ(peer.process, getpid());
  EXPECT_EQ(peer.user, geteuid());
  EXPECT_EQ(peer.group, getegid());
  close(ends[0]);
  close(ends[1]);
  EXPECT_EQ(Peer::of(-1).user, static_cast<uid_t>(-1)) << "nobody, above all not root";
}

}  // namespace
}  // namespace gmesp
