// SPDX-License-Identifier: BSD-3-Clause
// Fragments of a few datagrams, in any order, length and number, altered, twice, overlapping, with
// time between, and frames as they come. The oracle is a list of what was fed: a datagram comes out
// when its pieces cover it, with the bytes that were fed, and never after two of them overlapped.
#include <array>

#include "dataplane/classify.h"
#include "dataplane/reassembly.h"
#include "tests/fuzz/path.h"

namespace gmesp {
namespace {

constexpr size_t kDatagrams = 4;  // two of each family
constexpr uint64_t kTscHz = 1'000'000;
constexpr size_t kFrontV4 = sizeof(EthernetHeader) + sizeof(Ipv4Header);
constexpr size_t kFrontV6 = sizeof(EthernetHeader) + sizeof(Ipv6Header);

bool is_v4(size_t datagram) { return datagram % 2 == 0; }
Address source_of(size_t datagram) {
  return fuzz_address(is_v4(datagram), static_cast<uint8_t>(100 + datagram));
}

// What byte `at` of a datagram is: a UDP header first, then anything.
uint8_t byte_of(size_t datagram, size_t at) {
  const uint8_t header[8] = {0x9c, 0x40, 0x17, 0xd5, 0, 0, 0, 0};
  return at < sizeof header ? header[at] : static_cast<uint8_t>(at * 7 + at / 256 + datagram * 31);
}

struct Piece {
  size_t start = 0;
  size_t end = 0;
  bool more = false;
};

Frame fragment(size_t datagram, const Piece& piece, bool altered) {
  Bytes bytes;
  for (size_t at = piece.start; at < piece.end; ++at) {
    bytes.push_back(static_cast<uint8_t>(byte_of(datagram, at) ^ (altered ? 0xff : 0)));
  }
  const std::string_view payload(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  PacketBuilder builder;
  builder.ip(source_of(datagram), is_v4(datagram) ? kPcscf4 : kPcscf6);
  if (is_v4(datagram)) {
    builder.fragment_bits(static_cast<uint16_t>((piece.more ? 0x2000 : 0) | piece.start / 8));
    return builder.content(Protocol::udp, {}).payload(payload).frame();
  }
  builder.fragment_header().inside().content(Protocol::udp, {}).payload(payload);
  Frame frame = builder.frame();
  const size_t offset = piece.start | (piece.more ? 1 : 0);
  frame[kFrontV6 + 2] = static_cast<uint8_t>(offset >> 8);
  frame[kFrontV6 + 3] = static_cast<uint8_t>(offset);
  frame[kFrontV6 + 7] = 0x77;  // identification
  return frame;
}

class Fuzzer {
 public:
  explicit Fuzzer(bool little_room)
      : little_room_(little_room),
        reassembler_(config(little_room), kTscHz, 42, pool_, &peers_, drops_) {
    const Selector selector{kPcscf6, source_of(1), kPcscfPort, kUePort};
    const auto error = peers_.install(
        {SaIndex{0}, Spi{4096}, KeySlot{}, Suite::sha1_null, SequenceNumber{0}, selector, {}});
    CHECK(!error);
  }

  void run(FuzzInput& input) {
    while (!input.empty()) step(input);
    pass_time();
    CHECK(counters_.fragments_held == 0 && live_packets() == 0);
  }

 private:
  struct Known {  // of one datagram, since its first piece
    std::vector<Piece> pieces;
    bool overlapped = false;
    bool uncertain = false;  // what the list cannot judge
    bool altered = false;
  };

  static ReassemblyConfig config(bool little_room) {
    ReassemblyConfig config;
    config.timeout_ms = 1000;
    if (little_room) {
      config.fragments = 8;
      config.per_source = 4;
      config.max_datagram_bytes = 1500;
    }
    return config;
  }

  void step(FuzzInput& input) {
    const uint8_t kind = input.byte();
    if ((kind & 7) == 7) return pass_time();
    if ((kind & 7) == 6) {
      add(input.piece());
      for (Known& known : known_) known.uncertain = true;  // it may have been one of theirs
      return;
    }
    const size_t datagram = kind & 3;
    Piece piece;
    piece.start = input.byte() * 8u;
    piece.end = piece.start + ((kind & 32) != 0 ? input.number16() % 3000u : input.byte() * 8u);
    piece.more = (kind & 8) != 0;
    feed(datagram, piece, (kind & 16) != 0);
  }

  void feed(size_t datagram, const Piece& piece, bool altered) {
    // A whole datagram is no fragment, or one that no other belongs to (RFC 6946).
    Known alone;
    const bool atomic = piece.start == 0 && !piece.more;
    Known& known = atomic ? alone : known_[datagram];
    note(known, piece, altered);
    const bool whole = covers(known.pieces);
    const bool must = whole && !known.overlapped && !known.uncertain && !little_room_;
    const size_t came = add(fragment(datagram, piece, altered), &known, datagram);
    if (must) CHECK(came == 1);
    if (came == 1) known = {};
  }

  // RFC 8200 4.5, RFC 5722, as a list.
  void note(Known& known, const Piece& piece, bool altered) const {
    const size_t length = piece.end - piece.start;
    known.altered = known.altered || altered;
    const bool proper = length != 0 && (!piece.more || length % 8 == 0) &&
                        (piece.start != 0 || length >= sizeof(UdpHeader));
    if (!proper || piece.end > 15000 || known.pieces.size() >= 60) known.uncertain = true;
    for (const Piece& other : known.pieces) {
      const bool same = other.start == piece.start && other.end == piece.end;
      if (same) known.uncertain = true;
      if (!same && other.start < piece.end && piece.start < other.end) known.overlapped = true;
      // One that ends the datagram, and another behind that end.
      if (!other.more && piece.end > other.end) known.uncertain = true;
      if (!piece.more && other.end > piece.end) known.uncertain = true;
    }
    known.pieces.push_back(piece);
  }
  static bool covers(const std::vector<Piece>& pieces) {
    size_t reached = 0;
    for (size_t i = 0; i < pieces.size(); ++i) {
      for (const Piece& piece : pieces) {
        if (piece.start != reached || piece.end == piece.start) continue;
        if (!piece.more) return true;
        reached = piece.end;
        break;
      }
    }
    return false;
  }

  size_t add(const Frame& frame, const Known* known = nullptr, size_t datagram = 0) {
    Burst burst;
    burst.push(make_packet(frame));
    ++fed_;
    burst.filter(
        drops_, [](Packet& p) { return classify(p); },
        [&](Packet& p) { return reassembler_.add(p, now_tsc_); });
    const size_t came = burst.size();
    if (came == 1 && known != nullptr) judge(burst[0], *known, datagram);
    left_ += came;
    burst.clear();
    check_conserved(counters_, fed_, left_);
    CHECK(live_packets() == counters_.fragments_held);
    return came;
  }

  void judge(const Packet& whole, const Known& known, size_t datagram) const {
    CHECK(whole.kind == PacketKind::cleartext);
    CHECK(!known.overlapped || known.uncertain || little_room_);
    CHECK(end_of_ip(whole) == whole.length);
    const size_t front = is_v4(datagram) ? kFrontV4 : kFrontV6;
    CHECK(whole.length >= front && whole.next_header() == Protocol::udp);
    const size_t bytes = whole.length - front;
    CHECK(std::ranges::any_of(
        known.pieces, [&](const Piece& piece) { return !piece.more && piece.end == bytes; }));
    for (size_t at = 0; at < bytes; ++at) {
      const uint8_t byte = whole.data[front + at];
      const uint8_t original = byte_of(datagram, at);
      CHECK(byte == original || (known.altered && byte == (original ^ 0xff)));
    }
    if (is_v4(datagram)) {
      const uint8_t* const header = whole.data + whole.ip_offset;
      CHECK(internet_checksum(Bytes(header, header + sizeof(Ipv4Header))) == 0);
      CHECK(((header[6] << 8 | header[7]) & 0x3fff) == 0);  // neither more nor an offset
    }
  }

  // More than the timeout: nothing is left of anything.
  void pass_time() {
    now_tsc_ += 2 * kTscHz;
    // A poll ends so many and no more.
    for (int polls = 0; polls < 100; ++polls) reassembler_.expire(now_tsc_);
    check_conserved(counters_, fed_, left_);
    known_ = {};
  }

  const bool little_room_;
  Counters counters_;
  Drops drops_{counters_};
  PacketPool pool_{{"datagrams", 4, PacketPool::kMaxBytes}};
  Spd peers_{1, 42};  // one of the sources; the others are strangers
  Reassembler reassembler_;
  uint64_t now_tsc_ = kTscHz;
  uint64_t fed_ = 0;
  uint64_t left_ = 0;
  std::array<Known, kDatagrams> known_;
};

}  // namespace

void run(FuzzInput input) { Fuzzer((input.byte() & 1) != 0).run(input); }

}  // namespace gmesp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz_one(data, size);
}
