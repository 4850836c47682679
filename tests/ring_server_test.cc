// SPDX-License-Identifier: BSD-3-Clause
// gmespd's end of the rings, against clients that stop reading, hang up and die; those that lie are
// in ring_lies_test.cc.
#include "control/ring_server.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/ring_lab.h"

namespace gmesp {
namespace {

using client::AnswerKind;
using client::AnswerRecord;
using client::CommandKind;
using client::CommandRecord;

constexpr size_t kRestOfAnswers = client::kAnswerSlots - client::kSlotsForCompletions;

// INT-53: the challenge is answered when the worker has every SA.
TEST_F(RingServerTest, DoesCommandsAndAnswersThem) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  ASSERT_TRUE(ring->connected());
  EXPECT_EQ(ring->text(), client::kRingAnswer);
  const AnswerRecord offered = ask(*ring, register_record(7, 1));
  EXPECT_EQ(offered.head.kind, static_cast<uint8_t>(AnswerKind::completion));
  EXPECT_EQ(offered.head.refused, 0) << code(offered);
  EXPECT_EQ(offered.head.token, 7u);
  EXPECT_EQ(offered.head.suite, static_cast<uint8_t>(Suite::sha1_aes_cbc));
  EXPECT_GE(offered.head.mechanisms, 1);

  ASSERT_TRUE(ring->put(challenge_record(8, offered.head.handle, 1)));
  server_.poll();
  EXPECT_FALSE(ring->get()) << "no worker has run";
  settle();
  const std::optional<AnswerRecord> challenged = ring->get();
  ASSERT_TRUE(challenged);
  EXPECT_EQ(challenged->head.token, 8u);
  EXPECT_EQ(challenged->head.refused, 0) << code(*challenged);
  EXPECT_EQ(registrar_.count(SetState::temporary), 1u);
  EXPECT_EQ(sas_.count(Direction::in, SaState::live), 2u);

  EXPECT_EQ(code(ask(*ring, RecordMaker(CommandKind::ok, 9, 12345).record)), "unknown_handle");
}

TEST_F(RingServerTest, WipesKeysInTheSlotThatBroughtThem) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  const uint64_t handle = ask(*ring, register_record(1, 1)).head.handle;
  ask(*ring, challenge_record(2, handle, 1));
  client::CommandHead head;
  std::memcpy(&head, ring->memory().command_slots + client::kCommandBytes, sizeof head);
  ASSERT_EQ(head.token, 2u);
  EXPECT_EQ(std::count(std::begin(head.ck), std::end(head.ck), 0), 16);
  EXPECT_EQ(std::count(std::begin(head.ik), std::end(head.ik), 0), 16);
}

// No answer is ever without a place: commands wait in their ring, and events are lost and counted.
TEST_F(RingServerTest, KeepsAnswersOfAClientThatDoesNotRead) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  RecordMaker subscribe(CommandKind::subscribe, 1);
  subscribe.record.head.number = UINT32_MAX;
  ASSERT_TRUE(ring->put(subscribe.record));
  uint64_t token = 1;
  uint64_t events = 0;
  for (int i = 0; i < 3000; ++i) {
    if (ring->put(RecordMaker(CommandKind::refresh, token + 1).record)) ++token;
    server_.poll();
    for (int n = 0; n < 3; ++n, ++events) {
      server_.on_event({.kind = SetEventKind::deleted, .handle = SetHandle{events + 1}});
    }
  }
  EXPECT_EQ(server_.rings(), 1u);
  EXPECT_GT(token, client::kCommandSlots) << "some commands are done, others wait";
  EXPECT_LT(token, 3000u) << "the ring is full";

  uint64_t heard = 0, lost = 0, marks = 0, answered = 0, last = 0;
  for (int i = 0; i < 200; ++i) {
    server_.poll();
    while (const auto record = ring->get()) {
      switch (AnswerKind{record->head.kind}) {
        case AnswerKind::completion:
          EXPECT_EQ(record->head.token, ++answered);
          break;
        case AnswerKind::event:
          EXPECT_GT(record->head.handle, last);
          EXPECT_EQ(record->head.handle, heard + lost + 1) << "nothing is missing without a mark";
          last = record->head.handle;
          ++heard;
          break;
        default:
          lost += static_cast<uint64_t>(record->head.number);
          ++marks;
      }
    }
  }
  EXPECT_EQ(answered, token);
  EXPECT_EQ(heard + lost, events);
  EXPECT_GT(lost, 0u);
  EXPECT_LE(heard, kRestOfAnswers);
  EXPECT_EQ(server_.counts().events_lost, lost);
  EXPECT_EQ(server_.counts().overflows, marks);
}

TEST_F(RingServerTest, TakesNoMoreCommandsThanItMayOwe) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  std::vector<uint64_t> handles;
  for (uint32_t ue = 0; ue < client::kMaxUnanswered + 10; ++ue) {
    handles.push_back(ask(*ring, register_record(1, ue)).head.handle);
  }
  uint32_t put = 0;
  for (int i = 0; i < 20; ++i) {
    while (put < handles.size() && ring->put(challenge_record(put, handles[put], put + 1))) ++put;
    server_.poll();  // and no worker: nothing is answered
  }
  EXPECT_EQ(put, handles.size()) << "the rest fits into the ring";
  EXPECT_EQ(server_.counts().commands, handles.size() + client::kMaxUnanswered);
  EXPECT_FALSE(ring->get());
  EXPECT_TRUE(server_.ready_to_wait()) << "the commands that wait cannot be served now";
  settle();
  std::set<uint64_t> tokens;
  while (const auto answer = ring->get()) {
    EXPECT_EQ(answer->head.refused, 0) << code(*answer);
    tokens.insert(answer->head.token);
  }
  EXPECT_EQ(tokens.size(), handles.size());
}

// Commands that workers still owe are reckoned with before their answers come.
TEST_F(RingServerTest, TakesNoCommandWhoseAnswerWouldFindNoPlace) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  constexpr uint32_t kSets = 100;
  std::vector<uint64_t> handles;
  for (uint32_t ue = 0; ue < kSets; ++ue) {
    handles.push_back(ask(*ring, register_record(1, ue)).head.handle);
  }
  constexpr uint64_t kFirst = 1000;
  uint64_t token = kFirst;
  const auto put_all = [&](auto&& make, size_t count) {
    const AssumeRole here(control_thread);
    for (size_t i = 0; i < count; ++token, ++i) {
      while (!ring->put(make(i))) server_.poll();
    }
  };
  put_all([&](size_t) { return RecordMaker(CommandKind::refresh, token).record; },
          client::kAnswerSlots - 24);
  for (int i = 0; i < 20; ++i) server_.poll();
  put_all([&](size_t i) { return challenge_record(token, handles[i], uint32_t(i) + 1); }, kSets);
  for (int i = 0; i < 5; ++i) settle();  // nobody reads

  std::set<uint64_t> tokens;
  for (int i = 0; i < 20; ++i) {
    while (const auto answer = ring->get()) tokens.insert(answer->head.token);
    settle();
  }
  EXPECT_EQ(tokens.size(), token - kFirst);
}

TEST_F(RingServerTest, RingsTheBellOfAClientThatSleepsOnly) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  ask(*ring, register_record(1, 1));
  EXPECT_EQ(ring->bells(), 0);
  ring->memory().client_asleep = 1;
  ask(*ring, register_record(2, 2));
  EXPECT_EQ(ring->bells(), 1);
  EXPECT_EQ(ring->memory().client_asleep, 0u);
  ask(*ring, register_record(3, 3));
  EXPECT_EQ(ring->bells(), 0);
}

// In one poll, whichever of the two is served first.
TEST_F(RingServerTest, RingsForTheEventOfAnothersCommand) {
  AssumeRole role(control_thread);
  const std::array rings{connect(), connect()};
  for (const auto& ring : rings) {
    RecordMaker subscribe(CommandKind::subscribe, 1);
    subscribe.record.head.number = ~0u;
    ask(*ring, subscribe.record);
  }
  for (uint32_t who = 0; who < 2; ++who) {
    const AnswerRecord offered = ask(*rings[who], register_record(2, 1 + who));
    RecordMaker remove(CommandKind::remove, 3, offered.head.handle);
    remove.record.head.flags = client::kAtOnce;
    RingClient& other = *rings[1 - who];
    other.memory().client_asleep = 1;
    ASSERT_TRUE(rings[who]->put(remove.record));
    server_.poll();
    EXPECT_EQ(other.bells(), 1);
    while (other.get()) {
    }
    while (rings[who]->get()) {
    }
  }
}

TEST_F(RingServerTest, DoesNotSleepOverACommand) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  settle();
  EXPECT_TRUE(server_.ready_to_wait());
  EXPECT_EQ(ring->memory().daemon_asleep, 1u);
  server_.awake();
  EXPECT_EQ(ring->memory().daemon_asleep, 0u);
  ASSERT_TRUE(ring->put(register_record(1, 1)));
  EXPECT_FALSE(server_.ready_to_wait());
}

TEST_F(RingServerTest, DoesWhatWasSubmittedBeforeTheClientHungUp) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  for (uint32_t ue = 0; ue < 200; ++ue) ASSERT_TRUE(ring->put(register_record(ue, ue)));
  ring->hang_up();
  settle();
  EXPECT_EQ(registrar_.count(SetState::offered), 200u);
  EXPECT_EQ(server_.rings(), 0u);
}

TEST_F(RingServerTest, DoesNoMoreThanARingHoldsForAClientThatHasHungUp) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  ring->hang_up();
  uint32_t put = 0;
  for (int i = 0; i < 100 && server_.rings() == 1; ++i) {
    while (ring->put(RecordMaker(client::CommandKind::refresh, put, 1).record)) ++put;
    round();
    while (ring->get()) {
    }
  }
  EXPECT_EQ(server_.rings(), 0u);
  EXPECT_GE(server_.counts().commands, client::kCommandSlots);
  EXPECT_LE(server_.counts().commands, client::kCommandSlots + RingServer::kCommandsPerTurn);
}

TEST_F(RingServerTest, HasAnEndOfRings) {
  AssumeRole role(control_thread);
  std::vector<std::unique_ptr<RingClient>> rings;
  for (size_t i = 0; i < RingServer::kMaxRings; ++i) rings.push_back(connect());
  EXPECT_EQ(server_.rings(), RingServer::kMaxRings);
  const auto more = connect();
  EXPECT_FALSE(more->connected());
  EXPECT_NE(more->text().find("too_many_connections"), std::string::npos);
  EXPECT_EQ(server_.counts().turned_away, 1u);
  rings.pop_back();
  settle();
  EXPECT_TRUE(connect()->connected());
}

TEST_F(RingServerTest, SaysThatThereIsNoMemoryForARing) {
  AssumeRole role(control_thread);
  SocketPair pair = socket_pair();
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit none{0, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  server_.adopt(std::move(pair.servers));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  const RingClient ring(std::move(pair.ours));
  EXPECT_NE(ring.text().find("\"no_memory\""), std::string::npos) << ring.text();
  EXPECT_EQ(server_.rings(), 0u);
  EXPECT_TRUE(connect()->connected());
}

struct Held {
  size_t descriptors = 0;
  size_t mappings = 0;  // of rings
};
Held held() {
  Held held;
  for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++held.descriptors;
  }
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    held.mappings += line.find("memfd:gmesp-ring") != std::string::npos;
  }
  return held;
}

// Used, left with a command unread, and hung up at once.
TEST_F(RingServerTest, KeepsNothingOfClientsThatHaveGone) {
  AssumeRole role(control_thread);
  const Held before = held();
  EXPECT_EQ(before.mappings, 0u);
  for (uint32_t ue = 0; ue < 900; ++ue) {
    const auto ring = connect();
    ASSERT_TRUE(ring->connected()) << ue;
    if (ue == 0) {
      EXPECT_EQ(held().mappings, 2u) << "ours and the server's: the count sees them";
    }
    if (ue % 3 == 0) ask(*ring, register_record(1, ue));
    if (ue % 3 == 1) ring->put(register_record(1, ue));
    ring->hang_up();
    settle();
    ASSERT_EQ(server_.rings(), 0u);
  }
  EXPECT_EQ(held().descriptors, before.descriptors);
  EXPECT_EQ(held().mappings, 0u);
  EXPECT_EQ(server_.counts().opened, 900u);
}

// What a child does until it is killed. The parent's mapping did not come with the fork.
[[noreturn]] void pump(RingClient& ring, uint32_t ue) {
  const client::Mapping memory(ring.memory_file());
  ring.commands.emplace(memory->commands, memory.command_slots());
  ring.answers.emplace(memory->answers, memory.answer_slots());
  for (;; ++ue) {
    ring.put(register_record(ue, ue));
    if (const auto answer = ring.get()) {
      ring.put(challenge_record(ue, answer->head.handle, ue * 2654435761u));
    }
    memory->client_asleep = ue & 1;
    if (ue % 16 == 0) ring.ring();
  }
}

// At any instruction: the engine is whole, its sets live until their deadlines, and then nothing of
// them is left.
TEST_F(RingServerTest, OutlivesClientsThatAreKilled) {
  AssumeRole role(control_thread);
  std::mt19937 random(7);
  for (uint32_t life = 0; life < 60; ++life) {
    const auto ring = connect();
    ASSERT_TRUE(ring->connected());
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      pump(*ring, life * 1000);
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 8000);
    while (std::chrono::steady_clock::now() < end) round();
    kill(child, SIGKILL);
    round();
    waitpid(child, nullptr, 0);
    ring->hang_up();
    settle();
    ASSERT_EQ(server_.rings(), 0u);
  }
  EXPECT_GT(registrar_.count(SetState::offered) + registrar_.count(SetState::temporary), 0u);
  now_ += std::chrono::hours(1);
  settle();
  for (const SetState state : {SetState::offered, SetState::temporary, SetState::old}) {
    EXPECT_EQ(registrar_.count(state), 0u);
  }
  EXPECT_EQ(sas_.count(Direction::in, SaState::live), 0u);
  EXPECT_EQ(sas_.count(Direction::out, SaState::live), 0u);
}

}  // namespace
}  // namespace gmesp
