// SPDX-License-Identifier: BSD-3-Clause
// Packets of the host, several in a burst: bytes as they come, and requests to UEs with every
// protocol, shape of headers and suite. What was made ESP goes to the other end, whose inbound path
// has to give back the packet that the host sent.
#include <map>
#include <optional>

#include "dataplane/classify.h"
#include "tests/fuzz/path.h"

namespace gmesp {
namespace {

struct Paths {
  FuzzPath& out;
  FuzzPath& peer;
};

class Fuzzer {
 public:
  explicit Fuzzer(const Paths& paths) : paths_(paths) {}

  void run(FuzzInput& input) {
    // Anywhere in the numbers; both ends agree on it.
    first_ = input.byte() == 0 ? input.number32() : 0;
    for (size_t i = 0; i < kFuzzSas; ++i)
      paths_.out.outbound_sa(i).last_sent = {SequenceNumber{first_}};
    Burst burst;
    while (!input.empty()) {
      const uint8_t kind = input.byte();
      expected_.reset();
      const Frame frame = (kind & 3) == 0 ? input.piece() : request(input, kind);
      const DeviceFindings findings{.checksum =
                                        DeviceChecksum{static_cast<uint8_t>(kind >> 2 & 1)}};
      burst.push(make_packet(frame, findings));
      sent_[burst[burst.size() - 1].mbuf] = expected_;
      if (input.byte() % 4 == 0 || burst.room() == 0) flush(burst);
    }
    flush(burst);
    paths_.out.forget();
    paths_.peer.forget();
  }

 private:
  Frame request(FuzzInput& input, uint8_t kind) {
    const size_t sa = input.byte() % kFuzzSas;
    const uint8_t shape = input.byte();
    FuzzInput again = input;
    // The Fragment header of a datagram in one piece is taken out (RFC 6946).
    const bool atomic = !fuzz_is_v4(sa) && (shape & kAtomic) != 0;
    expected_ = request(again, kind, sa, atomic ? shape & ~kAtomic : shape);
    return request(input, kind, sa, shape);
  }
  static Frame request(FuzzInput& input, uint8_t kind, size_t sa, int shape) {
    PacketBuilder headers = fuzz_headers(static_cast<uint8_t>(shape), fuzz_pcscf(sa), fuzz_ue(sa));
    const auto alternate = static_cast<uint16_t>(kind >> 3 & 1);
    const uint16_t from = kPcscfPort + alternate;
    const uint16_t to = kUePort + alternate;
    if ((kind & 16) != 0) headers.destination_options();  // inside ESP
    switch (kind & 3) {
      case 1:
        headers.udp(from, to);
        break;
      case 2: {
        Bytes options = input.bytes(input.byte() % 41);
        options.resize((options.size() + 3) / 4 * 4);
        headers.tcp(from, to, input.byte(), options);
        break;
      }
      default: {
        const auto protocol = Protocol{input.byte()};
        return headers.content(protocol, input.piece()).frame();
      }
    }
    const Bytes payload = input.piece();
    return headers.payload({reinterpret_cast<const char*>(payload.data()), payload.size()}).frame();
  }

  void flush(Burst& burst) {
    std::vector<std::pair<std::optional<Frame>, Frame>> made;  // plain, protected
    paths_.out.run(burst, [&](Packet& packet) {
      if (packet.kind != PacketKind::cleartext || packet.next_header() != Protocol::esp) return;
      const auto found = sent_.find(packet.mbuf);
      if (found != sent_.end()) made.emplace_back(found->second, frame_of(packet));
    });
    sent_.clear();
    for (const auto& [plain, on_wire] : made) carry(plain, on_wire);
  }

  // At the UE: the packet as the host had it.
  void carry(const std::optional<Frame>& plain, const Frame& on_wire) {
    Burst burst;
    burst.push(make_packet(on_wire));
    size_t came = 0;
    paths_.peer.run(burst, [&](Packet& packet) {
      ++came;
      CHECK(packet.kind == PacketKind::esp);
      if (plain) compare(*plain, packet);
    });
    // What is too long for the MTU comes in fragments, of which run() has taken account.
    if (on_wire.size() < kSmall) CHECK(came == 1);
  }

  static void compare(const Frame& plain, const Packet& packet) {
    CHECK(packet.length <= plain.size());
    CHECK(end_of_ip(packet) == packet.length);
    Frame expected(plain.begin(), plain.begin() + packet.length);
    Frame got = frame_of(packet);
    UpperLayer upper;
    CHECK(find_upper_layer(packet, upper).is_pass());
    if (upper.protocol == Protocol::tcp) {
      // A SYN's MSS is lowered, its checksum mended: not what this is about.
      const size_t end = std::min<size_t>(got.size(), upper.offset + 60u);
      std::copy(got.begin() + upper.offset, got.begin() + static_cast<ptrdiff_t>(end),
                expected.begin() + upper.offset);
    }
    CHECK(got == expected);
  }

  static constexpr size_t kSmall = 500;  // no MTU is in the way

  const Paths& paths_;
  uint32_t first_ = 0;
  // What the UE is to get; nothing known of bytes as they come.
  std::optional<Frame> expected_;
  std::map<const rte_mbuf*, std::optional<Frame>> sent_;
};

const Paths& paths_of(uint8_t variant) {
  static const auto make = [](uint16_t mtu, bool verify) {
    PathConfig config;
    config.access_mtu = config.host_mtu = mtu;
    config.verify_checksums = config.device_checksums = verify;
    config.answer_too_big = verify;
    PathConfig ue;
    ue.host_mtu = mtu;
    return new Paths{*new FuzzPath(Direction::out, Direction::out, config, open_policy()),
                     *new FuzzPath(Direction::in, Direction::out, ue, open_policy())};
  };
  static const Paths& usual = *make(1500, false);
  static const Paths& jumbo = *make(9000, true);
  return (variant & 1) == 0 ? usual : jumbo;
}

}  // namespace

void run(FuzzInput input) { Fuzzer(paths_of(input.byte())).run(input); }

}  // namespace gmesp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz_one(data, size);
}
