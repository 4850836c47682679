// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/index_table.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <vector>

#include "dataplane/sa_table.h"

namespace gmesp {
namespace {

using Table = IndexTable<SaIndex, kNoSa>;

SaIndex find(const Table& table, IndexKey key, SaIndex index) {
  return table.find(key, [index](SaIndex other) { return other == index; });
}

bool has_any(const Table& table, IndexKey key) {
  return table.find(key, [](SaIndex) { return true; }) != kNoSa;
}

// A key whose own bucket is this one.
IndexKey in_bucket(const Table& table, size_t bucket, uint32_t tag) {
  const uint64_t place = ((uint64_t{bucket} << 32) + table.buckets() - 1) / table.buckets();
  return {static_cast<uint32_t>(place), tag};
}

TEST(IndexTable, FindsNothingWhileEmpty) {
  const Table table(100);
  for (uint32_t place = 0; place < 200; ++place) EXPECT_FALSE(has_any(table, {place, place + 1}));
}

TEST(IndexTable, EntriesWithOneTagAreToldApartByThePredicate) {
  Table table(100);
  constexpr IndexKey kKey{77, 5};
  for (uint32_t i = 0; i < 100; ++i) table.insert(kKey, SaIndex{i});
  for (uint32_t i = 0; i < 100; ++i) EXPECT_EQ(find(table, kKey, SaIndex{i}), SaIndex{i});
  EXPECT_EQ(find(table, kKey, SaIndex{100}), kNoSa);
  EXPECT_FALSE(has_any(table, {77, 6}));
}

TEST(IndexTable, ReplaceKeepsThePlaceAndChangesTheIndex) {
  Table table(20);
  for (uint32_t i = 0; i < 20; ++i) table.insert({3, 9}, SaIndex{i});
  table.replace({3, 9}, SaIndex{19}, SaIndex{500});
  EXPECT_EQ(find(table, {3, 9}, SaIndex{19}), kNoSa);
  EXPECT_EQ(find(table, {3, 9}, SaIndex{500}), SaIndex{500});
}

// The last bucket's neighbour is the first.
TEST(IndexTable, OverflowGoesRoundTheEnd) {
  Table table(30);
  const IndexKey last = in_bucket(table, table.buckets() - 1, 1);
  for (uint32_t i = 0; i < 30; ++i) table.insert(last, SaIndex{i});
  for (uint32_t i = 0; i < 30; ++i) {
    EXPECT_EQ(find(table, last, SaIndex{i}), SaIndex{i});
    table.remove(last, SaIndex{i});
    EXPECT_EQ(find(table, last, SaIndex{i}), kNoSa);
  }
}

// In turn each bucket of 7 is filled, passed by one entry, and emptied again: at the end every
// bucket says that something lies further on.
TEST(IndexTable, LookUpEndsWhenEveryBucketHasBeenPassed) {
  Table table(16);
  uint32_t next_index = 0;
  for (size_t bucket = 0; bucket < table.buckets(); ++bucket) {
    const IndexKey key = in_bucket(table, bucket, 1);
    const uint32_t first = next_index;
    const uint32_t fillers = bucket == 0 ? 7 : 6;  // one that passed the bucket before is here
    for (uint32_t i = 0; i <= fillers; ++i) table.insert(key, SaIndex{next_index++});
    for (uint32_t i = 0; i < fillers; ++i) table.remove(key, SaIndex{first + i});
  }
  EXPECT_EQ(table.passed(), table.buckets());
  for (size_t bucket = 0; bucket < table.buckets(); ++bucket) {
    EXPECT_FALSE(has_any(table, in_bucket(table, bucket, 2)));
  }
}

// An overflow that is gone costs later look-ups nothing: they stop at their own bucket again.
TEST(IndexTable, ADeletedOverflowLeavesNoTrace) {
  Table table(100);
  const IndexKey third = in_bucket(table, 3, 1);
  const IndexKey fourth = in_bucket(table, 4, 1);
  for (uint32_t i = 0; i <= 7; ++i) table.insert(third, SaIndex{i});  // the last one overflows
  EXPECT_EQ(table.passed(), 1u);
  table.remove(third, SaIndex{7});
  EXPECT_EQ(table.passed(), 0u);
  table.insert(fourth, SaIndex{8});
  EXPECT_EQ(find(table, third, SaIndex{8}), kNoSa);
  EXPECT_EQ(find(table, fourth, SaIndex{8}), SaIndex{8});
}

// Capacity is configuration: a table takes 16 bytes an entry, whatever the number.
TEST(IndexTable, TakesTheSameForEachEntryOfAnyCapacity) {
  for (const size_t capacity : std::initializer_list<size_t>{1000, 1024, 1025, 4095, 4096, 5000}) {
    EXPECT_LE(Table(capacity).buckets(), capacity / 4 + 1);
  }
  EXPECT_EQ(Table::bytes_per_entry(), 16u);
}

// SPIs and addresses are counted up, in either byte order, with steps. A full table then has no
// more entries outside their own bucket than numbers drawn by lot would give it.
TEST(IndexTable, SpreadsNumbersThatAreCountedUp) {
  constexpr uint32_t kCapacity = 200'000;
  const auto number = [](int pattern, uint32_t i) {
    const uint32_t steps[] = {1, 4, 256, 65537};
    return pattern < 4 ? 256 + i * steps[pattern] : __builtin_bswap32(256 + i);
  };
  for (int pattern = 0; pattern < 5; ++pattern) {
    Table table(kCapacity);
    for (uint32_t i = 0; i < kCapacity; ++i) {
      const uint32_t tag = number(pattern, i);
      table.insert({spread(tag), tag}, SaIndex{i});
    }
    EXPECT_LT(table.passed(), kCapacity / 25) << pattern;
  }
}

struct Entry {
  IndexKey key;
  SaIndex index;
};

// Few places and tags, so that buckets overflow and tags meet; both ends of the table.
rc::Gen<IndexKey> crowded_key() {
  return rc::gen::map(
      rc::gen::tuple(rc::gen::element<uint32_t>(0, 0x18000000, 0x80000000, 0xffffffff, 0xf0000000),
                     rc::gen::element<uint32_t>(1, 2, 0xffffffff)),
      [](const auto& key) {
        return IndexKey{std::get<0>(key), std::get<1>(key)};
      });
}

// What one storm leaves, beside the table.
class Model {
 public:
  explicit Model(size_t capacity) : table_(capacity), capacity_(capacity) {}

  void insert(IndexKey key) {
    if (entries_.size() == capacity_) return remove(entries_.size() / 2);
    entries_.push_back({key, SaIndex{next_index_++}});
    table_.insert(key, entries_.back().index);
  }
  void remove(size_t pick) {
    if (entries_.empty()) return;
    const auto it = entries_.begin() + static_cast<std::ptrdiff_t>(pick % entries_.size());
    table_.remove(it->key, it->index);
    removed_.push_back(*it);
    entries_.erase(it);
  }
  void replace(size_t pick) {
    if (entries_.empty()) return;
    Entry& entry = entries_[pick % entries_.size()];
    removed_.push_back(entry);
    table_.replace(entry.key, entry.index, SaIndex{next_index_});
    entry.index = SaIndex{next_index_++};
  }
  void remove_all() {
    while (!entries_.empty()) remove(entries_.size() - 1);
  }
  bool agrees() const {
    for (const Entry& entry : entries_) {
      if (find(table_, entry.key, entry.index) != entry.index) return false;
    }
    for (const Entry& entry : removed_) {
      if (find(table_, entry.key, entry.index) != kNoSa) return false;
    }
    return true;
  }

 private:
  Table table_;
  size_t capacity_;
  std::vector<Entry> entries_;
  std::vector<Entry> removed_;
  uint32_t next_index_ = 0;
};

TEST(IndexTable, EqualsAModelUnderStormsOfInsertAndDelete) {
  EXPECT_TRUE(rc::check([] {
    Model model(*rc::gen::element<size_t>(1, 3, 4, 7, 8, 16, 31, 64));
    const auto steps = *rc::gen::scale(
        4, rc::gen::container<std::vector<std::tuple<int, IndexKey, size_t>>>(rc::gen::tuple(
               rc::gen::inRange(0, 10), crowded_key(), rc::gen::inRange<size_t>(0, 64))));
    for (const auto& [kind, key, pick] : steps) {
      if (kind < 6) {
        model.insert(key);
      } else if (kind < 9) {
        model.remove(pick);
      } else {
        model.replace(pick);
      }
    }
    RC_ASSERT(model.agrees());
    model.remove_all();
    RC_ASSERT(model.agrees());
  }));
}

}  // namespace
}  // namespace gmesp
