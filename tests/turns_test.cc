// SPDX-License-Identifier: BSD-3-Clause
#include "control/turns.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

namespace gmesp {
namespace {

constexpr Peer kPeer{7, 1, 0};
constexpr Peer kSameUser{8, 1, 0};
constexpr Peer kOtherUser{9, 2, 0};

std::vector<uint64_t> in_order(Turns& turns) {
  std::vector<uint64_t> order;
  while (const auto connection = turns.next()) order.push_back(*connection);
  return order;
}

TEST(Turns, OfOneProcessComeAsTheyWereAskedFor) {
  Turns turns;
  for (const uint64_t connection : std::initializer_list<uint64_t>{3, 1, 2})
    turns.wait(connection, kPeer);
  EXPECT_EQ(in_order(turns), (std::vector<uint64_t>{3, 1, 2}));
  EXPECT_TRUE(turns.empty());
}

TEST(Turns, AreSharedByUsersThenByProcesses) {
  Turns turns;
  for (const uint64_t connection : std::initializer_list<uint64_t>{1, 2, 3, 4})
    turns.wait(connection, kPeer);
  for (const uint64_t connection : std::initializer_list<uint64_t>{11, 12})
    turns.wait(connection, kSameUser);
  for (const uint64_t connection : std::initializer_list<uint64_t>{21, 22, 23})
    turns.wait(connection, kOtherUser);
  EXPECT_EQ(in_order(turns), (std::vector<uint64_t>{1, 21, 11, 22, 2, 23, 12, 3, 4}));
}

TEST(Turns, AreNotWonByComingBack) {
  Turns turns;
  for (uint64_t i = 0; i < 10; ++i) {
    turns.wait(100 + i, kPeer);  // a new connection each time
    turns.wait(1, kSameUser);
    EXPECT_EQ(turns.next(), 100 + i);
    turns.wait(200 + i, kPeer);
    EXPECT_EQ(turns.next(), 1u);
    EXPECT_EQ(turns.next(), 200 + i);
  }
}

TEST(Turns, AreNotTakenByThoseThatHaveLeft) {
  Turns turns;
  for (const uint64_t connection : std::initializer_list<uint64_t>{1, 2, 3})
    turns.wait(connection, kPeer);
  turns.leave(1);
  turns.leave(9);
  EXPECT_EQ(in_order(turns), (std::vector<uint64_t>{2, 3}));
}

}  // namespace
}  // namespace gmesp
