// SPDX-License-Identifier: BSD-3-Clause
// 32-bit tag -> SaIndex in buckets of one cache line: a look-up reads one line, two in some 5 % of
// cases at full capacity. Fixed size, no rehash. Several entries may have the same tag; the
// caller's predicate tells them apart. An entry that finds its bucket full goes to the next one;
// every bucket counts the entries that passed it, so a look-up knows where to stop and a delete
// leaves no tombstone.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "dataplane/large_array.h"
#include "dataplane/sa_table.h"

namespace gmesp {

class IndexTable {
 public:
  // Place in the table and tag within it. Tag 0 marks a free entry.
  struct Key {
    uint32_t place;
    uint32_t tag;
  };

  // Never full while it holds at most `capacity` entries: there are 7 entries for every 4.
  explicit IndexTable(size_t capacity)
      : buckets_(std::bit_ceil(capacity / kTargetLoad + 1)),
        mask_(static_cast<uint32_t>(buckets_.size() - 1)) {}

  void prefetch(Key key) const { __builtin_prefetch(&buckets_[key.place & mask_]); }

  // The first entry with this tag whose index satisfies `is_it`; kNoSa when there is none.
  template <typename Predicate>
  SaIndex find(Key key, Predicate&& is_it) const {
    // Once round at most: deletes can leave every bucket with an entry that passed it.
    for (uint32_t step = 0; step <= mask_; ++step) {
      const Bucket& bucket = buckets_[(key.place + step) & mask_];
      for (size_t i = 0; i < kEntries; ++i) {
        if (bucket.tags[i] == key.tag && is_it(bucket.indexes[i])) return bucket.indexes[i];
      }
      if (bucket.passed == 0) break;
    }
    return kNoSa;
  }

  void insert(Key key, SaIndex index) {
    for (uint32_t place = key.place & mask_;; place = (place + 1) & mask_) {
      Bucket& bucket = buckets_[place];
      for (size_t i = 0; i < kEntries; ++i) {
        if (bucket.tags[i] != kFree) continue;
        bucket.tags[i] = key.tag;
        bucket.indexes[i] = index;
        return;
      }
      ++bucket.passed;
    }
  }

  // The entry (key, index) is in the table.
  void remove(Key key, SaIndex index) {
    for (uint32_t place = key.place & mask_;; place = (place + 1) & mask_) {
      Bucket& bucket = buckets_[place];
      for (size_t i = 0; i < kEntries; ++i) {
        if (bucket.tags[i] != key.tag || bucket.indexes[i] != index) continue;
        bucket.tags[i] = kFree;
        return;
      }
      --bucket.passed;
    }
  }

  // The entry (key, before) is in the table and stands for `after` from now on.
  void replace(Key key, SaIndex before, SaIndex after) {
    for (uint32_t place = key.place & mask_;; place = (place + 1) & mask_) {
      Bucket& bucket = buckets_[place];
      for (size_t i = 0; i < kEntries; ++i) {
        if (bucket.tags[i] != key.tag || bucket.indexes[i] != before) continue;
        bucket.indexes[i] = after;
        return;
      }
    }
  }

 private:
  static constexpr size_t kEntries = 7;
  static constexpr size_t kTargetLoad = 4;  // entries per bucket at full capacity, at most
  static constexpr uint32_t kFree = 0;

  struct alignas(64) Bucket {
    uint32_t tags[kEntries];
    SaIndex indexes[kEntries];
    uint32_t passed;  // entries that were meant for here or before and live further on
  };
  static_assert(sizeof(Bucket) == 64, "a look-up reads one line");

  LargeArray<Bucket> buckets_;
  uint32_t mask_;
};

}  // namespace gmesp
