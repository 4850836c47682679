// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/spd.h"

namespace gmesp {

uint64_t Spd::hash(const Address& source, const Address& destination) const {
  return hash_key_.hash(AddressWords::of(source), AddressWords::of(destination));
}

OutboundSa* Spd::candidate(uint64_t hash) {
  const SaIndex index = by_addresses_.find(key(hash), [](SaIndex) { return true; });
  return index == kNoSa ? nullptr : &sas_[index];
}

SaIndex Spd::find_first(uint64_t hash, const Address& source, const Address& destination) const {
  return by_addresses_.find(key(hash), [&](SaIndex index) {
    const Selector& selector = sas_[index].selector;
    return selector.source == source && selector.destination == destination;
  });
}

size_t Spd::chain_length(SaIndex first) const {
  size_t length = 0;
  for (SaIndex index = first; index != kNoSa; index = sas_[index].next) ++length;
  return length;
}

OutboundSa* Spd::find_in_chain(OutboundSa* candidate, const Flow& flow) {
  SaIndex index = sas_.index_of(*candidate);
  const Selector& selector = candidate->selector;
  if (selector.source != flow.source || selector.destination != flow.destination) {
    // Another pair with the same tag: 31 bits and a bucket agree.
    index = find_first(hash(flow.source, flow.destination), flow.source, flow.destination);
  }
  bool has_alternate_ports = false;
  for (SaIndex at = index; at != kNoSa; at = sas_[at].next) {
    OutboundSa& sa = sas_[at];
    if (sa.selector.matches(flow)) return &sa;
    has_alternate_ports |= sa.has_alternate_ports;
  }
  if (!has_alternate_ports) return nullptr;
  for (SaIndex at = index; at != kNoSa; at = sas_[at].next) {
    OutboundSa& sa = sas_[at];
    if (sa.selector.matches(flow, sas_.record(sa).alternate)) return &sa;
  }
  return nullptr;
}

std::optional<InstallError> Spd::install(const InstallOutbound& command) {
  if (static_cast<size_t>(command.index) >= sas_.capacity()) return InstallError::table_full;
  if (!sas_.can_place(command.index)) return InstallError::index_in_use;
  const Selector& selector = command.selector;
  const uint64_t hash = this->hash(selector.source, selector.destination);
  const SaIndex first = find_first(hash, selector.source, selector.destination);
  const size_t most = command.begun_in_clear ? kMaxSasBegunInClear : kMaxSasPerPair;
  if (chain_length(first) >= most) return InstallError::too_many_for_pair;
  OutboundSa sa;
  sa.spi = command.spi;
  sa.key = command.key;
  sa.last_sent = command.last_sent;
  sa.selector = command.selector;
  sa.suite = command.suite;
  sa.has_alternate_ports = command.alternate.any();
  if (first != kNoSa) sa.path_mtu = sas_[first].path_mtu;  // one path to a UE, however many SAs
  sas_.place(command.index, sa, command.alternate);
  if (sa.path_mtu != 0) {
    sas_.record(sas_[command.index]).path_mtu_until = sas_.record(sas_[first]).path_mtu_until;
  }
  link(command.index, command.standby);
  return std::nullopt;
}

void Spd::prefer(SaIndex index) {
  unlink(index);
  link(index, false);
}

void Spd::remove(SaIndex index) {
  unlink(index);
  sas_.clear(index);
}

void Spd::link(SaIndex index, bool standby) {
  OutboundSa& sa = sas_[index];
  const uint64_t hash = this->hash(sa.selector.source, sa.selector.destination);
  const SaIndex first = find_first(hash, sa.selector.source, sa.selector.destination);
  const int specificity = sa.selector.specificity();
  const auto precedes = [&](SaIndex other) {
    const int others = sas_[other].selector.specificity();
    return standby ? specificity > others : specificity >= others;
  };
  if (first == kNoSa) {
    sa.next = kNoSa;
    by_addresses_.insert(key(hash), index);
  } else if (precedes(first)) {
    sa.next = first;
    by_addresses_.replace(key(hash), first, index);
  } else {
    SaIndex before = first;
    while (sas_[before].next != kNoSa && !precedes(sas_[before].next)) before = sas_[before].next;
    sa.next = sas_[before].next;
    sas_[before].next = index;
  }
}

void Spd::unlink(SaIndex index) {
  const Selector& selector = sas_[index].selector;
  const uint64_t hash = this->hash(selector.source, selector.destination);
  const SaIndex first = find_first(hash, selector.source, selector.destination);
  const SaIndex next = sas_[index].next;
  if (first != index) {
    SaIndex before = first;
    while (sas_[before].next != index) before = sas_[before].next;
    sas_[before].next = next;
  } else if (next != kNoSa) {
    by_addresses_.replace(key(hash), index, next);
  } else {
    by_addresses_.remove(key(hash), index);
  }
}

}  // namespace gmesp
