// SPDX-License-Identifier: BSD-3-Clause
// One mapping, cut into a region for each worker, and those into a part for each size of slot.
#include "crypto/key_store.h"

#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <stdexcept>
#include <system_error>

#include "crypto/expanded_key.h"

namespace gmesp {
namespace {

constexpr size_t kHugePageBytes = size_t{2} << 20;
constexpr std::array<size_t, 4> kSlotBytes{sizeof(HmacSlot), sizeof(AesCbcSlot), sizeof(Des3Slot),
                                           sizeof(GcmSlot)};

constexpr bool whole_units() {
  for (const size_t bytes : kSlotBytes) {
    if (bytes % KeyStore::kSlotUnitBytes != 0) return false;
  }
  return true;
}
static_assert(whole_units(), "a KeySlot counts units");

constexpr bool slots_hold_expanded_keys() {
  for (const SuiteInfo& info : kSuites) {
    if (KeyStore::slot_bytes(info.suite) != expanded_key_bytes(info.suite)) return false;
  }
  return true;
}
static_assert(slots_hold_expanded_keys(),
              "a packet's stage looks the size up, expanded_key.h says it");

constexpr size_t round_up(size_t bytes) {
  return (bytes + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
}

[[noreturn]] void throw_errno(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

KeyStore::KeyStore(size_t capacity, InstructionSet instruction_set)
    : KeyStore(capacity, {-1}, instruction_set) {}

KeyStore::KeyStore(size_t capacity, const std::vector<int>& nodes, InstructionSet instruction_set)
    : manager_(make_manager(instruction_set)), capacity_(capacity) {
  constexpr size_t kMaxUnits = std::numeric_limits<uint32_t>::max();
  constexpr const char* kNoRoom =
      "no room for the keys of so many SAs: lower [sa] capacity or the number of [workers] cpus";
  if (capacity > kMaxUnits / 64) throw std::length_error(kNoRoom);
  size_t bytes = 0;
  for (const int node : nodes) {
    regions_.push_back({.node = node, .classes = {}});
    bytes = lay_out(regions_.back(), bytes);
    if (bytes / kSlotUnitBytes > kMaxUnits) throw std::length_error(kNoRoom);
  }
  region_bytes_ = bytes / nodes.size();
  mapping_bytes_ = bytes + kHugePageBytes;
  reserve_memory();
  prefer_nodes();
}

// The parts of a region, one behind the other; where the last one ends.
size_t KeyStore::lay_out(Region& region, size_t from_byte) {
  for (size_t i = 0; i < kSlotBytes.size(); ++i) {
    region.classes[i].slot_bytes = kSlotBytes[i];
    region.classes[i].first_unit = static_cast<uint32_t>(from_byte / kSlotUnitBytes);
    region.classes[i].free.reserve(capacity_);
    from_byte += round_up(capacity_ * kSlotBytes[i]);
  }
  return from_byte;
}

// A wish: a kernel without NUMA refuses and has one node. The slots are written by the control
// thread, so the memory would come from its node without this.
void KeyStore::prefer_nodes() {
  constexpr int kNodeBits = 64;
  for (const Region& region : regions_) {
    if (region.node < 0 || region.node >= kNodeBits) continue;
    const unsigned long mask = 1ul << region.node;
    // The kernel takes one bit less than it is told (get_nodes() in mm/mempolicy.c).
    syscall(SYS_mbind, begin_of(region), region_bytes_, MPOL_PREFERRED, &mask, kNodeBits + 1, 0);
  }
}

// Keys must not reach a core dump or a child process: without that, no store. Locking and huge
// pages are had where the machine allows them.
void KeyStore::reserve_memory() {
  void* mapping = mmap(nullptr, mapping_bytes_, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw_errno("key store: address space");
  if (madvise(mapping, mapping_bytes_, MADV_DONTDUMP) != 0 ||
      madvise(mapping, mapping_bytes_, MADV_DONTFORK) != 0) {
    const int error = errno;
    munmap(mapping, mapping_bytes_);
    errno = error;
    throw_errno("key store: keep keys out of core dumps");
  }
  // With a million SAs each cold key would miss the TLB too; where there are no huge pages, it
  // does.
  madvise(mapping, mapping_bytes_, MADV_HUGEPAGE);
  locked_ = mlock2(mapping, mapping_bytes_, MLOCK_ONFAULT) == 0;
  mapping_ = static_cast<uint8_t*>(mapping);
  base_ = reinterpret_cast<uint8_t*>(round_up(reinterpret_cast<uintptr_t>(mapping_)));
}

KeyStore::~KeyStore() {
  for (const Region& region : regions_) {
    for (const SizeClass& slots : region.classes) {
      wipe(base_ + size_t{slots.first_unit} * kSlotUnitBytes, slots.used * slots.slot_bytes);
    }
  }
  munmap(mapping_, mapping_bytes_);
}

std::optional<KeySlot> KeyStore::store(Suite suite, Direction direction, const EspKeys& keys,
                                       size_t worker) {
  SizeClass& slots = size_class(regions_[worker % regions_.size()], suite);
  KeySlot slot{};
  if (!slots.free.empty()) {
    slot = slots.free.back();
    slots.free.pop_back();
  } else if (slots.used < capacity_) {
    const size_t units_per_slot = slots.slot_bytes / kSlotUnitBytes;
    slot = static_cast<KeySlot>(slots.first_unit + slots.used * units_per_slot);
    ++slots.used;
  } else {
    return std::nullopt;
  }
  expand_keys(manager_.get(), suite, direction, keys, const_cast<uint8_t*>(at(slot)));
  return slot;
}

void KeyStore::release(KeySlot slot, Suite suite) {
  wipe(const_cast<uint8_t*>(at(slot)), slot_bytes(suite));
  size_class(region_of(slot), suite).free.push_back(slot);
}

KeyStore::SizeClass& KeyStore::size_class(Region& region, Suite suite) {
  size_t i = 0;
  while (region.classes[i].slot_bytes != slot_bytes(suite)) ++i;
  return region.classes[i];
}

KeyStore::Region& KeyStore::region_of(KeySlot slot) {
  return regions_[static_cast<size_t>(slot) * kSlotUnitBytes / region_bytes_];
}

}  // namespace gmesp
