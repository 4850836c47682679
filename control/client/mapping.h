// SPDX-License-Identifier: BSD-3-Clause
// The memory of one connection, mapped: not inherited by children (a second process with the same
// private indices would break the ring), not dumped and, where allowed, not swapped, because CK and
// IK pass through it.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <utility>

#include "control/client/records.h"

namespace gmesp::client {

class Mapping {
 public:
  Mapping() = default;
  // fd: at least sizeof(SharedMemory) long and sealed against shrinking. False in operator bool:
  // it could not be mapped.
  explicit Mapping(int fd) {
    void* address = mmap(nullptr, sizeof(SharedMemory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED) return;
    memory_ = static_cast<SharedMemory*>(address);
    madvise(address, sizeof(SharedMemory), MADV_DONTFORK);
    madvise(address, sizeof(SharedMemory), MADV_DONTDUMP);
    // As pages are touched: most rings never use most of theirs.
    mlock2(address, sizeof(SharedMemory), MLOCK_ONFAULT);
  }
  Mapping(Mapping&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(memory_, other.memory_);
    return *this;
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (memory_ != nullptr) munmap(memory_, sizeof(SharedMemory));
  }

  SharedMemory* get() const { return memory_; }
  SharedMemory* operator->() const { return memory_; }
  explicit operator bool() const { return memory_ != nullptr; }
  // In a child the addresses are somebody else's by now.
  void forget() { memory_ = nullptr; }

  RingSlots command_slots() const { return {memory_->command_slots, kCommandBytes, kCommandSlots}; }
  RingSlots answer_slots() const { return {memory_->answer_slots, kAnswerBytes, kAnswerSlots}; }

 private:
  SharedMemory* memory_ = nullptr;
};

}  // namespace gmesp::client
