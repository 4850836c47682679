// SPDX-License-Identifier: BSD-3-Clause
// What clients of the rings can make gmespd hold: memory of those that have gone.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <vector>

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

}  // namespace
}  // namespace gmesp
