// SPDX-License-Identifier: BSD-3-Clause
// Where expanded keys live: one slot per SA in memory that is locked, left out of core dumps and
// wiped on release. An SA carries only the 4-byte slot number. The control thread stores and
// releases; workers read the slots of the SAs they hold, from "install" until they have answered
// "deleted" (a key must not change while it is in use).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "crypto/algorithm.h"
#include "crypto/direction.h"
#include "crypto/key_material.h"
#include "crypto/manager.h"
#include "crypto/prefetch.h"

namespace gmesp {

enum class KeySlot : uint32_t {
};  // in units of KeyStore::kSlotUnitBytes from the start of the store

class KeyStore {
 public:
  static constexpr size_t kSlotUnitBytes = 64;

  // Reserves address space for `capacity` slots of every size; memory is taken as slots are used.
  // Throws std::system_error when the address space cannot be had. A machine that does not let us
  // lock memory (RLIMIT_MEMLOCK) is told by locked() == false. The mapping does not survive fork():
  // make the store in the process that uses it. The instruction set is that of the MultiBuffers
  // that will read the slots: expanded GCM keys differ between them.
  explicit KeyStore(size_t capacity, InstructionSet instruction_set = InstructionSet::best);
  // The same with a region of its own for each worker: `capacity` slots of every size on the NUMA
  // node that nodes[worker] names (-1: any), as a key is read there for every packet.
  KeyStore(size_t capacity, const std::vector<int>& nodes,
           InstructionSet instruction_set = InstructionSet::best);
  ~KeyStore();  // wipes and unmaps
  KeyStore(const KeyStore&) = delete;
  KeyStore& operator=(const KeyStore&) = delete;

  // Expands the keys for one direction into a free slot in the worker's region (workers without one
  // share those there are). check_keys() has passed. Nothing: the region is full.
  std::optional<KeySlot> store(Suite suite, Direction direction, const EspKeys& keys,
                               size_t worker = 0);
  // Wipes the slot and makes it free. The suite is the one it was stored with.
  void release(KeySlot slot, Suite suite);

  // The memory of a slot: any thread that owns an SA with it.
  const uint8_t* at(KeySlot slot) const {
    return base_ + static_cast<size_t>(slot) * kSlotUnitBytes;
  }
  // Brings a slot's lines near: for the stage before the one that deciphers (a cold key costs more
  // than a small packet).
  void prefetch(KeySlot slot, Suite suite) const {
    const uint8_t* const end = at(slot) + slot_bytes(suite);
    for (const uint8_t* line = at(slot); line != end; line += kSlotUnitBytes) {
      prefetch_to_read(line);
    }
  }
  bool locked() const { return locked_; }
  // Bytes that one SA's slot takes.
  static constexpr size_t slot_bytes(Suite suite) {
    constexpr std::array<uint16_t, kSuiteCount> kBytes{64, 448, 256, 64, 448, 256, 1024, 1024};
    return kBytes[static_cast<size_t>(suite)];  // checked in key_store.cc
  }

 private:
  // A part of the region for each size of slot, so that any free slot of a size fits any SA of that
  // size.
  struct SizeClass {
    size_t slot_bytes = 0;
    uint32_t first_unit = 0;    // where the part begins
    uint32_t used = 0;          // slots ever handed out
    std::vector<KeySlot> free;  // wiped, ready for use
  };
  struct Region {
    int node = -1;
    std::array<SizeClass, 4> classes;
  };
  size_t lay_out(Region& region, size_t from_byte);
  static SizeClass& size_class(Region& region, Suite suite);
  Region& region_of(KeySlot slot);
  uint8_t* begin_of(const Region& region) const {
    return base_ + size_t{region.classes[0].first_unit} * kSlotUnitBytes;
  }
  void reserve_memory();
  void prefer_nodes();

  Manager manager_;
  size_t capacity_;  // of a region
  size_t region_bytes_ = 0;
  std::vector<Region> regions_;
  uint8_t* mapping_ = nullptr;
  size_t mapping_bytes_ = 0;
  uint8_t* base_ = nullptr;  // first 2 MB boundary in the mapping
  bool locked_ = false;
};

}  // namespace gmesp
