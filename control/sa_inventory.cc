// SPDX-License-Identifier: BSD-3-Clause
#include "control/sa_inventory.h"

#include <array>
#include <bit>
#include <new>

#include "control/random_numbers.h"

namespace gmesp {
namespace {

constexpr size_t kPlacesPerWord = 64;

uint64_t bit_of(SaPlace place) {
  return uint64_t{1} << static_cast<size_t>(place) % kPlacesPerWord;
}

// Whole cache lines: the windows of two SAs may belong to two workers.
constexpr std::align_val_t kLine{64};

uint64_t* new_window_words(uint16_t window) {
  const size_t words = ReplayWindow::outside_words(window);
  if (words == 0) return nullptr;
  return static_cast<uint64_t*>(::operator new(words * sizeof(uint64_t), kLine));
}

void delete_window_words(uint64_t* words) { ::operator delete(words, kLine); }

}  // namespace

SaInventory::SaInventory(Direction direction, size_t workers, size_t capacity)
    : direction_(direction),
      hash_key_(random_hash_key()),
      capacity_(capacity),
      taken_((workers * capacity + kPlacesPerWord - 1) / kPlacesPerWord),
      entries_(workers * capacity),
      by_identity_(workers * capacity),
      places_(workers) {
  entries_.populate();
  by_identity_.populate();
  for (Places& places : places_) places.free.reserve(capacity);
}

SaInventory::~SaInventory() {
  for (std::optional<SaPlace> place = next(0); place;
       place = next(static_cast<size_t>(*place) + 1)) {
    delete_window_words((*this)[*place].window_words);
  }
}

std::optional<SaPlace> SaInventory::insert(size_t worker, const SaEntry& entry) {
  Places& places = places_[worker];
  SaIndex index{places.ever_used};
  if (!places.free.empty()) {
    index = places.free.back();
    places.free.pop_back();
  } else if (places.ever_used == capacity_) {
    return std::nullopt;
  } else {
    ++places.ever_used;
  }
  const SaPlace place = this->place(worker, index);
  (*this)[place] = entry;
  (*this)[place].window_words = new_window_words(entry.window);
  by_identity_.insert(key(entry.spi, entry.selector.destination), place);
  taken_[static_cast<size_t>(place) / kPlacesPerWord] |= bit_of(place);
  ++size_;
  return place;
}

void SaInventory::erase(SaPlace place) {
  SaEntry& entry = (*this)[place];
  by_identity_.remove(key(entry.spi, entry.selector.destination), place);
  delete_window_words(entry.window_words);
  entry = SaEntry{};
  places_[worker(place)].free.push_back(index(place));
  taken_[static_cast<size_t>(place) / kPlacesPerWord] &= ~bit_of(place);
  --size_;
}

std::optional<SaPlace> SaInventory::find(Spi spi, const Address& destination) const {
  const SaPlace found = by_identity_.find(key(spi, destination), [&](SaPlace place) {
    return direction_ == Direction::in || (*this)[place].selector.destination == destination;
  });
  return found == kNoPlace ? std::nullopt : std::optional(found);
}

std::optional<SaPlace> SaInventory::next(size_t from) const {
  size_t word = from / kPlacesPerWord;
  uint64_t before = (uint64_t{1} << from % kPlacesPerWord) - 1;
  for (; word < taken_.size(); ++word, before = 0) {
    const uint64_t bits = taken_[word] & ~before;
    if (bits == 0) continue;
    const auto bit = static_cast<size_t>(std::countr_zero(bits));
    return SaPlace{static_cast<uint32_t>(word * kPlacesPerWord + bit)};
  }
  return std::nullopt;
}

// The tag is the whole SPI. Many UEs may choose one SPI, so outbound the destination decides the
// place too. There both are strangers' choice, who must not fill one bucket: keyed.
IndexKey SaInventory::key(Spi spi, const Address& destination) const {
  const auto tag = static_cast<uint32_t>(spi);
  if (direction_ == Direction::in) return {spread(tag), tag};
  SipHash hash(hash_key_);
  hash.add(destination.bytes);
  const auto bytes = std::bit_cast<std::array<uint8_t, sizeof tag>>(tag);
  return {static_cast<uint32_t>(hash.finish(bytes)), tag};
}

}  // namespace gmesp
