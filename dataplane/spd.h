// SPDX-License-Identifier: BSD-3-Clause
// Outbound policy of one worker (RFC 4301 4.4.1): which SA protects a flow. The address pair leads
// to that UE's few SAs (INT-30: at most 6 outbound), kept in order: the most specific selector
// first, ports before protocol, then the latest preferred or added; deleting one falls back to the
// one before. A flow that no selector takes goes to the first SA with alternate ports that take it.
// What no SA protects is cleartext (cleartext.h). Single owner, fixed capacity.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/command.h"
#include "dataplane/index_table.h"
#include "dataplane/keyed_hash.h"
#include "dataplane/sa_table.h"
#include "dataplane/selector.h"

namespace gmesp {

class Spd {
 public:
  // Far above what IMS has; a bound on what a packet may cost. SAs begun by a REGISTER in clear
  // stop at the smaller one: whoever sends those from a UE's address does not keep it from
  // registering again.
  static constexpr size_t kMaxSasPerPair = 256;
  static constexpr size_t kMaxSasBegunInClear = kMaxSasPerPair - kMaxSasPerPair / 8;

  // `seed`: random, so that nobody outside can choose addresses that share a bucket.
  Spd(size_t capacity, uint64_t seed) : sas_(capacity), by_addresses_(capacity), hash_key_(seed) {}
  void populate() {
    sas_.populate();
    by_addresses_.populate();
  }

  uint64_t hash(const Address& source, const Address& destination) const;
  void prefetch(uint64_t hash) const { by_addresses_.prefetch(key(hash)); }
  // The first SA that the bucket names for this hash: nearly always of the address pair, but its
  // line has not been looked at. nullptr: the pair has no SA.
  OutboundSa* candidate(uint64_t hash);
  // nullptr: no SA protects this flow. `candidate` is that of the flow's address pair.
  OutboundSa* find(OutboundSa* candidate, const Flow& flow) {
    if (candidate == nullptr || candidate->selector.matches(flow)) [[likely]]
      return candidate;
    return find_in_chain(candidate, flow);
  }
  OutboundSa* find(const Flow& flow) {
    return find(candidate(hash(flow.source, flow.destination)), flow);
  }

  bool has_sa(const Address& source, const Address& destination) const {
    return find_first(hash(source, destination), source, destination) != kNoSa;
  }
  // visit(OutboundSa&) for every SA of an address pair.
  template <typename Visit>
  void for_each(const Address& source, const Address& destination, Visit&& visit) {
    for (SaIndex at = find_first(hash(source, destination), source, destination); at != kNoSa;
         at = sas_[at].next) {
      visit(sas_[at]);
    }
  }

  // What install() and remove() will touch; for remove() the place's lines first, then the bucket.
  void prefetch_install(const InstallOutbound& command) const {
    sas_.prefetch_place(command.index);
    prefetch(hash(command.selector.source, command.selector.destination));
  }
  void prefetch_place(SaIndex index) const { sas_.prefetch_place(index); }
  void prefetch_remove(SaIndex index) const {
    const Selector& selector = sas_[index].selector;
    prefetch(hash(selector.source, selector.destination));
  }
  // Nothing is changed when an error comes back.
  std::optional<InstallError> install(const InstallOutbound& command);
  // Before the others of an equal specificity from now on. Of an installed SA, as remove().
  void prefer(SaIndex index);
  void remove(SaIndex index);

  SaTable<OutboundSa>& sas() { return sas_; }

 private:
  static IndexKey key(uint64_t hash) {
    return {static_cast<uint32_t>(hash), static_cast<uint32_t>(hash >> 32) | 1};
  }
  OutboundSa* find_in_chain(OutboundSa* candidate, const Flow& flow);
  // First SA of the address pair; kNoSa when it has none.
  SaIndex find_first(uint64_t hash, const Address& source, const Address& destination) const;

  size_t chain_length(SaIndex first) const;
  // Into and out of the chain of its pair; standby: behind those of an equal specificity.
  void link(SaIndex index, bool standby);
  void unlink(SaIndex index);

  SaTable<OutboundSa> sas_;
  IndexTable<SaIndex, kNoSa> by_addresses_;
  const HashKey hash_key_;
};

}  // namespace gmesp
