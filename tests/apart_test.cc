// SPDX-License-Identifier: BSD-3-Clause
// No cache line that a worker writes belongs to anybody else: a line that two cores write costs
// each of them more than a packet. Every block that the process takes from malloc is recorded with
// who took it, so a part that a worker gets in future is looked at too. What is shared by purpose
// (steering rings, the channel to the control thread) is taken under its own name; tables are
// mapped on pages of their own (large_array.h). glibc only; not for sanitizers, which bring their
// own malloc.
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/worker.h"

extern "C" {
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* block, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void* block);
}

namespace gmesp {
namespace {

enum class Owner : uint8_t { nobody, control, shared, first_worker, second_worker };
constexpr const char* kOwnerNames[] = {"nobody", "control", "shared", "first worker",
                                       "second worker"};

struct Block {
  uintptr_t begin;
  uintptr_t end;
  Owner owner;
};

// No allocation of its own.
constexpr size_t kMostBlocks = 100'000;
std::array<Block, kMostBlocks> blocks;
size_t block_count = 0;
Owner owner_now = Owner::nobody;  // of what is taken from now on

void* taken(void* block, size_t bytes) {
  if (block != nullptr && owner_now != Owner::nobody && block_count < kMostBlocks) {
    const auto begin = reinterpret_cast<uintptr_t>(block);
    blocks[block_count++] = {begin, begin + bytes, owner_now};
  }
  return block;
}

void given_back(void* block) {
  for (size_t i = 0; i < block_count; ++i) {
    if (blocks[i].begin == reinterpret_cast<uintptr_t>(block)) {
      blocks[i] = blocks[--block_count];
      return;
    }
  }
}

}  // namespace
}  // namespace gmesp

extern "C" {
void* malloc(size_t bytes) { return gmesp::taken(__libc_malloc(bytes), bytes); }
void* calloc(size_t count, size_t bytes) {
  return gmesp::taken(__libc_calloc(count, bytes), count * bytes);
}
void* realloc(void* block, size_t bytes) {
  gmesp::given_back(block);
  return gmesp::taken(__libc_realloc(block, bytes), bytes);
}
void* memalign(size_t alignment, size_t bytes) {
  return gmesp::taken(__libc_memalign(alignment, bytes), bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }
int posix_memalign(void** block, size_t alignment, size_t bytes) {
  *block = memalign(alignment, bytes);
  return *block == nullptr ? 12 : 0;  // ENOMEM
}
void free(void* block) {
  if (block != nullptr) gmesp::given_back(block);
  __libc_free(block);
}
}

namespace gmesp {
namespace {

constexpr uintptr_t kLineBytes = 64;

bool is_worker(Owner owner) { return owner >= Owner::first_worker; }

// A line that a worker and somebody else have, in words; empty: there is none.
std::string shared_line() {
  for (size_t i = 0; i < block_count; ++i) {
    if (!is_worker(blocks[i].owner)) continue;
    const uintptr_t first = blocks[i].begin / kLineBytes;
    const uintptr_t last = (blocks[i].end - 1) / kLineBytes;
    for (size_t j = 0; j < block_count; ++j) {
      if (blocks[j].owner == blocks[i].owner) continue;
      if (blocks[j].begin / kLineBytes > last || (blocks[j].end - 1) / kLineBytes < first) continue;
      return std::string(kOwnerNames[static_cast<size_t>(blocks[i].owner)]) + ", block of " +
             std::to_string(blocks[i].end - blocks[i].begin) + " bytes, and " +
             kOwnerNames[static_cast<size_t>(blocks[j].owner)] + ", block of " +
             std::to_string(blocks[j].end - blocks[j].begin) + " bytes";
    }
  }
  return {};
}

size_t bytes_of(Owner owner) {
  size_t bytes = 0;
  for (size_t i = 0; i < block_count; ++i) {
    if (blocks[i].owner == owner) bytes += blocks[i].end - blocks[i].begin;
  }
  return bytes;
}

// As Engine makes them, one after the other, and what the control thread takes in between lands
// wherever malloc has room: beside a worker's blocks.
struct TwoWorkers {
  TwoWorkers() {
    for (size_t number = 0; number < 2; ++number) {
      litter();
      owner_now = Owner::shared;
      channels[number] = std::make_unique<WorkerChannel>();
      owner_now = number == 0 ? Owner::first_worker : Owner::second_worker;
      WorkerConfig config;
      config.number = number;
      config.sa_capacity = 1000;
      workers[number] = std::make_unique<Worker>(config, Port(), Port(), pools, keys, policy,
                                                 steering, mesh, *channels[number]);
      litter();
    }
    owner_now = Owner::nobody;
  }

  void litter() {
    owner_now = Owner::control;
    for (size_t bytes = 8; bytes <= 256; bytes += 8) {
      for (int i = 0; i < 20; ++i) notes.push_back(std::make_unique<std::byte[]>(bytes));
    }
  }

  std::vector<std::unique_ptr<std::byte[]>> notes;
  Policy policy;
  PacketPools pools;
  KeyStore keys{1000};
  Steering steering{2};
  SteeringMesh mesh{2};
  std::array<std::unique_ptr<WorkerChannel>, 2> channels;
  std::array<std::unique_ptr<Worker>, 2> workers;
};

TEST(Workers, ShareNoCacheLineThatOneOfThemWrites) {
  const TwoWorkers two;
  ASSERT_LT(block_count, kMostBlocks) << "not all blocks were looked at";
  EXPECT_GE(bytes_of(Owner::first_worker), sizeof(Worker)) << "its blocks were seen";
  EXPECT_GE(bytes_of(Owner::second_worker), sizeof(Worker));
  EXPECT_EQ(shared_line(), "");
}

TEST(SteeringMesh, GivesEveryRingLinesOfItsOwn) {
  SteeringMesh mesh(3);
  for (size_t from = 0; from < 3; ++from) {
    for (size_t to = 0; to < 3; ++to) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(&mesh.ring(from, to)) % kLineBytes, 0u);
    }
  }
}

// Objects of two owners can share a line only when one of them begins or ends inside it.
static_assert(alignof(Worker) % kLineBytes == 0 && sizeof(Worker) % kLineBytes == 0,
              "a worker begins and ends with a line of its own");
static_assert(alignof(WorkerChannel) % kLineBytes == 0, "channels of two workers share no line");

}  // namespace
}  // namespace gmesp
