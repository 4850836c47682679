// SPDX-License-Identifier: BSD-3-Clause
// The control thread's own record of every SA of one direction, of all workers: one line each,
// found by place or by identity. A place is a worker and the SaIndex it knows the SA by; places are
// given here and stay taken until the worker has forgotten the SA.
//
// Identity (RFC 4301 4.1, ESP-01): inbound SPIs are ours and unique in the box; outbound SPIs are
// the receiver's choice and unique with the destination only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "crypto/key_store.h"
#include "crypto/sip_hash.h"
#include "dataplane/index_table.h"
#include "dataplane/large_array.h"
#include "dataplane/security_association.h"

namespace gmesp {

enum class SaState : uint8_t { none, installing, live, deleting };

// Sets of SAs: who owns them is a number of the owner's (control/registration).
using SetIndex = uint32_t;
inline constexpr SetIndex kNoOwner = 0xffffffff;  // single-SA commands

struct SaEntry {
  Selector selector;
  uint16_t window = 0;  // in: size of the replay window
  Spi spi{};
  KeySlot key{};
  uint64_t* window_words = nullptr;  // in: what ReplayWindow keeps outside; owned by SaInventory
  Suite suite{};
  SaState state = SaState::none;
  uint8_t events = 0;    // SaEventKind bits the worker has reported
  bool flushed = false;  // deleting, on behalf of a flush
  SetIndex owner = kNoOwner;
};
static_assert(sizeof(SaEntry) == 64, "a million SAs: one line each");

// Index of an entry: worker * capacity of a worker + SaIndex.
enum class SaPlace : uint32_t {};
constexpr SaPlace kNoPlace{0xffffffff};

class SaInventory {
 public:
  // capacity: of each worker.
  SaInventory(Direction direction, size_t workers, size_t capacity);
  ~SaInventory();
  SaInventory(const SaInventory&) = delete;
  SaInventory& operator=(const SaInventory&) = delete;

  size_t size() const { return size_; }  // places taken, whatever the state
  size_t free_places(size_t worker) const {
    const Places& places = places_[worker];
    return places.free.size() + capacity_ - places.ever_used;
  }

  // Takes a free place of this worker for an entry with an identity nobody has, and makes the
  // window words. Nothing: the worker is full.
  std::optional<SaPlace> insert(size_t worker, const SaEntry& entry);
  void erase(SaPlace place);

  SaEntry& operator[](SaPlace place) { return entries_[static_cast<size_t>(place)]; }
  const SaEntry& operator[](SaPlace place) const { return entries_[static_cast<size_t>(place)]; }

  size_t worker(SaPlace place) const { return static_cast<size_t>(place) / capacity_; }
  SaIndex index(SaPlace place) const {
    return SaIndex{static_cast<uint32_t>(static_cast<size_t>(place) % capacity_)};
  }
  SaPlace place(size_t worker, SaIndex index) const {
    return SaPlace{static_cast<uint32_t>(worker * capacity_ + static_cast<size_t>(index))};
  }

  // destination counts for outbound SAs only.
  std::optional<SaPlace> find(Spi spi, const Address& destination) const;
  // The first taken place at or behind this one. Free ones cost next to nothing (64 a step): a list
  // may have to pass a million places of SAs that have gone.
  std::optional<SaPlace> next(size_t from) const;
  // Of IndexTable. Walks it.
  size_t passed() const { return by_identity_.passed(); }

 private:
  struct Places {  // of one worker
    uint32_t ever_used = 0;
    std::vector<SaIndex> free;  // below ever_used
  };
  IndexKey key(Spi spi, const Address& destination) const;

  Direction direction_;
  SipHashKey hash_key_;
  size_t capacity_;
  size_t size_ = 0;
  std::vector<uint64_t> taken_;  // a bit for each place
  LargeArray<SaEntry> entries_;
  IndexTable<SaPlace, kNoPlace> by_identity_;
  std::vector<Places> places_;
};

}  // namespace gmesp
