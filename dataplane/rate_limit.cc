// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/rate_limit.h"

#include <algorithm>

namespace gmesp {

namespace {

constexpr size_t kSets = RateLimits::kSources / RateLimits::kWays;
constexpr uint64_t kSetMask = kSets - 1;
static_assert((kSets & kSetMask) == 0, "a tag's low bits choose its set");

}  // namespace

RateLimits::RateLimits(uint64_t tsc_hz, size_t workers, uint64_t seed)
    : tsc_hz_(tsc_hz), workers_(workers), hash_key_(seed), sets_(kSets) {}

void RateLimits::use(const Policy& policy) {
  ++policies_;
  rates_ = {};
  in_all_ = {};
  for (size_t i = 0; i < std::min(policy.rules.size(), rates_.size()); ++i) {
    rates_[i].in_all = rate(policy.rules[i].rate, workers_);
    rates_[i].of_source = rate(policy.rules[i].rate_per_source, 1);
  }
}

// A bucket holds at least one packet, however rarely one may pass.
TokenRate RateLimits::rate(uint64_t packets_per_s, uint64_t workers) const {
  if (packets_per_s == 0) return {};
  const uint64_t interval = std::max<uint64_t>(1, tsc_hz_ * workers / packets_per_s);
  return {interval, std::max(tsc_hz_, interval)};
}

// The rule's own bucket first: a flood from a million sources is refused by a line that is in the
// cache.
Verdict RateLimits::take(const Rates& rates, size_t rule, const Address& source, uint64_t now_tsc) {
  TokenBucket& in_all = in_all_[rule];
  if (rates.in_all.interval_tsc != 0 && !in_all.has_token(rates.in_all, now_tsc)) {
    return Verdict::drop(Drop::rate_of_rule);
  }
  if (rates.of_source.interval_tsc != 0) {
    const uint64_t tag = tag_of(rule, source);
    Source& place = find(tag);
    if (place.tag != tag) place = {tag, {}};
    if (!place.bucket.has_token(rates.of_source, now_tsc)) {
      return Verdict::drop(Drop::rate_of_source);
    }
    place.bucket.take(rates.of_source, now_tsc);
  }
  if (rates.in_all.interval_tsc != 0) in_all.take(rates.in_all, now_tsc);
  return Verdict::pass();
}

// Keyed multiplications: SipHash would cost as much as the rest of a refusal, and what a hash
// tells nobody gets to see.
uint64_t RateLimits::tag_of(size_t rule, const Address& source) const {
  const AddressWords words = AddressWords::of_source(source);
  const uint64_t of_rule = uint64_t{policies_} << 32 | rule;
  return hash_key_.hash(hash_key_.hash(words), of_rule);
}

// The source's place; else that of the set's bucket which is, or will be, full first: of all it
// has the least to forget.
RateLimits::Source& RateLimits::find(uint64_t tag) {
  auto& sources = sets_[tag & kSetMask].sources;
  size_t best = 0;
  for (size_t i = 0; i < kWays; ++i) {
    if (sources[i].tag == tag) return sources[i];
    if (sources[i].bucket.full_at_tsc < sources[best].bucket.full_at_tsc) best = i;
  }
  return sources[best];
}

}  // namespace gmesp
