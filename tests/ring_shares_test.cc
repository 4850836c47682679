// SPDX-License-Identifier: BSD-3-Clause
// What clients of the rings can take from others: of a round, with commands, with bells, by going;
// places, by coming.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "control/ring_server.h"
#include "control/served_ring.h"
#include "tests/ring_lab.h"

namespace gmesp {
namespace {

using client::CommandKind;

class RingSharesTest : public RingServerTest {
 protected:
  // Refused at once.
  static void put(RingClient& ring, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      ASSERT_TRUE(ring.put(RecordMaker(CommandKind::refresh, i, 1).record));
    }
  }
  static size_t answers(RingClient& ring) {
    size_t count = 0;
    while (ring.get()) ++count;
    return count;
  }
  static void lie(RingClient& ring) { ring.memory().answers.consumed = UINT64_MAX; }
};

TEST_F(RingSharesTest, ARoundIsSharedByProcessesNotByRings) {
  AssumeRole role(control_thread);
  const auto rings = connect_many(100);
  for (const auto& ring : rings) put(*ring, 8);
  const auto other = connect(std::move(socket_pairs_of_another(1)[0]));
  put(*other, 200);
  server_.poll();
  EXPECT_EQ(answers(*other), RingServer::kCommandsPerTurn);
  size_t in_one_round = 0;
  for (const auto& ring : rings) {
    const size_t done = answers(*ring);
    EXPECT_GE(done, 1u);
    in_one_round += done;
  }
  EXPECT_LE(in_one_round, RingServer::kCommandsPerRound / 2);
}

TEST_F(RingSharesTest, ARoundIsSharedByThoseThatHaveACommand) {
  AssumeRole role(control_thread);
  const auto idle = connect_many(100);
  const auto ring = connect();
  put(*ring, 200);
  server_.poll();
  EXPECT_EQ(answers(*ring), RingServer::kCommandsPerTurn);
}

// Each takes half a millisecond.
TEST_F(RingSharesTest, OneRingGoesInARoundHoweverManyAreOver) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  const auto over = connect_many(10);
  for (size_t i = 0; i < over.size(); i += 2) {
    over[i]->hang_up();
    lie(*over[i + 1]);
  }
  for (size_t gone = 1; gone <= over.size(); ++gone) {
    put(*ring, 1);
    round();
    EXPECT_EQ(answers(*ring), 1u) << "the others are not waited for";
    EXPECT_EQ(server_.rings(), 1 + over.size() - gone);
    EXPECT_EQ(server_.counts().thrown_out, gone / 2);
    EXPECT_EQ(server_.ready_to_wait(), gone == over.size());
    server_.awake();
  }
}

TEST_F(RingSharesTest, ANewcomerGetsThePlaceOfOneThatIsOver) {
  AssumeRole role(control_thread);
  auto rings = connect_many(RingServer::kMaxRings);
  constexpr size_t kOver = 4;
  for (size_t i = 0; i < kOver; i += 2) {
    rings[i]->hang_up();
    lie(*rings[i + 1]);
  }
  round();
  EXPECT_EQ(server_.rings(), RingServer::kMaxRings - 1) << "three are still to go";
  std::vector<std::unique_ptr<RingClient>> newcomers;
  newcomers.push_back(connect(std::move(socket_pairs_of_another(1)[0])));
  newcomers.push_back(connect(std::move(socket_pairs_of_another(1)[0])));
  while (newcomers.size() < kOver) newcomers.push_back(connect());
  for (const auto& newcomer : newcomers) EXPECT_TRUE(newcomer->connected()) << newcomer->text();
  for (size_t i = kOver; i < rings.size(); ++i) EXPECT_TRUE(rings[i]->bells()) << i;
  EXPECT_EQ(server_.rings(), RingServer::kMaxRings);
  EXPECT_EQ(server_.counts().turned_away, 0u);
  EXPECT_EQ(server_.counts().thrown_out, 2u);
  EXPECT_FALSE(connect()->connected()) << "nobody else is over";
}

TEST_F(RingSharesTest, NobodyLosesAPlaceToOneThatCannotBeServed) {
  AssumeRole role(control_thread);
  const auto rings = connect_many(RingServer::kMaxRings);
  const auto hung_up_on = [&] {
    return std::count_if(rings.begin(), rings.end(),
                         [](const auto& ring) { return !ring->bells(); });
  };
  std::vector<SocketPair> pairs = socket_pairs_of_another(3);
  pairs[0].ours = FileDescriptor();
  connect(std::move(pairs[0]));
  EXPECT_EQ(hung_up_on(), 0) << "it has gone before it was answered";

  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit none{0, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  server_.adopt(std::move(pairs[1].servers));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(hung_up_on(), 0) << "there is no descriptor for it";

  EXPECT_EQ(server_.rings(), RingServer::kMaxRings);
  EXPECT_EQ(server_.counts().turned_away, 2u);
  EXPECT_TRUE(connect(std::move(pairs[2]))->connected());
  EXPECT_EQ(hung_up_on(), 1);
}

TEST_F(RingSharesTest, FewBellsAreReadInARound) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  constexpr int kBells = 20, kOfARound = 4;
  for (int i = 0; i < kBells; ++i) ring->ring();
  for (int i = 0; i < kBells / kOfARound; ++i) {
    EXPECT_FALSE(all_is_read(ring->socket())) << i;
    round();
  }
  EXPECT_TRUE(all_is_read(ring->socket()));
  EXPECT_EQ(server_.rings(), 1u);
}

TEST_F(RingSharesTest, OneThatGoesIsHeardHoweverManyOfItsBellsAreUnread) {
  AssumeRole role(control_thread);
  for (const bool half : {false, true}) {
    const auto ring = connect();
    const size_t commands = server_.counts().commands;
    for (int i = 0; i < 200; ++i) ring->ring();
    put(*ring, 3);
    if (half) {
      shutdown(ring->socket(), SHUT_WR);
    } else {
      ring->hang_up();
    }
    round();
    EXPECT_EQ(server_.rings(), 0u) << half;
    EXPECT_EQ(server_.counts().commands, commands + 3) << "what it has submitted before is done";
  }
}

}  // namespace
}  // namespace gmesp
