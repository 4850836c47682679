// SPDX-License-Identifier: BSD-3-Clause
// A set of random numbers other than 0 (SPIs, fingerprints) in one piece of memory: open
// addressing, half full at most, no tombstones. std::unordered_set takes memory for each of them,
// and its growth at a million stops everything for a tenth of a second.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <utility>
#include <vector>

namespace gmesp {

template <std::unsigned_integral Number>
class NumberSet {
 public:
  // Grows only beyond `expected`.
  explicit NumberSet(size_t expected) : places_(std::bit_ceil(2 * std::max<size_t>(expected, 8))) {}

  size_t size() const { return size_; }
  bool contains(Number number) const { return places_[find(number)] == number; }
  // False: it is there already.
  bool insert(Number number) {
    if (2 * (size_ + 1) > places_.size()) grow();
    Number& place = places_[find(number)];
    if (place == number) return false;
    place = number;
    ++size_;
    return true;
  }
  // False: it is not there.
  bool erase(Number number) {
    size_t gap = find(number);
    if (places_[gap] == kFree) return false;
    // Those behind it move up, as far as they were pushed on by it: a look-up ends at the first
    // free place.
    for (size_t place = after(gap); places_[place] != kFree; place = after(place)) {
      if (distance(home(places_[place]), place) < distance(gap, place)) continue;
      places_[gap] = places_[place];
      gap = place;
    }
    places_[gap] = kFree;
    --size_;
    return true;
  }

 private:
  static constexpr Number kFree = 0;

  size_t home(Number number) const { return number & (places_.size() - 1); }
  size_t after(size_t place) const { return (place + 1) & (places_.size() - 1); }
  size_t distance(size_t from, size_t to) const { return (to - from) & (places_.size() - 1); }
  // Where it is, or the free place where it would be.
  size_t find(Number number) const {
    size_t place = home(number);
    while (places_[place] != kFree && places_[place] != number) place = after(place);
    return place;
  }
  void grow() {
    const std::vector<Number> before =
        std::exchange(places_, std::vector<Number>(2 * places_.size()));
    for (const Number number : before) {
      if (number != kFree) places_[find(number)] = number;
    }
  }

  std::vector<Number> places_;
  size_t size_ = 0;
};

}  // namespace gmesp
