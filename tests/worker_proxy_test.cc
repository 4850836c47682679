// SPDX-License-Identifier: BSD-3-Clause
#include "control/worker_proxy.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

namespace gmesp {
namespace {

DeleteSa delete_number(uint32_t number) { return {Direction::in, SaIndex{number}}; }

class WorkerProxyTest : public testing::Test {
 protected:
  // Plays the worker for all commands that wait.
  size_t answer_all() {
    return channel_->commands.consume_all([&](const SaCommand& command) {
      const auto& remove = std::get<DeleteSa>(command);
      channel_->events.push(Deleted{remove.direction, remove.index});
    });
  }

  std::unique_ptr<WorkerChannel> channel_ = std::make_unique<WorkerChannel>();
  WorkerProxy proxy_{*channel_};
};

TEST_F(WorkerProxyTest, SendsEveryKindOfCommandInOrder) {
  AssumeRole role(control_thread);
  EXPECT_TRUE(proxy_.send(InstallInbound{}));
  EXPECT_TRUE(proxy_.send(InstallOutbound{}));
  EXPECT_TRUE(proxy_.send(PromoteSa{}));
  EXPECT_TRUE(proxy_.send(QuerySa{}));
  EXPECT_TRUE(proxy_.send(DeleteSa{}));
  std::vector<size_t> kinds;
  channel_->commands.consume_all(
      [&](const SaCommand& command) { kinds.push_back(command.index()); });
  EXPECT_EQ(kinds, (std::vector<size_t>{0, 1, 2, 4, 3}));  // in the order of SaCommand
}

TEST_F(WorkerProxyTest, KeepsSoFewUnansweredThatEveryAnswerFindsRoom) {
  AssumeRole role(control_thread);
  uint32_t sent = 0;
  while (proxy_.send(delete_number(sent))) ++sent;
  EXPECT_EQ(sent, WorkerChannel::kCommands);
  EXPECT_EQ(proxy_.times_full(), 1u);

  // The worker has taken them: the command ring is empty, yet no more may go out.
  EXPECT_EQ(answer_all(), WorkerChannel::kCommands);
  EXPECT_FALSE(proxy_.send(delete_number(sent)));
  EXPECT_EQ(proxy_.times_full(), 2u);

  EXPECT_EQ(proxy_.poll([](const SaEvent&) {}), WorkerChannel::kCommands);
  EXPECT_EQ(proxy_.unanswered(), 0u);
  EXPECT_TRUE(proxy_.send(delete_number(sent)));
}

TEST_F(WorkerProxyTest, DoesNotTakeAnUnaskedEventForAnAnswer) {
  AssumeRole role(control_thread);
  ASSERT_TRUE(proxy_.send(delete_number(1)));
  channel_->events.push(SaStateEvent{Direction::in, SaIndex{1}, SaEventKind::first_use});
  EXPECT_EQ(proxy_.poll([](const SaEvent&) {}), 1u);
  EXPECT_EQ(proxy_.unanswered(), 1u);
}

TEST_F(WorkerProxyTest, BringsEveryAnswerOfAnotherThreadBackInOrder) {
  AssumeRole role(control_thread);
  constexpr uint32_t kTotal = 50000;
  std::thread worker([&] {
    for (size_t answered = 0; answered < kTotal; answered += answer_all()) {
      std::this_thread::yield();
    }
  });
  uint32_t sent = 0;
  std::vector<uint32_t> answered;
  while (answered.size() < kTotal) {
    while (sent < kTotal && proxy_.send(delete_number(sent))) ++sent;
    proxy_.poll([&](const SaEvent& event) {
      answered.push_back(static_cast<uint32_t>(std::get<Deleted>(event).index));
    });
    std::this_thread::yield();
  }
  worker.join();
  for (uint32_t i = 0; i < kTotal; ++i) ASSERT_EQ(answered[i], i);
}

}  // namespace
}  // namespace gmesp
