// SPDX-License-Identifier: BSD-3-Clause
// 32-bit tag -> where something stands (SaIndex, SaPlace, Slot: 32 bits, one value for nowhere), in
// buckets of one cache line: a look-up reads one line, two in some 2 % of cases at full capacity
// when the caller's places are spread evenly (spread()). Fixed size, no rehash. Several entries may
// have the same tag; the caller's predicate tells them apart. An entry that finds its bucket full
// goes to the next one; every bucket counts the entries that passed it, so a look-up knows where to
// stop and a delete leaves no tombstone.
#pragma once

#include <emmintrin.h>

#include <bit>
#include <cstddef>
#include <cstdint>

#include "crypto/prefetch.h"
#include "dataplane/large_array.h"

namespace gmesp {

// A place for every value, as if drawn by lot: one multiplication leaves values that are counted up
// in heaps (with a million SPIs in a row, 59 of 100 entries were not in their own bucket).
inline uint32_t spread(uint64_t value) {
  value *= 0x9e3779b97f4a7c15;
  value ^= value >> 32;
  return static_cast<uint32_t>(value * 0xbf58476d1ce4e5b9 >> 32);
}

// Place in a table, as a share of 2^32, and tag within it. Tag 0 marks a free entry.
struct IndexKey {
  uint32_t place;
  uint32_t tag;
};

template <typename Index, Index kNone>
class IndexTable {
 public:
  // Never full while it holds at most `capacity` entries: there are 7 entries for every 4.
  explicit IndexTable(size_t capacity) : buckets_(capacity / kTargetLoad + 1) {}

  void populate() { buckets_.populate(); }

  void prefetch(IndexKey key) const { prefetch_to_read(&buckets_[bucket_of(key)]); }

  // The first entry with this tag whose index satisfies `is_it`; kNone when there is none.
  template <typename Predicate>
  Index find(IndexKey key, Predicate&& is_it) const {
    // Once round at most: deletes can leave every bucket with an entry that passed it.
    size_t place = bucket_of(key);
    for (size_t step = 0; step < buckets_.size(); ++step, place = next(place)) {
      const Bucket& bucket = buckets_[place];
      for (uint32_t hits = bucket.matches(key.tag); hits != 0; hits &= hits - 1) {
        const Index index = bucket.indexes[std::countr_zero(hits)];
        if (is_it(index)) return index;
      }
      if (bucket.passed == 0) break;
    }
    return kNone;
  }

  void insert(IndexKey key, Index index) {
    for (size_t place = bucket_of(key);; place = next(place)) {
      Bucket& bucket = buckets_[place];
      if (const uint32_t free = bucket.matches(kFree); free != 0) {
        bucket.tags[std::countr_zero(free)] = key.tag;
        bucket.indexes[std::countr_zero(free)] = index;
        return;
      }
      ++bucket.passed;
    }
  }

  // The entry (key, index) is in the table.
  void remove(IndexKey key, Index index) {
    size_t place = bucket_of(key);
    for (; position(buckets_[place], key.tag, index) < 0; place = next(place)) {
      --buckets_[place].passed;
    }
    buckets_[place].tags[position(buckets_[place], key.tag, index)] = kFree;
  }

  // The entry (key, before) is in the table and stands for `after` from now on.
  void replace(IndexKey key, Index before, Index after) {
    size_t place = bucket_of(key);
    while (position(buckets_[place], key.tag, before) < 0) place = next(place);
    buckets_[place].indexes[position(buckets_[place], key.tag, before)] = after;
  }

  size_t buckets() const { return buckets_.size(); }
  // Buckets that entries went by on their way to where they are. Walks the whole table.
  size_t passed() const {
    size_t sum = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) sum += buckets_[i].passed;
    return sum;
  }
  // What one entry takes of a table at its capacity.
  static constexpr size_t bytes_per_entry() { return sizeof(Bucket) / kTargetLoad; }

 private:
  static constexpr size_t kEntries = 7;
  static constexpr size_t kTargetLoad = 4;  // entries per bucket at full capacity, at most
  static constexpr uint32_t kFree = 0;

  struct alignas(64) Bucket {
    uint32_t tags[kEntries];
    uint32_t passed;  // entries that were meant for here or before and live further on
    Index indexes[kEntries];

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

  // Of the entry in its bucket; below 0 when it is not there.
  static int position(const Bucket& bucket, uint32_t tag, Index index) {
    for (uint32_t hits = bucket.matches(tag); hits != 0; hits &= hits - 1) {
      if (bucket.indexes[std::countr_zero(hits)] == index) return std::countr_zero(hits);
    }
    return -1;
  }
  // Any number of buckets, not a power of two: capacity costs what it says.
  size_t bucket_of(IndexKey key) const { return uint64_t{key.place} * buckets_.size() >> 32; }
  size_t next(size_t place) const { return place + 1 == buckets_.size() ? 0 : place + 1; }

  LargeArray<Bucket> buckets_;
};

}  // namespace gmesp
