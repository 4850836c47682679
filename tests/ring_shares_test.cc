// SPDX-License-Identifier: BSD-3-Clause
// What clients of the rings can take from others: of a round, with bells; places, by coming.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "control/ring_server.h"
#include "tests/ring_lab.h"

namespace gmesp {
namespace {

class RingSharesTest : public RingServerTest {};

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

TEST_F(RingSharesTest, FewBellsAreReadInARoundAndTheEndBehindThemIsHeard) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  constexpr int kBells = 20, kOfARound = 4;
  for (int i = 0; i < kBells; ++i) ring->ring();
  ring->hang_up();
  for (int i = 0; i < kBells / kOfARound; ++i) {
    round();
    EXPECT_EQ(server_.rings(), 1u) << i;
  }
  round();
  EXPECT_EQ(server_.rings(), 0u);
}

}  // namespace
}  // namespace gmesp
