// SPDX-License-Identifier: BSD-3-Clause
// RFC 791 3.2 and RFC 8200 4.5 with what RFC 1858, 3128, 4963, 5722, 6946, 6980 and 7112 learned
// from those who abused them. What cannot be by itself is dropped by itself (fragment.h); what
// contradicts the fragments that are here ends their datagram.
#include "dataplane/reassembly.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "crypto/prefetch.h"
#include "dataplane/classify.h"

namespace gmesp {

namespace {

Verdict classify_whole(Packet& packet) {
  const Verdict verdict = classify(packet);
  const bool nested = verdict.is_pass() && packet.kind == PacketKind::fragment;
  return nested ? Verdict::drop(Drop::fragment) : verdict;
}

// The ids of a frame's VLAN tags, 12 bits each. A priority tag has id 0, as no tag has.
uint32_t vlans_of(const Packet& packet) {
  uint32_t vlans = 0;
  for (size_t at = sizeof(EthernetHeader); at < packet.ip_offset; at += sizeof(VlanTag)) {
    vlans = vlans << 12 | (packet.header<VlanTag>(at).control.host() & 0xfffu);
  }
  return vlans;
}

}  // namespace

Verdict Reassembler::add_fragment(Packet& packet, uint64_t now_tsc) {
  Fragment fragment;
  if (const Verdict v = read_fragment(packet, fragment); !v.is_pass()) return v;
  if (fragment.is_atomic()) {  // RFC 6946: whatever else has its identification
    take_out_fragment_header(packet, fragment);
    return classify_whole(packet);
  }
  const Key key = key_of(packet, fragment);
  const uint64_t place = hash(key);
  Slot slot = find(key, place);
  Slot before = kNoSlot;
  if (const Verdict v = admit(packet, fragment, slot, before); !v.is_pass()) return v;
  // The last one missing frees the others.
  if (slot == kNoSlot || !completes(datagrams_[slot], fragment)) {
    const Standing standing = slot == kNoSlot ? standing_of(key) : datagrams_[slot].standing;
    const Verdict v = find_room(source_place(key.source), standing, slot);
    if (!v.is_pass()) return v;
    if (slot == kNoSlot) slot = start_datagram(key, place, standing, now_tsc);
  }
  Datagram& datagram = datagrams_[slot];
  hold(datagram, packet, fragment, before);
  return datagram.held_bytes == datagram.end ? join(slot, packet) : Verdict::taken();
}

void Reassembler::prefetch_fragment(const Packet& packet) const {
  Fragment fragment;
  if (!read_fragment(packet, fragment).is_pass() || fragment.is_atomic()) return;
  const Key key = key_of(packet, fragment);
  by_key_.prefetch(place_of(hash(key)));
  prefetch_to_write(&sources_[source_place(key.source)]);
  if (peers_ != nullptr) peers_->prefetch(peers_->hash(key.destination, key.source));
}

// Whether the fragment fits to its datagram, and behind which other; slot: that datagram, if it is
// here.
Verdict Reassembler::admit(const Packet& packet, const Fragment& fragment, Slot slot,
                           Slot& before) {
  if (slot != kNoSlot && datagrams_[slot].is_given_up()) {
    return Verdict::drop(datagrams_[slot].given_up);
  }
  Verdict verdict = Verdict::pass();
  if (size_t{packet.payload_offset} - packet.ip_offset + fragment.end > max_datagram_bytes_) {
    verdict = Verdict::drop(Drop::datagram_too_long);
  } else if (slot != kNoSlot) {
    verdict = check_place(datagrams_[slot], packet, fragment, before);
  }
  if (verdict.is_pass() || slot == kNoSlot) return verdict;
  Datagram& datagram = datagrams_[slot];
  if (verdict.reason() == Drop::duplicate_fragment) {
    // Each costs a search. No network makes more of them than a datagram has pieces.
    if (++datagram.duplicates <= kMaxPieces) return verdict;
    verdict = Verdict::drop(Drop::too_many_fragments);
  }
  give_up(datagram, verdict.reason());
  return verdict;
}

// A source that has its share waiting makes room itself, with its oldest: were the newcomer
// refused, who forges a UE's address could keep the UE out with a few packets a second.
Verdict Reassembler::find_room(uint32_t source, Standing standing, Slot slot) {
  if (!make_room(of(sources_[source], standing), &Datagram::in_source, per_source_, slot,
                 Drop::fragment_source_limit)) {
    return Verdict::drop(Drop::fragment_source_limit);
  }
  if (!make_room(of(by_standing_, standing), &Datagram::in_standing, room_, slot,
                 Drop::fragment_evicted)) {
    return Verdict::drop(Drop::fragment_evicted);
  }
  return Verdict::pass();
}

Reassembler::Reassembler(const ReassemblyConfig& config, uint64_t tsc_hz, uint64_t seed,
                         PacketPool& datagrams, const Spd* peers, Drops& drops)
    : timeout_tsc_(config.timeout_ms * (tsc_hz / 1000)),
      per_source_(config.per_source),
      room_(peers == nullptr ? config.fragments : config.fragments / 2),
      max_pieces_(std::min<size_t>(kMaxPieces, room_)),
      max_datagram_bytes_(config.max_datagram_bytes),
      hash_key_(seed),
      pool_(datagrams),
      peers_(peers),
      drops_(drops),
      counters_(drops.counters),
      pieces_(config.fragments + 1),  // and the one that completes its datagram
      datagrams_(config.fragments),
      by_key_(config.fragments),
      sources_(std::bit_ceil(size_t{2} * config.fragments)) {}

Reassembler::~Reassembler() {
  for (const Share& share : by_standing_) {
    for (Slot slot = share.datagrams.oldest; slot != kNoSlot;
         slot = datagrams_[slot].in_standing.newer) {
      release_pieces(datagrams_[slot]);
    }
  }
}

void Reassembler::populate() {
  pieces_.populate();
  datagrams_.populate();
  by_key_.populate();
  sources_.populate();
}

Reassembler::Key Reassembler::key_of(const Packet& packet, const Fragment& fragment) {
  const uint32_t protocol = packet.is_ipv4() ? static_cast<uint8_t>(fragment.protocol) : 0;
  return {source_address(packet), destination_address(packet), fragment.identification,
          vlans_of(packet) << 8 | protocol};
}

uint64_t Reassembler::hash(const Key& key) const {
  const uint64_t rest = uint64_t{key.identification} << 32 | key.vlans_and_protocol;
  return hash_key_.hash(
      hash_key_.hash(AddressWords::of(key.source), AddressWords::of(key.destination)), rest);
}

uint32_t Reassembler::source_place(const Address& source) const {
  const uint64_t place = hash_key_.hash(AddressWords::of_source(source));
  return static_cast<uint32_t>(place & (sources_.size() - 1));
}

Slot Reassembler::find(const Key& key, uint64_t hash) const {
  return by_key_.find(place_of(hash), [&](Slot slot) {
    return std::memcmp(&datagrams_[slot].key, &key, sizeof key) == 0;
  });
}

// Known is who we would protect an answer to.
Reassembler::Standing Reassembler::standing_of(const Key& key) const {
  const bool peer = peers_ == nullptr || peers_->has_sa(key.destination, key.source);
  return peer ? Standing::peer : Standing::stranger;
}

Slot Reassembler::start_datagram(const Key& key, uint64_t hash, Standing standing,
                                 uint64_t now_tsc) {
  const Slot slot = datagrams_.take();
  Datagram& datagram = datagrams_[slot];
  datagram = {};
  datagram.key = key;
  datagram.arrived_tsc = now_tsc;
  datagram.given_up = Drop::kCount;
  datagram.hash = hash;
  datagram.source = source_place(key.source);
  datagram.standing = standing;
  by_key_.insert(place_of(hash), slot);
  append(datagrams_, of(by_standing_, standing).datagrams, &Datagram::in_standing, slot);
  append(datagrams_, of(sources_[datagram.source], standing).datagrams, &Datagram::in_source, slot);
  return slot;
}

void Reassembler::count(const Datagram& datagram, int32_t held) {
  of(by_standing_, datagram.standing).held += static_cast<uint32_t>(held);
  of(sources_[datagram.source], datagram.standing).held += static_cast<uint32_t>(held);
}

// Whether the fragment fits between those that are here; `before`: the one that it follows.
Verdict Reassembler::check_place(const Datagram& datagram, const Packet& packet,
                                 const Fragment& fragment, Slot& before) const {
  // Most come in order, behind the latest; or in the reverse, before the first.
  const bool behind = pieces_[datagram.latest].start < fragment.start;
  for (Slot s = behind ? datagram.latest : datagram.first;
       s != kNoSlot && pieces_[s].start < fragment.start; s = pieces_[s].next) {
    before = s;
  }
  const Slot after = before == kNoSlot ? datagram.first : pieces_[before].next;
  if (after != kNoSlot && is_duplicate(datagram, pieces_[after], packet, fragment)) {
    return Verdict::drop(Drop::duplicate_fragment);
  }
  if ((before != kNoSlot && pieces_[before].end > fragment.start) ||
      (after != kNoSlot && pieces_[after].start < fragment.end)) {
    return Verdict::drop(Drop::overlapping_fragment);
  }
  // Behind the end, or an end that is none. (Another one before it would overlap.)
  if (datagram.end != 0 && (!fragment.more || fragment.start >= datagram.end)) {
    return Verdict::drop(Drop::bad_fragment);
  }
  if (!fragment.more && after != kNoSlot) return Verdict::drop(Drop::bad_fragment);
  if (datagram.pieces == max_pieces_) return Verdict::drop(Drop::too_many_fragments);
  return Verdict::pass();
}

bool Reassembler::completes(const Datagram& datagram, const Fragment& fragment) {
  const uint32_t end = fragment.more ? datagram.end : fragment.end;
  return datagram.held_bytes + fragment.end - fragment.start == end;
}

// RFC 8200 4.5: an exact one, or it is an overlap.
bool Reassembler::is_duplicate(const Datagram& datagram, const Piece& piece, const Packet& packet,
                               const Fragment& fragment) const {
  const bool last = datagram.end != 0 && piece.end == datagram.end;
  return piece.start == fragment.start && piece.end == fragment.end && last != fragment.more &&
         std::memcmp(piece.packet.data + piece.offset, packet.data + fragment.offset,
                     fragment.end - fragment.start) == 0;
}

// For one more fragment, of this datagram or of a new one: the oldest others give way. False: there
// is no other.
bool Reassembler::make_room(const Share& share, SlotLink Datagram::*link, uint32_t room,
                            Slot for_datagram, Drop reason) {
  while (share.held >= room) {
    const Slot oldest = share.datagrams.oldest;
    const Slot victim = oldest == for_datagram ? (datagrams_[oldest].*link).newer : oldest;
    if (victim == kNoSlot) return false;
    drop_pieces(datagrams_[victim], reason);
    forget(victim);
  }
  return true;
}

void Reassembler::hold(Datagram& datagram, const Packet& packet, const Fragment& fragment,
                       Slot before) {
  const Slot slot = pieces_.take();
  Piece& piece = pieces_[slot];
  piece.packet = packet;
  piece.start = static_cast<uint16_t>(fragment.start);
  piece.end = static_cast<uint16_t>(fragment.end);
  piece.offset = fragment.offset;
  Slot& link = before == kNoSlot ? datagram.first : pieces_[before].next;
  piece.next = link;
  link = slot;
  if (!fragment.more) datagram.end = piece.end;
  datagram.held_bytes = static_cast<uint16_t>(datagram.held_bytes + piece.end - piece.start);
  datagram.latest = slot;
  datagram.ecn = (datagram.ecn | 1u << ecn_of(packet)) & 0xfu;
  ++datagram.pieces;
  count(datagram, 1);
  ++counters_.fragments_held;
}

// The last one missing has come: it is among the pieces.
Verdict Reassembler::join(Slot slot, Packet& packet) {
  Datagram& datagram = datagrams_[slot];
  Packet whole;
  const Verdict verdict = make_whole(datagram, whole);
  if (!verdict.is_pass()) {
    drop_pieces(datagram, verdict.reason());
    forget(slot);
    return Verdict::taken();
  }
  counters_.fragments_joined += datagram.pieces;
  ++counters_.datagrams_joined;
  release_pieces(datagram);
  forget(slot);
  packet = whole;
  return classify_whole(packet);
}

Verdict Reassembler::make_whole(const Datagram& datagram, Packet& whole) {
  const Packet& first = pieces_[datagram.first].packet;
  const size_t bytes = size_t{first.payload_offset} + datagram.end;
  if (bytes - first.ip_offset > max_datagram_bytes_) return Verdict::drop(Drop::datagram_too_long);
  // RFC 3168 5.3: congestion on the way of one is congestion, but not to who cannot hear of it.
  const bool congested = (datagram.ecn & 1u << kCongestionExperienced) != 0;
  if (congested && (datagram.ecn & 1u << kNotEct) != 0) return Verdict::drop(Drop::bad_fragment);
  if (!pool_.allocate(whole, bytes)) return Verdict::drop(Drop::no_buffer);
  write_headers(first, whole, congested);
  uint8_t* const payload = whole.data + first.payload_offset;
  for (Slot slot = datagram.first; slot != kNoSlot; slot = pieces_[slot].next) {
    const Piece& piece = pieces_[slot];
    std::memcpy(payload + piece.start, piece.packet.data + piece.offset,
                size_t{piece.end} - piece.start);
  }
  return Verdict::pass();
}

void Reassembler::give_up(Datagram& datagram, Drop reason) {
  drop_pieces(datagram, reason);
  datagram.given_up = reason;
  count(datagram, 1);
}

void Reassembler::drop_pieces(Datagram& datagram, Drop reason) {
  for (Slot slot = datagram.first; slot != kNoSlot; slot = pieces_[slot].next) {
    drops_.tell(pieces_[slot].packet, reason);
  }
  release_pieces(datagram);
}

void Reassembler::release_pieces(Datagram& datagram) {
  for (Slot slot = datagram.first; slot != kNoSlot;) {
    const Slot next = pieces_[slot].next;
    release(pieces_[slot].packet);
    pieces_.give_back(slot);
    slot = next;
  }
  count(datagram, -int32_t{datagram.pieces});
  counters_.fragments_held -= datagram.pieces;
  datagram.first = datagram.latest = kNoSlot;
  datagram.pieces = 0;
}

void Reassembler::forget(Slot slot) {
  const Datagram& datagram = datagrams_[slot];
  if (datagram.is_given_up()) count(datagram, -1);
  by_key_.remove(place_of(datagram.hash), slot);
  take_out(datagrams_, of(by_standing_, datagram.standing).datagrams, &Datagram::in_standing, slot);
  take_out(datagrams_, of(sources_[datagram.source], datagram.standing).datagrams,
           &Datagram::in_source, slot);
  datagrams_.give_back(slot);
}

// So many a poll that packets do not wait.
void Reassembler::expire_oldest(const SlotQueue& queue, uint64_t now_tsc) {
  constexpr size_t kPiecesPerPoll = 64;
  for (size_t done = 0; done < kPiecesPerPoll && queue.oldest != kNoSlot;) {
    const Slot slot = queue.oldest;
    Datagram& datagram = datagrams_[slot];
    if (now_tsc - datagram.arrived_tsc < timeout_tsc_) return;
    done += datagram.pieces + 1u;
    drop_pieces(datagram, Drop::fragment_timeout);
    forget(slot);
  }
}

}  // namespace gmesp
