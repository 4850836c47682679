// SPDX-License-Identifier: BSD-3-Clause
#include "control/worker_proxies.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <vector>

namespace gmesp {
namespace {

SaCommand delete_number(uint32_t number) { return DeleteSa{Direction::in, SaIndex{number}}; }

class WorkerProxiesTest : public testing::Test {
 protected:
  // Plays a worker for all commands that wait. Answers the numbers of the SAs it was to delete.
  std::vector<uint32_t> answer_all(size_t worker) {
    std::vector<uint32_t> numbers;
    channels_[worker]->commands.consume_all([&](const SaCommand& command) {
      SaEvent answer;
      if (const auto* remove = std::get_if<DeleteSa>(&command)) {
        numbers.push_back(static_cast<uint32_t>(remove->index));
        answer = Deleted{remove->direction, remove->index};
      } else if (const auto* audit = std::get_if<SetAudit>(&command)) {
        answer = SettingInUse{audit->number};
      } else {
        answer = SettingInUse{std::get<UsePolicy>(command).number};
      }
      channels_[worker]->events.push(answer);
    });
    return numbers;
  }
  // Until the ring to worker 0 is full, and so many more.
  void fill(uint32_t and_more) ON(control_thread) {
    for (uint32_t i = 0; i < WorkerChannel::kCommands + and_more; ++i) {
      proxies_.submit(0, delete_number(i));
    }
  }

  std::array<std::unique_ptr<WorkerChannel>, 2> channels_{std::make_unique<WorkerChannel>(),
                                                          std::make_unique<WorkerChannel>()};
  WorkerProxies proxies_{{channels_[0].get(), channels_[1].get()}};
};

TEST_F(WorkerProxiesTest, WhatFindsNoRoomIsSentLaterAndInOrder) {
  const AssumeRole role(control_thread);
  fill(3);
  EXPECT_EQ(answer_all(0).size(), WorkerChannel::kCommands);
  EXPECT_FALSE(proxies_.send(0, delete_number(77))) << "others wait";
  EXPECT_TRUE(proxies_.send(1, delete_number(77))) << "not there";
  EXPECT_TRUE(proxies_.poll());
  proxies_.submit(0, delete_number(99));
  const uint32_t first = WorkerChannel::kCommands;
  EXPECT_EQ(answer_all(0), (std::vector<uint32_t>{first, first + 1, first + 2, 99}));
  EXPECT_EQ(answer_all(1), std::vector<uint32_t>{77});
  EXPECT_TRUE(proxies_.waiting());
  EXPECT_TRUE(proxies_.poll());
  EXPECT_FALSE(proxies_.waiting());
  EXPECT_FALSE(proxies_.poll());
}

TEST_F(WorkerProxiesTest, ThereIsRoomWhenNothingSubmittedWaits) {
  const AssumeRole role(control_thread);
  std::vector<size_t> asked;
  proxies_.on_room([&](size_t worker) {
    asked.push_back(worker);
    return false;
  });
  fill(1);
  proxies_.poll();
  EXPECT_EQ(asked, std::vector<size_t>{1});
  answer_all(0);
  proxies_.poll();
  EXPECT_EQ(asked, (std::vector<size_t>{1, 0, 1}));
}

TEST_F(WorkerProxiesTest, ASettingIsInUseWhenEveryWorkerHasSaidSo) {
  const AssumeRole role(control_thread);
  const Policy policy;
  std::vector<char> done;
  size_t of_sas = 0;
  proxies_.on_sa_event([&](size_t, const SaEvent&) { ++of_sas; });
  proxies_.set_audit({}, [&] { done.push_back('a'); });
  proxies_.use_policy(policy, [&] { done.push_back('p'); });
  proxies_.submit(1, delete_number(5));
  answer_all(1);
  proxies_.poll();
  EXPECT_TRUE(done.empty());
  answer_all(0);
  proxies_.poll();
  EXPECT_EQ(done, (std::vector<char>{'a', 'p'}));
  EXPECT_EQ(of_sas, 1u);
  EXPECT_FALSE(proxies_.waiting());
}

TEST_F(WorkerProxiesTest, CountersAreThoseOfAllWorkers) {
  Counters counters;
  counters.protected_in = 3;
  channels_[0]->counters.publish(counters);
  counters.protected_in = 4;
  channels_[1]->counters.publish(counters);
  EXPECT_EQ(proxies_.counters().protected_in, 7u);
  EXPECT_EQ(proxies_[1].counters().protected_in, 4u);
}

}  // namespace
}  // namespace gmesp
