// SPDX-License-Identifier: BSD-3-Clause
// What clients of the rings can take from others: of a round, with bells.
#include <gtest/gtest.h>

#include "control/ring_server.h"
#include "tests/ring_lab.h"

namespace gmesp {
namespace {

class RingSharesTest : public RingServerTest {};

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
