// SPDX-License-Identifier: BSD-3-Clause
// Clients of the rings that lie: in records, in indices, with bells.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <thread>

#include "control/ring_server.h"
#include "tests/ring_lab.h"
#include "tests/sanitizers.h"

namespace gmesp {
namespace {

using client::AnswerKind;
using client::AnswerRecord;
using client::CommandKind;
using client::CommandRecord;

class RingLiesTest : public RingServerTest {};

TEST_F(RingLiesTest, SealsTheMemoryThatItShares) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  ASSERT_TRUE(ring->connected());
  EXPECT_EQ(fcntl(ring->memory_file(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  EXPECT_NE(ftruncate(ring->memory_file(), 4096), 0) << "the server would die of SIGBUS";
  EXPECT_NE(ftruncate(ring->memory_file(), 1 << 24), 0);
  EXPECT_NE(fcntl(ring->memory_file(), F_ADD_SEALS, F_SEAL_WRITE), 0);
}

// With a command in the ring that nobody takes any more, because of a lie about the answers.
TEST_F(RingServerTest, WipesKeysThatAClientLeavesBehind) {
  AssumeRole role(control_thread);
  const auto ring = connect();
  const uint64_t handle = ask(*ring, register_record(1, 1)).head.handle;
  ASSERT_TRUE(ring->put(challenge_record(2, handle, 1)));
  ring->memory().answers.consumed = UINT64_MAX;
  const auto keys_in_slot = [&](uint64_t token) {
    client::CommandHead head;
    std::memcpy(&head, ring->memory().command_slots + client::kCommandBytes, sizeof head);
    EXPECT_EQ(head.token, token);
    return 32 - std::count(std::begin(head.ck), std::end(head.ck), 0) -
           std::count(std::begin(head.ik), std::end(head.ik), 0);
  };
  EXPECT_GT(keys_in_slot(2), 0);
  settle();
  EXPECT_EQ(server_.rings(), 0u);
  EXPECT_EQ(registrar_.count(SetState::offered), 1u) << "the challenge was not taken";
  EXPECT_EQ(keys_in_slot(0), 0) << "nor anything else";
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
    {"what is kept for later", [](CommandRecord& r) { r.head.reserved = uint64_t{1} << 63; }},
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

TEST_F(RingLiesTest, RefusesRecordsThatCannotBe) {
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

// The record is read once, and judged as it was then: whatever the client writes meanwhile.
TEST_F(RingLiesTest, OutlivesRecordsThatChangeWhileTheyAreRead) {
  if (kThreadSanitizer) GTEST_SKIP() << "a race is what this is about, on the client's side";
  AssumeRole role(control_thread);
  const auto ring = connect();
  std::atomic<bool> done = false;
  std::thread liar([&] {
    std::mt19937 random(3);
    auto* slots = reinterpret_cast<volatile uint8_t*>(ring->memory().command_slots);
    while (!done) {
      // Sizes, counts, kinds, lengths of names: what later steps rest on.
      const size_t slot = random() % client::kCommandSlots;
      slots[slot * client::kCommandBytes + random() % (sizeof(client::CommandHead) + 64)] =
          static_cast<uint8_t>(random());
    }
  });
  size_t answers = 0;
  constexpr size_t kRecords = 30000;
  for (uint32_t i = 0; i < kRecords; ++i) {
    ASSERT_TRUE(
        ring->put(i % 2 == 0 ? register_record(i, i % 64) : challenge_record(i, i % 64, i)));
    round();
    while (const auto answer = ring->get()) {
      answers += answer->head.kind == static_cast<uint8_t>(AnswerKind::completion);
    }
  }
  done = true;
  liar.join();
  settle();
  while (const auto answer = ring->get()) {
    answers += answer->head.kind == static_cast<uint8_t>(AnswerKind::completion);
  }
  EXPECT_EQ(answers, kRecords) << "one for each";
  EXPECT_EQ(server_.rings(), 1u);
  EXPECT_EQ(ask(*ring, register_record(6, 1000)).head.refused, 0);
}

// Whole records of random bytes, and right ones with a few bytes changed: each is answered once,
// and the next right one is served.
TEST_F(RingLiesTest, AnswersRandomBytes) {
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

TEST_F(RingLiesTest, ThrowsOutAClientWhoseIndexCannotBeAndKeepsItsSets) {
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
TEST_F(RingLiesTest, DoesNotReadBackWhatItHasWritten) {
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

// A hole in the memory comes back as zeros wherever somebody looks: of a ring that nothing has
// passed through that is no lie, of any other it is one about an index.
TEST_F(RingLiesTest, OutlivesHolesInTheMemoryThatItShares) {
  AssumeRole role(control_thread);
  const auto punch = [](const RingClient& ring) {
    return fallocate(ring.memory_file(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                     sizeof(client::SharedMemory));
  };
  constexpr uint64_t kTimes = 50;
  for (uint32_t ue = 0; ue < kTimes; ++ue) {
    const auto ring = connect();
    ASSERT_EQ(punch(*ring), 0) << "the kernel refuses it: nothing is left to test";
    EXPECT_EQ(ring->memory().header.magic, 0u) << "it is gone";
    EXPECT_EQ(ask(*ring, register_record(1, ue)).head.refused, 0);
    ASSERT_TRUE(ring->put(register_record(2, ue)));
    ASSERT_EQ(punch(*ring), 0);
    settle();
    EXPECT_EQ(server_.rings(), 0u);
    EXPECT_FALSE(ring->bells()) << "the server has hung up";
  }
  EXPECT_EQ(server_.counts().thrown_out, kTimes);
  EXPECT_EQ(registrar_.count(SetState::offered), kTimes);
  EXPECT_EQ(ask(*connect(), register_record(1, kTimes)).head.refused, 0);
}

// A bell costs its sender as much as us, and a full socket blocks nobody.
TEST_F(RingLiesTest, SurvivesAClientThatRingsWithoutEnd) {
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

}  // namespace
}  // namespace gmesp
