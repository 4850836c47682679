// SPDX-License-Identifier: BSD-3-Clause
#include "control/client/shared_ring.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <optional>
#include <random>
#include <thread>
#include <vector>

namespace gmesp::client {
namespace {

constexpr size_t kSlots = 8;
constexpr size_t kBytes = 24;

// The slots have guards before and behind them: nothing may ever touch these.
struct Shared {
  RingIndices indices{};
  std::array<std::byte, 4096> before{};
  std::array<std::byte, kSlots * kBytes> slots{};
  std::array<std::byte, 4096> behind{};

  RingSlots ring() { return {slots.data(), kBytes, kSlots}; }
  bool holds(const std::byte* slot) const {
    return slot >= slots.data() && slot + kBytes <= slots.data() + slots.size();
  }
};

bool put(RingProducer& producer, uint64_t value) {
  std::byte* slot = producer.slot();
  if (slot == nullptr) return false;
  std::memcpy(slot, &value, sizeof value);
  producer.publish();
  return true;
}

std::optional<uint64_t> get(RingConsumer& consumer) {
  const std::byte* slot = consumer.front();
  if (slot == nullptr) return std::nullopt;
  uint64_t value = 0;
  std::memcpy(&value, slot, sizeof value);
  consumer.pop();
  return value;
}

TEST(SharedRing, GivesRecordsInTheirOrderAndRefusesWhatDoesNotFit) {
  Shared shared;
  RingProducer producer(shared.indices, shared.ring());
  RingConsumer consumer(shared.indices, shared.ring());
  EXPECT_FALSE(get(consumer));
  for (uint64_t i = 0; i < kSlots; ++i) EXPECT_TRUE(put(producer, i));
  EXPECT_FALSE(put(producer, 99));
  EXPECT_EQ(producer.used(), kSlots);
  for (uint64_t i = 0; i < kSlots; ++i) EXPECT_EQ(get(consumer), i);
  EXPECT_FALSE(get(consumer));
  EXPECT_EQ(producer.used(), 0u);
  EXPECT_FALSE(producer.broken() || consumer.broken());
}

// Any interleaving of puts and gets, over many turns of the ring, is a bounded queue.
TEST(SharedRing, IsABoundedQueue) {
  rc::check([](const std::vector<bool>& steps) {
    Shared shared;
    RingProducer producer(shared.indices, shared.ring());
    RingConsumer consumer(shared.indices, shared.ring());
    std::deque<uint64_t> model;
    uint64_t next = 0;
    for (int turn = 0; turn < 3; ++turn) {
      for (const bool is_put : steps) {
        if (is_put) {
          const bool fits = model.size() < kSlots;
          RC_ASSERT(put(producer, next) == fits);
          if (fits) model.push_back(next++);
        } else {
          const std::optional<uint64_t> got = get(consumer);
          RC_ASSERT(got.has_value() == !model.empty());
          if (!got) continue;
          RC_ASSERT(*got == model.front());
          model.pop_front();
        }
      }
    }
  });
}

struct Lie {
  const char* what;
  uint64_t told;
};

// 5 records were put and 3 taken.
TEST(SharedRing, NoticesAConsumerWhoseIndexCannotBe) {
  for (const Lie& lie :
       {Lie{"back", 2}, Lie{"beyond what there is", 6}, Lie{"far beyond", 1u << 30},
        Lie{"below zero", UINT64_MAX}, Lie{"half way round", uint64_t{1} << 63}}) {
    Shared shared;
    RingProducer producer(shared.indices, shared.ring());
    for (uint64_t i = 0; i < 5; ++i) ASSERT_TRUE(put(producer, i));
    shared.indices.consumed = 3;
    ASSERT_EQ(producer.used(), 2u);
    shared.indices.consumed = lie.told;
    producer.used();
    EXPECT_TRUE(producer.broken()) << lie.what;
    EXPECT_EQ(producer.slot(), nullptr) << lie.what;
    shared.indices.consumed = 5;
    EXPECT_EQ(producer.slot(), nullptr) << lie.what << ": it stays so";
  }
}

// 5 records were put and taken.
TEST(SharedRing, NoticesAProducerWhoseIndexCannotBe) {
  for (const Lie& lie :
       {Lie{"back", 4}, Lie{"more than fits", 5 + kSlots + 1}, Lie{"far beyond", 1u << 30},
        Lie{"below zero", UINT64_MAX}, Lie{"half way round", uint64_t{1} << 63}}) {
    Shared shared;
    RingConsumer consumer(shared.indices, shared.ring());
    shared.indices.produced = 5;
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(get(consumer));
    shared.indices.produced = lie.told;
    EXPECT_EQ(consumer.front(), nullptr) << lie.what;
    EXPECT_TRUE(consumer.broken()) << lie.what;
    shared.indices.produced = 6;
    EXPECT_EQ(consumer.front(), nullptr) << lie.what << ": it stays so";
  }
}

// What a side has told is not read back: an overwritten index of its own changes nothing.
TEST(SharedRing, KeepsItsOwnIndexToItself) {
  Shared shared;
  RingProducer producer(shared.indices, shared.ring());
  ASSERT_TRUE(put(producer, 1));
  const std::byte* second = producer.slot();
  shared.indices.produced = 77;
  EXPECT_EQ(producer.slot(), second);
  RingConsumer consumer(shared.indices, shared.ring());
  shared.indices.produced = 2;
  ASSERT_TRUE(get(consumer));
  const std::byte* next = consumer.front();
  shared.indices.consumed = 1u << 20;
  EXPECT_EQ(consumer.front(), next);
}

// Random values in both indices at every step: no slot is ever outside the slots, and nothing
// beside them is written.
TEST(SharedRing, StaysInsideItsSlotsWhateverTheIndicesSay) {
  rc::check([](const std::vector<uint64_t>& values, const std::vector<bool>& near) {
    Shared shared;
    RingProducer producer(shared.indices, shared.ring());
    RingConsumer consumer(shared.indices, shared.ring());
    for (size_t i = 0; i < values.size(); ++i) {
      // Small steps are believed more often than random numbers.
      const bool small = i < near.size() && near[i];
      const uint64_t value = small ? shared.indices.produced + values[i] % 4 : values[i];
      (values[i] % 2 == 0 ? shared.indices.produced : shared.indices.consumed) = value;
      std::byte* slot = producer.slot();
      RC_ASSERT(slot == nullptr || shared.holds(slot));
      if (slot != nullptr) put(producer, UINT64_MAX);
      const std::byte* front = consumer.front();
      RC_ASSERT(front == nullptr || shared.holds(front));
      if (front != nullptr) consumer.pop();
    }
    RC_ASSERT(shared.before == decltype(shared.before){});
    RC_ASSERT(shared.behind == decltype(shared.behind){});
  });
}

TEST(SharedRing, CarriesRecordsFromOneProcessToAnother) {
  constexpr uint64_t kRecords = 200000;
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  Shared& shared = *new (memory) Shared;
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    RingProducer producer(shared.indices, shared.ring());
    for (uint64_t i = 0; i < kRecords;) {
      if (put(producer, i)) {
        ++i;
      } else if (producer.broken()) {
        _exit(1);
      } else {
        sched_yield();
      }
    }
    _exit(0);
  }
  RingConsumer consumer(shared.indices, shared.ring());
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < kRecords;) {
    const std::optional<uint64_t> got = get(consumer);
    if (got) {
      wrong += *got != i++;
    } else {
      ASSERT_FALSE(consumer.broken());
      sched_yield();
    }
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(wrong, 0u);
  EXPECT_FALSE(get(consumer));
  munmap(memory, sizeof(Shared));
}

// The same between threads, with every byte of every record, for ThreadSanitizer: what is read of a
// slot was written before it was told, and is read before it is given back.
TEST(SharedRing, HandsWholeRecordsFromOneThreadToAnother) {
  constexpr uint64_t kRecords = 10000;
  using Record = std::array<uint64_t, kBytes / sizeof(uint64_t)>;
  Shared shared;
  std::thread thread([&shared] {
    RingProducer producer(shared.indices, shared.ring());
    for (uint64_t i = 0; i < kRecords;) {
      std::byte* slot = producer.slot();
      if (slot == nullptr) {
        ASSERT_FALSE(producer.broken());
        sched_yield();
        continue;
      }
      Record record;
      record.fill(i++);
      std::memcpy(slot, record.data(), kBytes);
      producer.publish();
    }
  });
  RingConsumer consumer(shared.indices, shared.ring());
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < kRecords && !consumer.broken();) {
    const std::byte* slot = consumer.front();
    if (slot == nullptr) {
      sched_yield();
      continue;
    }
    Record record;
    std::memcpy(record.data(), slot, kBytes);
    consumer.pop();
    for (const uint64_t word : record) wrong += word != i ? 1 : 0;
    ++i;
  }
  thread.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_FALSE(consumer.broken());
}

// A peer that writes both indices at any moment: this end stays inside its slots, takes no more
// than a ring full at a time, and goes on with whatever else it has to do.
TEST(SharedRing, StaysInsideItsSlotsWhileAnotherThreadLies) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Shared shared;
    std::atomic<bool> done{false};
    std::thread liar([&] {
      std::mt19937_64 random(seed);
      while (!done) {
        const uint64_t value =
            random() % 3 == 0 ? random() : shared.indices.produced + random() % 3;
        (random() % 2 == 0 ? shared.indices.produced : shared.indices.consumed) = value;
      }
    });
    RingProducer producer(shared.indices, shared.ring());
    RingConsumer consumer(shared.indices, shared.ring());
    bool inside = true;
    for (int i = 0; i < 2000 && !(producer.broken() && consumer.broken()); ++i) {
      std::byte* slot = producer.slot();
      inside = inside && (slot == nullptr || shared.holds(slot));
      if (slot != nullptr) put(producer, UINT64_MAX);
      for (size_t taken = 0; taken <= kSlots; ++taken) {
        const std::byte* front = consumer.front();
        inside = inside && (front == nullptr || shared.holds(front));
        if (front != nullptr) consumer.pop();
      }
    }
    done = true;
    liar.join();
    EXPECT_TRUE(inside);
    EXPECT_EQ(shared.before, decltype(shared.before){});
    EXPECT_EQ(shared.behind, decltype(shared.behind){});
  }
}

}  // namespace
}  // namespace gmesp::client
