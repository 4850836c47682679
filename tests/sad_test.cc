// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/sad.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <map>
#include <vector>

namespace gmesp {
namespace {

InstallInbound command(uint32_t index, uint32_t spi) {
  InstallInbound install;
  install.index = SaIndex{index};
  install.spi = Spi{spi};
  return install;
}

// ESP-01, ESP-03, R1.
TEST(Sad, AnSaIsFoundByItsSpiAlone) {
  Sad sad(10);
  EXPECT_EQ(sad.find(Spi{4711}), nullptr);
  InstallInbound install = command(3, 4711);
  install.key = KeySlot{99};
  install.suite = Suite::aes_gcm;
  install.seen = SequenceNumber{7};
  install.selector.source_port = 5062;
  ASSERT_FALSE(sad.install(install));
  const InboundSa* sa = sad.find(Spi{4711});
  ASSERT_NE(sa, nullptr);
  EXPECT_EQ(sad.sas().index_of(*sa), SaIndex{3});
  EXPECT_EQ(sa->key, KeySlot{99});
  EXPECT_EQ(sa->suite, Suite::aes_gcm);
  EXPECT_EQ(sa->selector.source_port, 5062);
  EXPECT_EQ(sa->window.highest(), SequenceNumber{7});
  EXPECT_EQ(sa->window.size(), 64);
  EXPECT_EQ(sa->raised_events, 0);
  EXPECT_EQ(sad.find(Spi{4710}), nullptr);
}

TEST(Sad, ARefusedInstallChangesNothing) {
  Sad sad(2);
  ASSERT_FALSE(sad.install(command(0, 1000)));
  EXPECT_EQ(sad.install(command(2, 1001)), InstallError::table_full);
  EXPECT_EQ(sad.install(command(0xffffffff, 1001)), InstallError::table_full);
  EXPECT_EQ(sad.install(command(0, 1001)), InstallError::index_in_use);
  EXPECT_EQ(sad.install(command(1, 1000)), InstallError::spi_in_use);
  EXPECT_EQ(sad.find(Spi{1001}), nullptr);
  EXPECT_EQ(sad.sas().index_of(*sad.find(Spi{1000})), SaIndex{0});
  EXPECT_FALSE(sad.install(command(1, 1001)));
}

TEST(Sad, AWindowOver64UsesTheWordsThatCameWithIt) {
  Sad sad(1);
  std::vector<uint64_t> words(ReplayWindow::outside_words(1000));
  InstallInbound install = command(0, 1000);
  install.window = 1000;
  install.window_words = words.data();
  ASSERT_FALSE(sad.install(install));
  ReplayWindow& window = sad.find(Spi{1000})->window;
  EXPECT_TRUE(window.accept(SequenceNumber{1000}));
  EXPECT_TRUE(window.accept(SequenceNumber{1}));
  EXPECT_FALSE(window.accept(SequenceNumber{1}));
  EXPECT_NE(std::count(words.begin(), words.end(), ~uint64_t{0}),
            static_cast<std::ptrdiff_t>(words.size()));
}

// The place of a deleted SA carries nothing over to the next one.
TEST(Sad, APlaceIsCleanForItsNextSa) {
  Sad sad(1);
  ASSERT_FALSE(sad.install(command(0, 1000)));
  InboundSa& old = *sad.find(Spi{1000});
  old.raised_events = 1;
  old.window.accept(SequenceNumber{50});
  sad.sas().record(old).packets = 17;
  sad.sas().raise(old, SaEventKind::first_use);
  sad.remove(SaIndex{0});
  EXPECT_EQ(sad.find(Spi{1000}), nullptr);
  ASSERT_FALSE(sad.install(command(0, 1000)));
  const InboundSa& sa = *sad.find(Spi{1000});
  EXPECT_EQ(sa.raised_events, 0);
  EXPECT_EQ(sa.window.highest(), SequenceNumber{0});
  EXPECT_EQ(sad.sas().record(sa).packets, 0u);
  EXPECT_TRUE(sad.sas().deliver_events([](SaIndex, SaEventKind) {
    ADD_FAILURE() << "an event of the SA before";
    return true;
  }));
}

// SPIs as they are handed out in practice: one after the other, those in the other byte order, and
// at random; all of a full table.
uint32_t spi_of(int pattern, uint32_t i) {
  switch (pattern) {
    case 0:
      return 256 + i;
    case 1:
      return __builtin_bswap32(256 + i);
    default:
      return (i * 0x2545f491u) | 0x100u;
  }
}

TEST(Sad, HoldsItsWholeCapacityWhateverThePatternOfSpis) {
  constexpr uint32_t kCapacity = 5000;
  for (const int pattern : {0, 1, 2}) {
    Sad sad(kCapacity);
    for (uint32_t i = 0; i < kCapacity; ++i) {
      ASSERT_FALSE(sad.install(command(i, spi_of(pattern, i))));
    }
    for (uint32_t i = 0; i < kCapacity; ++i) {
      const InboundSa* sa = sad.find(Spi{spi_of(pattern, i)});
      ASSERT_NE(sa, nullptr) << pattern << ": " << i;
      EXPECT_EQ(sad.sas().index_of(*sa), SaIndex{i});
      EXPECT_EQ(sad.find(Spi{spi_of(pattern, i + kCapacity)}), nullptr);
    }
  }
}

TEST(Sad, EqualsAMapUnderStormsOfInstallAndDelete) {
  EXPECT_TRUE(rc::check([] {
    constexpr uint32_t kCapacity = 24;
    constexpr uint32_t kSpis = 40;
    const auto steps = *rc::gen::scale(
        6,
        rc::gen::container<std::vector<std::tuple<bool, uint32_t, uint32_t, int>>>(rc::gen::tuple(
            rc::gen::element(true, true, true, false), rc::gen::inRange<uint32_t>(0, kCapacity + 1),
            rc::gen::inRange<uint32_t>(0, kSpis), rc::gen::inRange(0, 3))));
    Sad sad(kCapacity);
    std::map<uint32_t, uint32_t> spi_at;    // index -> SPI
    std::map<uint32_t, uint32_t> index_of;  // SPI -> index
    for (const auto& [install, index, number, pattern] : steps) {
      const uint32_t spi = spi_of(pattern, number);
      if (install) {
        const bool allowed =
            index < kCapacity && !spi_at.contains(index) && !index_of.contains(spi);
        RC_ASSERT(sad.install(command(index, spi)).has_value() == !allowed);
        if (allowed) spi_at[index] = spi, index_of[spi] = index;
      } else if (spi_at.contains(index)) {
        sad.remove(SaIndex{index});
        index_of.erase(spi_at[index]);
        spi_at.erase(index);
      }
    }
    for (const int pattern : {0, 1, 2}) {
      for (uint32_t number = 0; number < kSpis; ++number) {
        const uint32_t spi = spi_of(pattern, number);
        const InboundSa* sa = sad.find(Spi{spi});
        RC_ASSERT((sa != nullptr) == index_of.contains(spi));
        if (sa != nullptr) RC_ASSERT(sad.sas().index_of(*sa) == SaIndex{index_of[spi]});
      }
    }
  }));
}

}  // namespace
}  // namespace gmesp
