// SPDX-License-Identifier: BSD-3-Clause
// Packets a second, of a rule and of a source (SPEC R3).
#include "dataplane/rate_limit.h"

#include <gtest/gtest.h>

#include <string>

namespace gmesp {
namespace {

constexpr uint64_t kHz = 2'000'000'000;
constexpr uint64_t kSeed = 0x243f6a8885a308d3;

Address v4(uint32_t n) {
  const uint8_t bytes[] = {10, static_cast<uint8_t>(n >> 16), static_cast<uint8_t>(n >> 8),
                           static_cast<uint8_t>(n)};
  return Address::v4(bytes);
}
Address ip(const char* text) { return *parse_address(text); }

Policy policy_of(uint32_t rate, uint32_t rate_per_source) {
  Policy policy;
  policy.rules.resize(2);
  policy.rules[1].rate = rate;
  policy.rules[1].rate_per_source = rate_per_source;
  return policy;
}

struct Lab {
  explicit Lab(const Policy& policy, size_t workers = 1) : limits(kHz, workers, kSeed) {
    limits.use(policy);
  }
  bool take(const Address& source, size_t rule = 1) {
    return limits.take(rule, source, now).is_pass();
  }
  // Of so many at this moment, those that pass.
  size_t burst(const Address& source, size_t count) {
    size_t passed = 0;
    while (count-- > 0) passed += take(source);
    return passed;
  }
  // Of one each `interval`, for a time.
  size_t stream(const Address& source, uint64_t interval, uint64_t time) {
    size_t passed = 0;
    for (const uint64_t end = now + time; now < end; now += interval) passed += take(source);
    return passed;
  }

  RateLimits limits;
  uint64_t now = 5 * kHz;
};

TEST(RateLimit, ARuleWithoutRatesPassesEverything) {
  Lab lab(policy_of(1, 1));
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(lab.take(v4(1), 0));
}

TEST(RateLimit, ABucketHoldsOneSecondsWorthAndFillsAtTheRate) {
  for (const uint32_t rate : {1u, 7u, 1000u, 100'000u}) {
    for (const bool per_source : {false, true}) {
      Lab lab(per_source ? policy_of(0, rate) : policy_of(rate, 0));
      EXPECT_EQ(lab.burst(v4(1), 2 * rate), rate);
      lab.now += kHz / rate;
      EXPECT_EQ(lab.burst(v4(1), 2), 1u) << rate;
      lab.now += 100 * kHz;
      EXPECT_EQ(lab.burst(v4(1), 2 * rate), rate) << "never more than full";
      if (rate == 1) continue;  // a bucket of one packet forgives no arrival between two fillings
      const size_t passed = lab.stream(v4(1), kHz / rate / 3, 10 * kHz);
      EXPECT_NEAR(static_cast<double>(passed), 10.0 * rate, 1 + 0.001 * 10 * rate);
    }
  }
}

TEST(RateLimit, TheReasonSaysWhichLimit) {
  Lab lab(policy_of(3, 2));
  const auto reason = [&](uint32_t n) { return lab.limits.take(1, v4(n), lab.now).reason(); };
  EXPECT_EQ(lab.burst(v4(1), 2), 2u);
  EXPECT_EQ(reason(1), Drop::rate_of_source);
  EXPECT_TRUE(lab.take(v4(2)));
  EXPECT_EQ(reason(3), Drop::rate_of_rule);
  EXPECT_EQ(reason(1), Drop::rate_of_rule) << "a full rule does not look for sources";
}

// What one source is refused is left to the others, and the other way round.
TEST(RateLimit, ADroppedPacketTakesNothing) {
  Lab lab(policy_of(100, 10));
  EXPECT_EQ(lab.burst(v4(1), 5000), 10u);
  for (uint32_t n = 2; n <= 10; ++n) EXPECT_EQ(lab.burst(v4(n), 1000), 10u) << n;
  EXPECT_EQ(lab.burst(v4(11), 1000), 0u);
  lab.now += kHz / 10;
  EXPECT_EQ(lab.burst(v4(11), 1000), 10u) << "its own bucket was still full";
}

TEST(RateLimit, ASourceIsAnIpv4AddressAnIpv6PrefixOrALinkLocalAddress) {
  const auto shared = [](const char* a, const char* b) {
    Lab lab(policy_of(0, 1));
    return lab.take(ip(a)) && !lab.take(ip(b));
  };
  EXPECT_TRUE(shared("192.0.2.1", "192.0.2.1"));
  EXPECT_FALSE(shared("192.0.2.1", "192.0.2.2"));
  EXPECT_TRUE(shared("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"));
  EXPECT_FALSE(shared("2001:db8:0:1::1", "2001:db8:0:2::1"));
  EXPECT_FALSE(shared("fe80::1", "fe80::2"));
  EXPECT_TRUE(shared("fe80::1", "fe80::1"));
}

TEST(RateLimit, EachRuleHasItsOwnBuckets) {
  Policy policy = policy_of(5, 5);
  policy.rules[0] = policy.rules[1];
  Lab lab(policy);
  EXPECT_EQ(lab.burst(v4(1), 9), 5u);
  EXPECT_TRUE(lab.take(v4(1), 0));
}

TEST(RateLimit, WorkersShareTheRateOfARuleAndEachGrantsASource) {
  Lab lab(policy_of(1000, 0), 4);
  EXPECT_EQ(lab.burst(v4(1), 2000), 250u);
  Lab of_source(policy_of(0, 1000), 4);
  EXPECT_EQ(of_source.burst(v4(1), 2000), 1000u);
  Lab rare(policy_of(1, 0), 4);
  EXPECT_EQ(rare.stream(v4(1), kHz / 10, 40 * kHz), 10u) << "one in four seconds, not none";
}

TEST(RateLimit, AnotherPolicyBeginsWithFullBuckets) {
  Lab lab(policy_of(10, 5));
  EXPECT_EQ(lab.burst(v4(1), 50), 5u);
  const Policy other = policy_of(20, 8);
  lab.limits.use(other);
  EXPECT_EQ(lab.burst(v4(1), 50), 8u);
  EXPECT_EQ(lab.burst(v4(2), 50), 8u);
  EXPECT_EQ(lab.burst(v4(3), 50), 4u);
}

// A virtual machine that moves, or wakes: nobody is locked out, nothing passes for ever.
TEST(RateLimit, SurvivesJumpsOfTheClock) {
  for (const bool per_source : {false, true}) {
    Lab lab(per_source ? policy_of(0, 10) : policy_of(10, 0));
    EXPECT_EQ(lab.burst(v4(1), 50), 10u);
    lab.now = kHz / 2;
    EXPECT_EQ(lab.burst(v4(1), 50), 10u) << "back";
    lab.now += 1'000'000 * kHz;
    EXPECT_EQ(lab.burst(v4(1), 50), 10u) << "forward";
    EXPECT_EQ(lab.burst(v4(1), 50), 0u);
  }
}

// Ten times as many sources as there is room for: memory stays what it is, no source gets more than
// a fresh bucket each time it was forgotten, and one that is beyond its rate is not forgotten for
// those that are not.
TEST(RateLimit, AFloodOfSourcesDoesNotFreeTheOneThatIsLimited) {
  Lab lab(policy_of(0, 100));
  const Address hog = ip("203.0.113.1");
  size_t hog_passed = 0;
  for (uint32_t n = 0; n < 10 * RateLimits::kSources; ++n) {
    EXPECT_TRUE(lab.take(v4(n)));
    hog_passed += lab.take(hog);
    lab.now += kHz / 1'000'000;  // a million sources a second, and the hog as often
  }
  const double seconds = 10.0 * RateLimits::kSources / 1e6;
  EXPECT_LE(static_cast<double>(hog_passed), 100 * (seconds + 1) * 1.01);
  EXPECT_GE(static_cast<double>(hog_passed), 100 * seconds);
}

// 250,000 phones, all of them within one second: each is still known at its second packet.
TEST(RateLimit, RemembersAsManySourcesAsThereArePhonesOfOneWorker) {
  constexpr uint32_t kPhones = 62'500;  // of 250,000 on four workers
  Lab lab(policy_of(0, 1));
  for (uint32_t n = 0; n < kPhones; ++n) ASSERT_TRUE(lab.take(v4(n)));
  size_t forgotten = 0;
  for (uint32_t n = 0; n < kPhones; ++n) forgotten += lab.take(v4(n));
  EXPECT_LT(forgotten, kPhones / 100);
}

}  // namespace
}  // namespace gmesp
