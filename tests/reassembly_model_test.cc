// SPDX-License-Identifier: BSD-3-Clause
// Reassembler against a model that is too simple to be wrong: random cuts, order, duplicates,
// overlaps, lies about the end, several datagrams and sources at once, too little room, time.
#include <rapidcheck.h>

#include <algorithm>
#include <list>
#include <optional>
#include <set>

#include "tests/reassembly_lab.h"

namespace gmesp {
namespace {

constexpr size_t kUnits = 12;  // of 8 bytes, in a datagram
constexpr size_t kSources = 4;
constexpr size_t kStrangers = 2;  // of them, the first ones; the others have SAs
constexpr uint32_t kIdentifications = 3;
constexpr size_t kRoom = 6;  // of strangers, and of the others

struct Step {
  size_t source = 0;
  uint32_t identification = 0;
  size_t first_unit = 0;
  size_t units = 1;
  bool more = true;
  bool other_bytes = false;
  uint64_t wait_us = 0;
};

void showValue(const Step& step, std::ostream& stream) {
  stream << "source " << step.source << " id " << step.identification << " units "
         << step.first_unit << "+" << step.units << (step.more ? "" : " last")
         << (step.other_bytes ? " other bytes" : "") << " wait " << step.wait_us << '\n';
}

ReassemblyConfig small() {
  ReassemblyConfig config;
  config.fragments = 12;
  config.per_source = 4;
  config.timeout_ms = 1;
  return config;
}

// What is known of a datagram: which fragment has brought each unit.
struct Model {
  struct Piece {
    size_t first, end;  // units
    bool more, other_bytes;
  };
  struct Datagram {
    size_t source;
    uint32_t identification;
    uint64_t arrived_us;
    std::vector<Piece> pieces;
    std::optional<Drop> given_up;
    bool complete() const {
      size_t held = 0, end = 0;
      for (const Piece& piece : pieces) {
        held += piece.end - piece.first;
        if (!piece.more) end = piece.end;
      }
      return held == end;
    }
  };
  using Place = std::list<Datagram>::iterator;

  std::list<Datagram> datagrams;  // oldest first
  std::map<Drop, uint64_t> drops;

  size_t held() const {
    size_t count = 0;
    for (const Datagram& datagram : datagrams) count += datagram.pieces.size();
    return count;
  }
  void drop(Drop reason, size_t count = 1) {
    if (count != 0) drops[reason] += count;
  }
  void expire(uint64_t now_us) {
    while (!datagrams.empty() && now_us - datagrams.front().arrived_us >= 1000) {
      drop(Drop::fragment_timeout, datagrams.front().pieces.size());
      datagrams.pop_front();
    }
  }
  static std::optional<Drop> contradiction(const Datagram& datagram, const Piece& piece) {
    for (const Piece& other : datagram.pieces) {
      if (other.first == piece.first && other.end == piece.end && other.more == piece.more &&
          other.other_bytes == piece.other_bytes) {
        return Drop::duplicate_fragment;
      }
    }
    for (const Piece& other : datagram.pieces) {
      if (other.first < piece.end && piece.first < other.end) return Drop::overlapping_fragment;
    }
    for (const Piece& other : datagram.pieces) {
      const bool behind_end = !other.more && piece.first >= other.end;
      const bool two_ends = !other.more && !piece.more;
      const bool end_before = !piece.more && other.first >= piece.end;
      if (behind_end || two_ends || end_before) return Drop::bad_fragment;
    }
    if (datagram.pieces.size() == kRoom) return Drop::too_many_fragments;
    return {};
  }
  // Of those that it counts, the oldest give way, but never `at`.
  template <typename Counts>
  bool make_room(Counts&& counts, size_t room, Place at, Drop reason) {
    for (;;) {
      size_t load = 0;
      Place victim = datagrams.end();
      for (Place of = datagrams.begin(); of != datagrams.end(); ++of) {
        if (!counts(*of)) continue;
        load += of->given_up ? 1 : of->pieces.size();
        if (of != at && victim == datagrams.end()) victim = of;
      }
      if (load < room) return true;
      if (victim == datagrams.end()) {
        drop(reason);
        return false;
      }
      drop(reason, victim->pieces.size());
      datagrams.erase(victim);
    }
  }
  // The pieces, when they are a whole datagram.
  std::vector<Piece> add(const Step& step, uint64_t now_us) {
    const Piece piece{step.first_unit, step.first_unit + step.units, step.more, step.other_bytes};
    Place at = std::find_if(datagrams.begin(), datagrams.end(), [&](const Datagram& datagram) {
      return datagram.source == step.source && datagram.identification == step.identification;
    });
    if (at != datagrams.end()) {
      if (at->given_up) {
        drop(*at->given_up);
        return {};
      }
      if (const auto reason = contradiction(*at, piece)) {
        drop(*reason);
        if (*reason == Drop::duplicate_fragment) return {};
        drop(*reason, at->pieces.size());
        at->pieces.clear();
        at->given_up = reason;
        return {};
      }
    }
    Datagram with =
        at == datagrams.end() ? Datagram{step.source, step.identification, now_us, {}, {}} : *at;
    with.pieces.push_back(piece);
    if (!with.complete()) {
      const auto of_source = [&](const Datagram& of) { return of.source == step.source; };
      const auto alike = [&](const Datagram& of) {
        return (of.source < kStrangers) == (step.source < kStrangers);
      };
      if (!make_room(of_source, small().per_source, at, Drop::fragment_source_limit)) return {};
      if (!make_room(alike, kRoom, at, Drop::fragment_evicted)) return {};
    }
    if (at == datagrams.end()) at = datagrams.insert(datagrams.end(), with);
    *at = with;
    if (!with.complete()) return {};
    datagrams.erase(at);
    return with.pieces;
  }
};

Address source(size_t number) {
  return parse_address("2001:db8:" + std::to_string(number + 1) + "::5").value();
}

Bytes payload(const Model::Piece& piece) {
  Bytes bytes;
  for (size_t i = piece.first * 8; i < piece.end * 8; ++i) {
    bytes.push_back(static_cast<uint8_t>(piece.other_bytes ? ~i : i));
  }
  return bytes;
}

PacketBuilder from(size_t number) {
  return PacketBuilder().ip(source(number), kPcscf6).content(Protocol{200}, {});
}

Frame whole(size_t number, std::vector<Model::Piece> pieces) {
  std::sort(pieces.begin(), pieces.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  Bytes bytes;
  for (const Model::Piece& piece : pieces) append(bytes, payload(piece));
  return from(number).content(Protocol{200}, bytes).frame();
}

rc::Gen<Step> any_step() {
  using rc::gen::inRange;
  return rc::gen::build<Step>(
      rc::gen::set(&Step::source, inRange<size_t>(0, kSources)),
      rc::gen::set(&Step::identification, inRange<uint32_t>(0, kIdentifications)),
      rc::gen::set(&Step::first_unit, inRange<size_t>(0, kUnits / 2)),
      rc::gen::set(&Step::units, inRange<size_t>(1, kUnits / 3)),
      rc::gen::set(&Step::more, rc::gen::map(inRange(0, 4), [](int i) { return i != 0; })),
      rc::gen::set(&Step::other_bytes, rc::gen::map(inRange(0, 12), [](int i) { return i == 0; })),
      rc::gen::set(&Step::wait_us, rc::gen::map(inRange<uint64_t>(0, 60), [](uint64_t i) {
        return i < 50 ? 0 : 50 * (i - 50);
      })));
}

// A datagram cut at random and shuffled, so that many become whole.
std::vector<Step> honest(size_t number, uint32_t identification) {
  const auto cuts = *rc::gen::container<std::set<size_t>>(*rc::gen::inRange<size_t>(1, 5),
                                                          rc::gen::inRange<size_t>(1, kUnits));
  std::vector<Step> steps;
  size_t first = 0;
  for (const size_t cut : cuts) {
    steps.push_back({number, identification, first, cut - first});
    first = cut;
  }
  steps.push_back({number, identification, first, kUnits - first, false});
  for (size_t i = steps.size(); i > 1; --i) {
    std::swap(steps[i - 1], steps[*rc::gen::inRange<size_t>(0, i)]);
  }
  return steps;
}

std::vector<Step> any_stream() {
  std::vector<Step> stream;
  const size_t parts = *rc::gen::inRange<size_t>(1, 20);
  for (size_t part = 0; part < parts; ++part) {
    std::vector<Step> more;
    if (*rc::gen::inRange(0, 3) == 0) {
      more = *rc::gen::container<std::vector<Step>>(any_step());
    } else {
      more = honest(*rc::gen::inRange<size_t>(0, kSources),
                    *rc::gen::inRange<uint32_t>(0, kIdentifications));
    }
    const auto at = *rc::gen::inRange<size_t>(0, stream.size() + 1);  // in between the others
    stream.insert(stream.begin() + static_cast<std::ptrdiff_t>(at), more.begin(), more.end());
  }
  return stream;
}

TEST(ReassemblyModel, DecidesAsTheModel) {
  uint64_t joined = 0, lost = 0;
  std::vector<Address> ues;
  for (size_t i = kStrangers; i < kSources; ++i) ues.push_back(source(i));
  const auto spd = peers(ues);
  const bool holds = rc::check([&] {
    const std::vector<Step> stream = any_stream();
    ReassemblyLab lab(small(), 8, spd.get());
    Model model;
    for (const Step& step : stream) {
      model.drops.clear();
      model.expire(lab.now_us + step.wait_us);
      RC_ASSERT(lab.wait(step.wait_us).drops == model.drops);
      if (step.first_unit == 0 && !step.more) continue;  // atomic
      model.drops.clear();
      const std::vector<Model::Piece> pieces = model.add(step, lab.now_us);
      Outcome expected;
      expected.drops = model.drops;
      if (!pieces.empty()) expected.frames = {whole(step.source, pieces)};
      const Model::Piece piece{step.first_unit, step.first_unit + step.units, step.more,
                               step.other_bytes};
      const Outcome outcome =
          lab.add(Fragmenter(from(step.source))
                      .fragment({piece.first * 8, piece.end * 8, piece.more, step.identification},
                                payload(piece)));
      RC_ASSERT(outcome == expected);
      RC_ASSERT(lab.counters.fragments_held == model.held());
    }
    joined += lab.counters.datagrams_joined;
    lost += lab.counters[Drop::overlapping_fragment] + lab.counters[Drop::fragment_evicted];
  });
  EXPECT_TRUE(holds);
  EXPECT_GT(joined, 50u) << "datagrams become whole";
  EXPECT_GT(lost, 50u) << "and do not";
}

// Any fragments at all: each comes out, is held or is counted (the lab compares at the end).
TEST(ReassemblyModel, RandomBytesInFragmentsAreConserved) {
  const bool holds = rc::check([] {
    ReassemblyLab lab(small());
    const size_t frames = *rc::gen::inRange<size_t>(1, 60);
    for (size_t i = 0; i < frames; ++i) {
      const bool ipv4 = *rc::gen::inRange(0, 2) == 0;
      const auto protocol = *rc::gen::element(uint8_t{0}, uint8_t{6}, uint8_t{17}, uint8_t{43},
                                              uint8_t{44}, uint8_t{50}, uint8_t{58}, uint8_t{60});
      Bytes bytes = *rc::gen::container<Bytes>(rc::gen::arbitrary<uint8_t>());
      const bool more = *rc::gen::inRange(0, 3) != 0;
      if (more) bytes.resize(bytes.size() / 8 * 8);
      const PacketBuilder packet = PacketBuilder()
                                       .ip(ipv4 ? kUe4 : kUe6, ipv4 ? kPcscf4 : kPcscf6)
                                       .content(Protocol{protocol}, {});
      const size_t start = 8 * *rc::gen::inRange<size_t>(0, 8);
      lab.add(Fragmenter(packet).fragment({start, 0, more, 1}, bytes));
    }
    lab.wait(2000);
    RC_ASSERT(lab.counters.fragments_held == 0u);
  });
  EXPECT_TRUE(holds);
}

}  // namespace
}  // namespace gmesp
