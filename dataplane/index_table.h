// SPDX-License-Identifier: BSD-3-Clause
// 32-bit tag -> SaIndex in buckets of one cache line: a look-up reads one line, two in some 5 % of
// cases at full capacity. Fixed size, no rehash. Several entries may have the same tag; the
// caller's predicate tells them apart. An entry that finds its bucket full goes to the next one;
// every bucket counts the entries that passed it, so a look-up knows where to stop and a delete
// leaves no tombstone.
#pragma once

#include <immintrin.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "crypto/prefetch.h"
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

  void prefetch(Key key) const { prefetch_to_read(&buckets_[key.place & mask_]); }

  // The first entry with this tag whose index satisfies `is_it`; kNoSa when there is none.
  template <typename Predicate>
  SaIndex find(Key key, Predicate&& is_it) const {
    // Once round at most: deletes can leave every bucket with an entry that passed it.
    for (uint32_t step = 0; step <= mask_; ++step) {
      const Bucket& bucket = buckets_[(key.place + step) & mask_];
      for (uint32_t left = bucket.matches(key.tag); left != 0; left &= left - 1) {
        const SaIndex index = bucket.indexes[std::countr_zero(left)];
        if (is_it(index)) return index;
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
    uint32_t passed;  // entries that were meant for here or before and live further on
    SaIndex indexes[kEntries];

    // Bit i: entry i has this tag. Without a branch for each entry: which one it is differs from
    // packet to packet, and a wrong guess costs more than all seven comparisons.
    uint32_t matches(uint32_t tag) const {
      const __m128i wanted = _mm_set1_epi32(static_cast<int>(tag));
      const auto bits = [&](const uint32_t* four) {
        const __m128i equal =
            _mm_cmpeq_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(four)), wanted);
        return static_cast<uint32_t>(_mm_movemask_ps(_mm_castsi128_ps(equal)));
      };
      return (bits(tags) | bits(tags + 4) << 4) & ((1u << kEntries) - 1);
    }
  };
  static_assert(sizeof(Bucket) == 64, "a look-up reads one line");

  LargeArray<Bucket> buckets_;
  uint32_t mask_;
};

}  // namespace gmesp
