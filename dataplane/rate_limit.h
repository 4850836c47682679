// SPDX-License-Identifier: BSD-3-Clause
// How many packets a second the rules of a policy pass (SPEC R3): in all, and of one source. Every
// limit is a bucket of one second's worth of packets (token_bucket.h). Sources live in a table of
// fixed size, each worker its own; nothing is allocated for them, however many there are.
//
// The rate in all is shared out: each worker grants its part, since all packets of an address pair
// come to one. A source that speaks to several of our addresses may meet several workers, and has
// its rate at each.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/address.h"
#include "dataplane/counters.h"
#include "dataplane/keyed_hash.h"
#include "dataplane/large_array.h"
#include "dataplane/packet.h"
#include "dataplane/policy.h"
#include "dataplane/token_bucket.h"

namespace gmesp {

class RateLimits {
 public:
  // Sources remembered: those of the last second count, and 250,000 phones do not all register in
  // one.
  static constexpr size_t kWays = 4;
  static constexpr size_t kSources = size_t{1} << 18;  // 4 MiB

  // seed: random, so that nobody can choose sources that meet in a place.
  RateLimits(uint64_t tsc_hz, size_t workers, uint64_t seed);
  // Takes the table's memory, near this thread's CPU. Throws std::system_error.
  void populate() { sets_.populate(); }

  // The rates of this policy from now on, all buckets full.
  void use(const Policy& policy);

  // One more packet of this source that the rule (its place in the policy) would pass. Drops:
  // rate_of_rule, rate_of_source; a dropped packet takes nothing from either bucket.
  Verdict take(size_t rule, const Address& source, uint64_t now_tsc) {
    const Rates& rates = rates_[rule];
    return rates.limited() ? take(rates, rule, source, now_tsc) : Verdict::pass();
  }

 private:
  struct Rates {
    TokenRate in_all;
    TokenRate of_source;
    bool limited() const { return (in_all.interval_tsc | of_source.interval_tsc) != 0; }
  };
  struct Source {
    uint64_t tag;  // of source, rule and policy
    TokenBucket bucket;
  };
  struct alignas(64) Set {
    std::array<Source, kWays> sources;
  };
  static_assert(sizeof(Set) == 64, "one cache line is all that a look-up waits for");

  TokenRate rate(uint64_t packets_per_s, uint64_t workers) const;
  Verdict take(const Rates& rates, size_t rule, const Address& source, uint64_t now_tsc);
  uint64_t tag_of(size_t rule, const Address& source) const;
  Source& find(uint64_t tag);

  const uint64_t tsc_hz_;
  const size_t workers_;
  const HashKey hash_key_;
  uint32_t policies_ = 0;  // used so far: what was remembered for another means nothing
  std::array<Rates, kMaxPolicyRules> rates_{};
  std::array<TokenBucket, kMaxPolicyRules> in_all_{};
  LargeArray<Set> sets_;
};

}  // namespace gmesp
