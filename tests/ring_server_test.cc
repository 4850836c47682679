// SPDX-License-Identifier: BSD-3-Clause
// gmespd's end of the rings, with a Registrar and real workers behind it, against clients that lie,
// stop reading, hang up and die.
#include "control/ring_server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/control_rig.h"
#include "tests/ring_client.h"

namespace gmesp {
namespace {

using client::AnswerKind;
using client::AnswerRecord;
using client::CommandKind;
using client::CommandRecord;

constexpr size_t kRestOfAnswers = client::kAnswerSlots - client::kSlotsForCompletions;

// Not a temporary: g++ 12 takes the parts of one for uninitialised.
const RegistrarConfig kPlainConfig;

class RingServerTest : public testing::Test {
 protected:
  RingServerTest() {
    registrar_.on_event([this](const SetEvent& event) { heard(event); });
  }

  std::unique_ptr<RingClient> connect() ON(control_thread) {
    SocketPair pair = socket_pair();
    server_.adopt(std::move(pair.servers));
    return std::make_unique<RingClient>(std::move(pair.ours));
  }
  void heard(const SetEvent& event) {
    const AssumeRole role(control_thread);
    server_.on_event(event);
  }
  // What the control thread does in a round.
  void round() ON(control_thread) {
    epoll_event events[8];
    const int count = epoll_wait(epoll_.get(), events, std::size(events), 0);
    for (int i = 0; i < count; ++i) server_.on_ready(events[i].data.u64);
    server_.poll();
    rig_.poll_workers();
    sas_.poll();
    while (registrar_.tick()) {
    }
  }
  void settle() ON(control_thread) {
    do {
      round();
    } while (server_.poll() || sas_.waiting());
    round();
  }
  // The answer to one command.
  AnswerRecord ask(RingClient& ring, const CommandRecord& record) ON(control_thread) {
    EXPECT_TRUE(ring.put(record));
    settle();
    const std::optional<AnswerRecord> answer = ring.get();
    EXPECT_TRUE(answer.has_value());
    return answer.value_or(AnswerRecord{});
  }
  static std::string code(const AnswerRecord& answer) {
    return {reinterpret_cast<const char*>(answer.tail.data()), answer.head.refused};
  }

  ControlRig rig_{{.capacity = 4096}};
  SaManager sas_{rig_.limits, rig_.policy, rig_.steering, rig_.keys, rig_.channel_pointers()};
  std::chrono::milliseconds now_{1000000};
  Registrar registrar_{kPlainConfig, sas_, [this] { return now_; }};
  FileDescriptor epoll_{epoll_create1(EPOLL_CLOEXEC)};
  RingServer server_{epoll_.get(), registrar_, Role::pcscf};
};

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

TEST_F(RingServerTest, SealsTheMemoryThatItShares) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  ASSERT_TRUE(ring->connected());
  EXPECT_EQ(fcntl(ring->memory_file(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  EXPECT_NE(ftruncate(ring->memory_file(), 4096), 0) << "the server would die of SIGBUS";
  EXPECT_NE(ftruncate(ring->memory_file(), 1 << 24), 0);
  EXPECT_NE(fcntl(ring->memory_file(), F_ADD_SEALS, F_SEAL_WRITE), 0);
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

struct Nonsense {
  const char* what;
  std::function<void(CommandRecord&)> spoil;
  const char* code = "invalid_value";
};

client::WireMechanism& mechanism_of(CommandRecord& record) {
  return *reinterpret_cast<client::WireMechanism*>(record.tail.data());
}

const Nonsense kNonsense[] = {
    {"no kind", [](CommandRecord& r) { r.head.kind = 11; }},
    {"a kind far off", [](CommandRecord& r) { r.head.kind = 255; }},
    {"no bytes", [](CommandRecord& r) { r.head.bytes = 0; }},
    {"half a head", [](CommandRecord& r) { r.head.bytes = 100; }},
    {"more bytes than a slot", [](CommandRecord& r) { r.head.bytes = client::kCommandBytes + 1; }},
    {"4 GB", [](CommandRecord& r) { r.head.bytes = UINT32_MAX; }},
    {"broken off", [](CommandRecord& r) { r.head.bytes -= 1; }},
    {"something behind it", [](CommandRecord& r) { r.head.bytes += 1; }},
    {"a flag of another kind", [](CommandRecord& r) { r.head.flags |= client::kAtOnce; }},
    {"an unknown flag", [](CommandRecord& r) { r.head.flags |= 128; }},
    {"an unknown selector", [](CommandRecord& r) { r.head.option = 3; }},
    {"no identity", [](CommandRecord& r) { r.head.identities = 0; }},
    {"one identity more", [](CommandRecord& r) { r.head.identities = 3; }},
    {"too many identities", [](CommandRecord& r) { r.head.identities = 10; }},
    {"a mechanism more", [](CommandRecord& r) { r.head.first = 2; }},
    {"255 mechanisms", [](CommandRecord& r) { r.head.first = 255; }},
    {"mechanisms without a header", [](CommandRecord& r) { r.head.flags = 0; }},
    {"a second header's", [](CommandRecord& r) { r.head.second = 1; }},
    {"handles", [](CommandRecord& r) { r.head.handles = 1; }},
    {"integrity", [](CommandRecord& r) { mechanism_of(r).integrity = 4; }},
    {"encryption", [](CommandRecord& r) { mechanism_of(r).encryption = 4; }},
    {"esp", [](CommandRecord& r) { mechanism_of(r).esp = 2; }},
    {"mode", [](CommandRecord& r) { mechanism_of(r).mode = 3; }},
    {"q", [](CommandRecord& r) { mechanism_of(r).q = 1001; }},
    {"port-c 0", [](CommandRecord& r) { mechanism_of(r).port_c = 0; }},
    {"port-s 0", [](CommandRecord& r) { mechanism_of(r).port_s = 0; }},
    {"a zero byte in an IMPI", [](CommandRecord& r) { r.tail[22] = std::byte{0}; }},
    {"a line end in an IMPI", [](CommandRecord& r) { r.tail[22] = std::byte{'\n'}; }},
    {"half a UTF-8 letter", [](CommandRecord& r) { r.tail[22] = std::byte{0xc3}; }},
    {"UE ::", [](CommandRecord& r) { std::memset(r.head.ue, 0, 16); }},
    {"UE 0.0.0.0", [](CommandRecord& r) { r.head.ue[12] = 0; }},
    {"UE 255.255.255.255", [](CommandRecord& r) { std::memset(r.head.ue + 12, 255, 4); }},
    {"UE multicast", [](CommandRecord& r) { r.head.ue[12] = 224; }},
    {"UE ff02::", [](CommandRecord& r) { r.head.ue[0] = 0xff; }},
    {"P-CSCF IPv6", [](CommandRecord& r) { r.head.pcscf[0] = 0x20; }, "address_families_differ"},
    {"an empty IMPI",
     [](CommandRecord& r) {
       const size_t bytes = static_cast<uint8_t>(r.tail[20]);
       std::memmove(r.tail.data() + 21, r.tail.data() + 21 + bytes, 256);
       r.tail[20] = std::byte{0};
       r.head.bytes -= static_cast<uint32_t>(bytes);
     },
     "too_many_identities"},
};

TEST_F(RingServerTest, RefusesRecordsThatCannotBe) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  for (const Nonsense& nonsense : kNonsense) {
    CommandRecord record = register_record(5, 1);
    nonsense.spoil(record);
    const AnswerRecord answer = ask(*ring, record);
    EXPECT_EQ(code(answer), nonsense.code) << nonsense.what;
    EXPECT_EQ(answer.head.token, 5u) << nonsense.what;
  }
  EXPECT_EQ(registrar_.count(SetState::offered), 0u);
  EXPECT_EQ(ask(*ring, register_record(6, 1)).head.refused, 0);
}

// Whole records of random bytes, and right ones with a few bytes changed: each is answered once,
// and the next right one is served.
TEST_F(RingServerTest, AnswersRandomBytes) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  std::mt19937 random(42);
  std::map<uint64_t, int> owed;
  for (int i = 0; i < 20000; ++i) {
    CommandRecord record;
    if (i % 4 == 0) {
      auto* bytes = reinterpret_cast<uint8_t*>(&record);
      for (size_t b = 0; b < sizeof record; ++b) bytes[b] = static_cast<uint8_t>(random());
      record.head.kind = static_cast<uint8_t>(random() % 12);
    } else {
      record = i % 4 == 1 ? challenge_record(0, random() % 64, static_cast<uint32_t>(random()))
                          : register_record(0, static_cast<uint32_t>(random() % 32));
      for (unsigned n = random() % 4; n > 0; --n) {
        reinterpret_cast<uint8_t*>(&record)[random() % (sizeof record.head + 200)] =
            static_cast<uint8_t>(random());
      }
    }
    record.head.token = random();
    ++owed[record.head.token];
    ASSERT_TRUE(ring->put(record));
    round();
    while (const auto answer = ring->get()) {
      if (answer->head.kind == static_cast<uint8_t>(AnswerKind::completion)) {
        --owed[answer->head.token];
      }
    }
  }
  settle();
  while (const auto answer = ring->get()) --owed[answer->head.token];
  for (const auto& [token, count] : owed) EXPECT_EQ(count, token == 0 ? owed[0] : 0);
  EXPECT_EQ(server_.rings(), 1u);
  EXPECT_EQ(ask(*ring, register_record(6, 1000)).head.refused, 0);
}

TEST_F(RingServerTest, ThrowsOutAClientWhoseIndexCannotBeAndKeepsItsSets) {
  AssumeRole role(control_thread);
  const auto produced = [](client::SharedMemory & m) -> auto& { return m.commands.produced; };
  const auto consumed = [](client::SharedMemory & m) -> auto& { return m.answers.consumed; };
  struct Lie {
    const char* what;
    std::function<std::atomic<uint64_t>&(client::SharedMemory&)> index;
    uint64_t told;
  };
  const Lie lies[] = {
      {"commands: back", produced, 0},
      {"commands: more than fit", produced, 1 + client::kCommandSlots + 1},
      {"commands: far", produced, uint64_t{1} << 63},
      {"answers: more taken than there are", consumed, 2},
      {"answers: below zero", consumed, UINT64_MAX},
  };
  uint32_t ue = 0;
  for (const Lie& lie : lies) {
    const auto ring = connect();
    ASSERT_EQ(ask(*ring, register_record(1, ++ue)).head.refused, 0);
    lie.index(ring->memory()) = lie.told;
    settle();
    EXPECT_EQ(server_.rings(), 0u) << lie.what;
    EXPECT_FALSE(ring->bells()) << lie.what << ": the server has hung up";
  }
  EXPECT_EQ(server_.counts().thrown_out, std::size(lies));
  EXPECT_EQ(registrar_.count(SetState::offered), std::size(lies));
}

// Overwritten indices of the server's own, and answers overwritten by the client, are nothing to
// it.
TEST_F(RingServerTest, DoesNotReadBackWhatItHasWritten) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  ASSERT_EQ(ask(*ring, register_record(1, 1)).head.refused, 0);
  ring->memory().commands.consumed = 99;
  ring->memory().answers.produced = 1u << 20;
  std::memset(&ring->memory().header, 0xff, sizeof(client::SharedHeader));
  std::memset(ring->memory().answer_slots, 0xff, sizeof ring->memory().answer_slots);
  const CommandRecord second = register_record(2, 2);
  std::memcpy(ring->memory().command_slots + client::kCommandBytes, &second, sizeof second);
  ring->memory().commands.produced = 2;
  settle();
  EXPECT_EQ(server_.rings(), 1u);
  EXPECT_EQ(registrar_.count(SetState::offered), 2u);
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

  uint64_t heard = 0, lost = 0, answered = 0, last = 0;
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
      }
    }
  }
  EXPECT_EQ(answered, token);
  EXPECT_EQ(heard + lost, events);
  EXPECT_GT(lost, 0u);
  EXPECT_LE(heard, kRestOfAnswers);
  EXPECT_EQ(server_.counts().events_lost, lost);
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

// A bell costs its sender as much as us, and a full socket blocks nobody.
TEST_F(RingServerTest, SurvivesAClientThatRingsWithoutEnd) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  ring->memory().client_asleep = 1;
  for (int i = 0; i < 20000; ++i) ring->ring();
  for (int i = 0; i < 2000; ++i) {
    ring->memory().client_asleep = 1;  // and never reads its bells
    ask(*ring, RecordMaker(CommandKind::refresh, 1).record);
  }
  EXPECT_EQ(server_.rings(), 1u);
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

TEST_F(RingServerTest, HasAnEndOfRings) {
  AssumeRole role(control_thread);
  std::vector<std::unique_ptr<RingClient>> rings;
  for (size_t i = 0; i < RingServer::kMaxRings; ++i) rings.push_back(connect());
  EXPECT_EQ(server_.rings(), RingServer::kMaxRings);
  const auto more = connect();
  EXPECT_FALSE(more->connected());
  EXPECT_NE(more->text().find("too_many_connections"), std::string::npos);
  rings.pop_back();
  settle();
  EXPECT_TRUE(connect()->connected());
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
    for (int i = 0; i < 100 && server_.rings() != 0; ++i) settle();  // its bells come first
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
