// SPDX-License-Identifier: BSD-3-Clause
// Packets from the access side, several in a burst: bytes as they come, cleartext with right
// headers, and ESP of every suite whose ICV this program signs, so that an input reaches what is
// behind the ICV. What comes out under an SA is what was signed, once; all else is counted.
#include <map>
#include <set>

#include "tests/fuzz/path.h"

namespace gmesp {
namespace {

// Signs as a UE would, with the engine's own crypto (which reference_esp judges elsewhere).
class Signer {
 public:
  Signer() {
    for (size_t i = 0; i < kFuzzSas; ++i) {
      const TestSa sa = fuzz_sa(i, Direction::in);
      slots_[i] = keys_.store(sa.suite, Direction::out, sa.keys()).value();
    }
  }
  // SPI and number, room for the IV, payload with trailer.
  Bytes sign(size_t sa, uint32_t number, const Bytes& payload) {
    const TestSa test = fuzz_sa(sa, Direction::in);
    const SuiteInfo& info = suite_info(test.suite);
    Bytes esp = bytes_of_header(EspHeader{Be32(test.spi), Be32(number)});
    esp.resize(esp.size() + info.iv_bytes);
    append(esp, payload);
    esp.resize(esp.size() + info.icv_bytes);
    EspJob job{keys_.at(slots_[sa]), esp.data(), static_cast<uint16_t>(esp.size()), test.suite,
               false};
    crypto_.encrypt_and_sign({&job, 1});
    CHECK(job.good);
    return esp;
  }

 private:
  KeyStore keys_{2 * kFuzzSas, InstructionSet::best};
  MultiBuffer crypto_{InstructionSet::best};
  std::array<KeySlot, kFuzzSas> slots_{};
};

struct Signed {
  size_t sa = 0;
  uint32_t number = 0;
  bool intact = true;
  bool proper = false;  // nothing is wrong with it but, perhaps, its number
  Bytes front;          // all before ESP
  Bytes payload;        // with padding and trailer
};

// Payloads that the CBC ciphers can take, with or without a trailer that is right.
Bytes padded(const SuiteInfo& info, Bytes payload, bool trailer, Protocol protocol) {
  uint8_t padding = 0;
  const size_t trailer_bytes = trailer ? sizeof(EspTrailer) : 0;
  if (!trailer && payload.size() < sizeof(EspTrailer)) payload.resize(sizeof(EspTrailer));
  while ((payload.size() + trailer_bytes) % info.alignment_bytes != 0) payload.push_back(++padding);
  if (trailer) payload.insert(payload.end(), {padding, static_cast<uint8_t>(protocol)});
  return payload;
}

class Fuzzer {
 public:
  explicit Fuzzer(FuzzPath& path) : path_(path) {}

  void run(FuzzInput& input) {
    Burst burst;
    while (!input.empty()) {
      burst.push(make_packet(next(input)));
      if (pending_) sent_[burst[burst.size() - 1].mbuf] = *std::exchange(pending_, std::nullopt);
      if (input.byte() % 4 == 0 || burst.room() == 0) flush(burst);
    }
    flush(burst);
    path_.forget();
  }

 private:
  Bytes next(FuzzInput& input) {
    const uint8_t kind = input.byte();
    switch (kind & 3) {
      case 0:
        return input.piece();
      case 1:
        return cleartext(input, kind);
      default:
        return esp(input, kind);
    }
  }
  static Bytes cleartext(FuzzInput& input, uint8_t kind) {
    const size_t sa = input.byte() % kFuzzSas;
    const auto protocol = Protocol{input.byte()};
    PacketBuilder headers = (kind & 4) != 0
                                ? fuzz_headers(input.byte(), fuzz_pcscf(sa), fuzz_ue(sa))
                                : fuzz_headers(input.byte(), fuzz_ue(sa), fuzz_pcscf(sa));
    return headers.content(protocol, input.piece()).frame();
  }
  Bytes esp(FuzzInput& input, uint8_t kind) {
    Signed sent;
    sent.sa = input.byte() % kFuzzSas;
    sent.number = (kind & 4) != 0 ? input.number32() : input.byte();
    const uint8_t shape = input.byte();
    PacketBuilder headers = fuzz_headers(shape, fuzz_ue(sent.sa), fuzz_pcscf(sent.sa));
    sent.payload = payload(input, kind, sent);
    Bytes esp = signer().sign(sent.sa, sent.number, sent.payload);
    if ((kind & 3) == 3) sent.intact = !spoil(input, esp);
    sent.proper = sent.proper && sent.intact;
    headers.content(Protocol::esp, std::move(esp));
    Frame frame = headers.frame();
    sent.front.assign(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(headers.esp_offset()));
    if ((shape & kAtomic) != 0 && !fuzz_is_v4(sent.sa)) {
      sent.proper = false;  // reassembly's to judge, which takes the Fragment header out (RFC 6946)
      sent.front.resize(sent.front.size() - sizeof(Ipv6FragmentHeader));
    }
    pending_ = std::move(sent);
    return frame;
  }
  static Bytes payload(FuzzInput& input, uint8_t kind, Signed& sent) {
    const SuiteInfo& info = kSuites[sent.sa % kSuiteCount];
    if ((kind & 8) == 0) return padded(info, input.piece(), false, Protocol::none);
    const bool udp = (kind & 16) != 0;
    if (!udp) {
      const auto protocol = Protocol{input.byte()};
      return padded(info, input.piece(), true, protocol);
    }
    Bytes datagram = input.piece();
    if (datagram.size() < sizeof(UdpHeader)) datagram.resize(sizeof(UdpHeader));
    const UdpHeader udp_header{Be16(kUePort), Be16(kPcscfPort),
                               Be16(static_cast<uint16_t>(datagram.size())), Be16(0)};
    std::memcpy(datagram.data(), &udp_header, sizeof udp_header);
    sent.proper = true;
    return padded(info, std::move(datagram), true, Protocol::udp);
  }
  // False: nothing was changed.
  static bool spoil(FuzzInput& input, Bytes& esp) {
    const size_t at = input.number16() % esp.size();
    const uint8_t bits = input.byte();
    esp[at] ^= bits;
    return bits != 0;
  }

  void flush(Burst& burst) {
    due_.clear();
    for (Packet& packet : burst) {
      const auto found = sent_.find(packet.mbuf);
      if (found != sent_.end()) expect(found->second);
    }
    const uint64_t protected_before = path_.lab.counters.protected_in;
    size_t came = 0;
    path_.run(burst, [&](Packet& packet) {
      if (packet.kind != PacketKind::esp) return;
      ++came;
      const auto found = sent_.find(packet.mbuf);
      if (found != sent_.end()) return judge(packet, found->second);
      check_ip(packet);  // it came in fragments, perhaps of one
    });
    CHECK(path_.lab.counters.protected_in - protected_before >= came);
    for (const Key& key : due_) CHECK(accepted_.contains(key));
    sent_.clear();
  }

  // Numbers to the right of all before are certain without a model of the window.
  using Key = std::pair<size_t, uint32_t>;
  void expect(const Signed& sent) {
    if (!sent.intact) return;
    uint32_t& highest = highest_[sent.sa];
    const bool fits = sent.front.size() + sent.payload.size() < kSmall;
    if (sent.proper && fits && sent.number > highest) due_.push_back({sent.sa, sent.number});
    highest = std::max(highest, sent.number);
  }
  // Once, intact, and with the very bytes that were signed.
  void judge(const Packet& packet, const Signed& sent) {
    CHECK(sent.intact && sent.number != 0);
    CHECK(accepted_.insert({sent.sa, sent.number}).second);
    const size_t trailer = sent.payload.size() - sizeof(EspTrailer);
    const size_t padding = sent.payload[trailer];
    CHECK(padding <= trailer);
    CHECK(packet.length == sent.front.size() + trailer - padding);
    CHECK(packet.payload_offset == sent.front.size());
    const auto protocol = Protocol{sent.payload[trailer + 1]};
    CHECK(packet.next_header() == protocol && protocol != Protocol::none);
    check_ip(packet);
    const bool clamped = protocol == Protocol::tcp || protocol == Protocol::destination_options;
    CHECK(clamped || std::memcmp(packet.payload(), sent.payload.data(), trailer - padding) == 0);
  }
  static void check_ip(const Packet& packet) {
    if (!packet.is_ipv4()) {
      const auto& ip = packet.header<Ipv6Header>(packet.ip_offset);
      CHECK(sizeof(Ipv6Header) + ip.payload_length.host() == packet.ip_bytes());
      return;
    }
    const auto& ip = packet.header<Ipv4Header>(packet.ip_offset);
    CHECK(ip.total_length.host() == packet.ip_bytes());
    const uint8_t* const header = packet.data + packet.ip_offset;
    CHECK(internet_checksum(Bytes(header, header + (ip.version_and_ihl & 15) * 4)) == 0);
  }
  static Signer& signer() {
    static auto& signer = *new Signer();
    return signer;
  }

  static constexpr size_t kSmall = 500;  // no MTU is in the way

  FuzzPath& path_;
  std::optional<Signed> pending_;
  std::map<const rte_mbuf*, Signed> sent_;
  std::set<Key> accepted_;
  std::vector<Key> due_;  // of this burst
  std::map<size_t, uint32_t> highest_;
};

FuzzPath& path_of(bool ue_with_little_checks) {
  static FuzzPath& pcscf = *new FuzzPath(Direction::in, Direction::in, {}, open_policy());
  if (!ue_with_little_checks) return pcscf;
  static FuzzPath& ue = [&]() -> FuzzPath& {
    PathConfig config;
    config.check_padding = false;
    config.access_mtu = 576;
    config.host_mtu = 9000;
    Policy policy = open_policy();
    policy.role = Role::ue;
    policy.protected_ports.reset();
    policy.own_prefixes = {Prefix{kPcscf6, 128}};
    return *new FuzzPath(Direction::in, Direction::in, config, policy);
  }();
  return ue;
}

}  // namespace

void run(FuzzInput input) {
  const uint8_t variant = input.byte();
  Fuzzer(path_of((variant & 1) != 0)).run(input);
}

}  // namespace gmesp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz_one(data, size);
}
