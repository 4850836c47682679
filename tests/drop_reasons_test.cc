// SPDX-License-Identifier: BSD-3-Clause
// Every reason of kDropInfo, once, by a packet through the real path. A reason that nobody makes
// happen here and no other test owns fails the walk, as does one with two owners. Then all that one
// packet or two bring about, by the thousand, in any mixture with good ones.
#include <functional>
#include <map>
#include <random>
#include <regex>
#include <set>
#include <string>

#include "tests/fragments.h"
#include "tests/path_lab.h"
#include "tests/test_source.h"

namespace gmesp {
namespace {

const TestSa kIn{Suite::sha1_aes_cbc, 0x1000, {kUe6, kPcscf6, kUePort, kPcscfPort}};
const TestSa kOut{Suite::sha1_aes_cbc, 0x2000, {kPcscf6, kUe6, kPcscfPort, kUePort}};

PacketBuilder request() { return PacketBuilder().udp(kUePort, kPcscfPort).payload("REGISTER"); }
PacketBuilder answer() {
  return PacketBuilder().ip(kPcscf6, kUe6).udp(kPcscfPort, kUePort).payload("200 OK");
}

// Default-deny but for UDP ports 5060 to 5062, of which two take a packet a second; with a rule
// against port 9; the host's checksums are looked at; one SA each way.
struct Lab : PathLab {
  Lab() : Lab(config()) {}
  explicit Lab(const PathConfig& config) : PathLab(policy(), config) {
    install_in(kIn, 1024);
    install_out(kOut);
  }
  static Policy policy() {
    Policy policy;
    policy.protected_ports.set(kPcscfPort);
    policy.own_prefixes = {Prefix{kPcscf6, 128}};
    policy.reachable = {Prefix{kPcscf6, 128}};
    policy.rules = {{"no discard", true, true, Match::udp, {{9, 9}}, {}, false},
                    {"open", true, true, Match::udp, {{5060, 5060}}, {}, true},
                    {"rare", true, true, Match::udp, {{5061, 5061}}, {}, true},
                    {"rare of each", true, true, Match::udp, {{5062, 5062}}, {}, true}};
    policy.rules[2].rate = 1;
    policy.rules[3].rate_per_source = 1;
    return policy;
  }
  static PathConfig config() {
    PathConfig config;
    config.verify_checksums = true;
    config.reassembly.fragments = 4;
    config.reassembly.per_source = 2;
    return config;
  }
};

Frame cut(Frame frame, size_t bytes) {
  frame.resize(bytes);
  return frame;
}

Frame flipped(Frame frame) {
  frame.back() ^= 1;
  return frame;
}

Frame piece(size_t start, size_t end, uint32_t identification = 1) {
  return Fragmenter(request().payload(100)).fragment({start, end, true, identification});
}

struct Case {
  Drop drop;
  std::function<void(Lab&)> produce;
  uint64_t count = 1;  // an overlap takes what it overlaps with it
};

const Case kCases[] = {
    {Drop::runt, [](Lab& lab) { lab.in(cut(request().frame(), 20)); }},
    {Drop::malformed_ip,
     [](Lab& lab) { lab.in(ethernet_frame({}, EtherType::ipv4, Bytes(40, 0x51))); }},
    {Drop::malformed_extension_header,
     [](Lab& lab) { lab.in(request().destination_options().hop_by_hop()); }},
    {Drop::fragment, [](Lab& lab) { lab.in(request().inside().fragment_header().esp(kIn, 1)); }},
    {Drop::bad_fragment, [](Lab& lab) { lab.in(piece(8, 23)); }},
    {Drop::overlapping_fragment,
     [](Lab& lab) {
       lab.in({piece(8, 32), piece(24, 48)});
     },
     2},
    {Drop::duplicate_fragment,
     [](Lab& lab) {
       lab.in({piece(8, 32), piece(8, 32)});
     }},
    {Drop::too_many_fragments,
     [](Lab& lab) {
       for (size_t at = 0; at < 80; at += 16) lab.out(piece(at, at + 16));
     },
     5},
    {Drop::fragment_source_limit,
     [](Lab& lab) {
       for (uint32_t id = 0; id < 3; ++id) lab.in(piece(8, 32, id));
     }},
    {Drop::fragment_evicted,
     [](Lab& lab) {
       for (uint32_t id = 0; id < 5; ++id) lab.out(piece(8, 32, id));
     }},
    {Drop::fragment_timeout,
     [](Lab& lab) {
       lab.in(piece(8, 32));
       lab.expire(5'000'000'000);
     }},
    {Drop::datagram_too_long, [](Lab& lab) { lab.in(piece(65528, 65536)); }},
    {Drop::no_buffer,
     [](Lab& lab) {
       Burst taken;
       for (Packet packet; lab.pools.datagrams.allocate(packet, 100);) taken.push(packet);
       lab.in(Fragmenter(request()).pieces(8));
     },
     2},
    {Drop::transport_runt,
     [](Lab& lab) { lab.in(PacketBuilder().content(Protocol::udp, Bytes(7)).esp(kIn, 1)); }},
    {Drop::reserved_spi,
     [](Lab& lab) {
       lab.in(request().esp({Suite::md5_null, 255, {}}, 1));
     }},
    {Drop::unknown_spi,
     [](Lab& lab) {
       lab.in(request().esp({Suite::md5_null, 0x1001, {}}, 1));
     }},
    {Drop::esp_length,
     [](Lab& lab) { lab.in(PacketBuilder().content(Protocol::esp, Bytes(7, 1))); }},
    {Drop::replayed,
     [](Lab& lab) {
       for (int copy = 0; copy < 2; ++copy) lab.in(request().esp(kIn, 1));
     }},
    {Drop::icv_mismatch, [](Lab& lab) { lab.in(flipped(request().esp(kIn, 1).frame())); }},
    {Drop::bad_padding,
     [](Lab& lab) {
       lab.in(request().payload("1234").esp(kIn, 1).esp_padding({2, 2}));
     }},
    {Drop::dummy_packet,
     [](Lab& lab) { lab.in(request().esp(kIn, 1).esp_next_header(Protocol::none)); }},
    {Drop::selector_mismatch, [](Lab& lab) { lab.in(request().udp(1, 2).esp(kIn, 1)); }},
    {Drop::cleartext_on_protected_port, [](Lab& lab) { lab.in(request()); }},
    {Drop::spoofed_source, [](Lab& lab) { lab.in(answer()); }},
    {Drop::martian_source,
     [](Lab& lab) { lab.in(request().ip(*parse_address("::1"), kPcscf6).udp(1, 5060)); }},
    {Drop::unreachable_host,
     [](Lab& lab) { lab.in(request().ip(kUe6, *parse_address("2001:db8::11")).udp(1, 5060)); }},
    {Drop::icmp_quotes_protected,
     [](Lab& lab) { lab.out(PacketBuilder().ip(kPcscf6, kUe6).icmp(1, request().ip_packet())); }},
    {Drop::policy_rule, [](Lab& lab) { lab.in(request().udp(kUePort, 9)); }},
    {Drop::policy_default, [](Lab& lab) { lab.in(request().tcp(kUePort, 5060)); }},
    {Drop::rate_of_rule,
     [](Lab& lab) {
       for (int copy = 0; copy < 2; ++copy) lab.in(request().udp(1, 5061));
     }},
    {Drop::rate_of_source,
     [](Lab& lab) {
       for (int copy = 0; copy < 2; ++copy) lab.in(request().udp(1, 5062));
     }},
    {Drop::bad_checksum, [](Lab& lab) { lab.out(flipped(answer().frame())); }},
    {Drop::packet_too_big, [](Lab& lab) { lab.out(answer().udp(5060, 1).payload(1453)); }},
    {Drop::icmp_about_esp,
     [](Lab& lab) {
       lab.in(PacketBuilder()
                  .ip(*parse_address("2001:db8:9::1"), kPcscf6)
                  .icmp_error(2, 0, 1400, answer().esp(kOut, 1).ip_packet()));
     }},
    {Drop::sequence_exhausted,
     [](Lab& lab) {
       lab.install_out(kOut, 0xffffffff);
       lab.out(answer());
     }},
};

// Reasons that this executable cannot bring about, and the test that does.
const struct {
  Drop drop;
  const char* file;
  const char* test;
} kOwnedElsewhere[] = {
    {Drop::multi_segment, "port_test.cc", "PortTest.DropsAFrameInSeveralBuffers"},
    {Drop::shared_buffer, "port_test.cc", "PortTest.DropsABufferThatSomebodyElseHolds"},
    {Drop::no_room, "port_test.cc", "PortTest.DropsABufferWithoutRoomForTheEspTrailer"},
    {Drop::bad_ip_checksum, "port_test.cc",
     "PortTest.DropsAnIpHeaderWhoseChecksumTheDeviceFoundWrong"},
    {Drop::frame_exceeds_mtu, "port_test.cc", "PortTest.DropsWhatExceedsTheMtu"},
    {Drop::tx_full, "port_test.cc", "PortTest.CountsAndFreesWhatTheDeviceDoesNotTake"},
    {Drop::steering_full, "workers_test.cc", "Workers.CountWhatAFullSteeringRingDoesNotTake"},
    {Drop::crypto_failed, "crypto_failed_test.cc", "CryptoFailed.NoUnfinishedPacketLeaves"},
};

class DropReasons : public testing::TestWithParam<DropInfo> {};

TEST_P(DropReasons, IsProducedByItsPacketAndByNothingElse) {
  const Drop drop = GetParam().drop;
  size_t owners = 0;
  for (const Case& one : kCases) {
    if (one.drop != drop) continue;
    ++owners;
    Lab lab;
    one.produce(lab);
    for (const DropInfo& info : kDropInfo) {
      EXPECT_EQ(lab.counters[info.drop], info.drop == drop ? one.count : 0u) << info.name;
    }
  }
  for (const auto& other : kOwnedElsewhere) {
    if (other.drop != drop) continue;
    ++owners;
    // A longer name may begin with this one.
    const std::regex reason("Drop::" + std::string(GetParam().name) + "\\b");
    EXPECT_TRUE(std::regex_search(body_of_test(other.file, other.test), reason)) << other.test;
  }
  EXPECT_EQ(owners, 1u) << GetParam().name << " needs one test that makes it happen";
}

INSTANTIATE_TEST_SUITE_P(Of, DropReasons, testing::ValuesIn(kDropInfo),
                         [](const testing::TestParamInfo<DropInfo>& info) {
                           return std::string(info.param.name);
                         });

// The lab itself drops nothing that is in order.
TEST(DropReasonsLab, PassesGoodPackets) {
  Lab lab;
  EXPECT_EQ(lab.in(request().esp(kIn, 1)), passed(request()));
  EXPECT_EQ(lab.out(answer()).frames.size(), 1u);
  EXPECT_EQ(lab.in(request().udp(1, 5060)), passed(request().udp(1, 5060)));
}

// Packets of known fate. n is another one each time.
struct Mixed {
  Drop drop;  // kCount: all pass
  Direction direction;
  std::function<std::vector<Frame>(uint32_t n)> frames;  // in this order, with others between them
  uint64_t dropped = 1;
  uint64_t passed = 0;
};

using Frames = std::vector<Frame>;

// Each in a network of its own: a source is a /64 (AddressWords::of_source).
PacketBuilder from_stranger(uint32_t n) {
  Address address = *parse_address("2001:db8::bad");
  for (size_t i = 0; i < 4; ++i) address.bytes[4 + i] = static_cast<uint8_t>(n >> 8 * i);
  return PacketBuilder().ip(address, kPcscf6).udp(1, 5060).payload(100);
}

Mixed one(Drop drop, Direction direction, const std::function<Frame(uint32_t n)>& frame) {
  return {drop, direction, [frame](uint32_t n) { return Frames{frame(n)}; }};
}
// As one() does, of a packet that only its SA or its addresses make bad.
Mixed incoming(Drop drop, const std::function<PacketBuilder(uint32_t n)>& packet) {
  return one(drop, Direction::in, [packet](uint32_t n) { return packet(n).frame(); });
}
Mixed outgoing(Drop drop, const std::function<PacketBuilder(uint32_t n)>& packet) {
  return one(drop, Direction::out, [packet](uint32_t n) { return packet(n).frame(); });
}

const TestSa kExhausted{Suite::sha1_aes_cbc, 0x2001, {kPcscf6, kUe6, kPcscfPort, 5101}};

const Mixed kMixed[] = {
    {Drop::kCount, Direction::in, [](uint32_t n) { return Frames{request().esp(kIn, n).frame()}; },
     0, 1},
    {Drop::kCount, Direction::in, [](uint32_t n) { return Frames{from_stranger(n).frame()}; }, 0,
     1},
    {Drop::kCount, Direction::out, [](uint32_t) { return Frames{answer().frame()}; }, 0, 1},
    {Drop::kCount, Direction::in,
     [](uint32_t n) { return Fragmenter(request().esp(kIn, n)).fragments({32}, n); }, 0, 1},
    one(Drop::runt, Direction::in, [](uint32_t n) { return cut(request().frame(), n % 54); }),
    one(Drop::malformed_ip, Direction::out,
        [](uint32_t) { return ethernet_frame({}, EtherType::ipv4, Bytes(40, 0x51)); }),
    incoming(Drop::malformed_extension_header,
             [](uint32_t) { return request().destination_options().hop_by_hop(); }),
    incoming(Drop::fragment,
             [](uint32_t n) { return request().inside().fragment_header().esp(kIn, n); }),
    one(Drop::bad_fragment, Direction::in,
        [](uint32_t n) {
          return Fragmenter(from_stranger(n)).fragment({8, 23});
        }),
    {Drop::overlapping_fragment, Direction::in,
     [](uint32_t n) {
       const Fragmenter whole(from_stranger(n));
       return Frames{whole.fragment({8, 32}), whole.fragment({24, 48})};
     },
     2},
    {Drop::duplicate_fragment, Direction::in,
     [](uint32_t n) {
       const Frames halves = Fragmenter(from_stranger(n)).fragments({48});
       return Frames{halves[0], halves[0], halves[1]};
     },
     1, 1},
    one(Drop::datagram_too_long, Direction::in,
        [](uint32_t n) {
          return Fragmenter(from_stranger(n)).fragment({65528, 65536});
        }),
    incoming(
        Drop::transport_runt,
        [](uint32_t n) { return PacketBuilder().content(Protocol::udp, Bytes(7)).esp(kIn, n); }),
    incoming(Drop::reserved_spi,
             [](uint32_t n) {
               return request().esp({Suite::md5_null, n % 256, {}}, n);
             }),
    incoming(Drop::unknown_spi,
             [](uint32_t n) {
               return request().esp({Suite::md5_null, 0x10000 + n, {}}, n);
             }),
    incoming(Drop::esp_length,
             [](uint32_t) { return PacketBuilder().content(Protocol::esp, Bytes(7, 1)); }),
    {Drop::replayed, Direction::in,
     [](uint32_t n) { return Frames(2, request().esp(kIn, n).frame()); }, 1, 1},
    one(Drop::icv_mismatch, Direction::in,
        [](uint32_t n) { return flipped(request().esp(kIn, n).frame()); }),
    incoming(Drop::bad_padding,
             [](uint32_t n) {
               return request().payload("1234").esp(kIn, n).esp_padding({2, 2});
             }),
    incoming(Drop::dummy_packet,
             [](uint32_t n) { return request().esp(kIn, n).esp_next_header(Protocol::none); }),
    incoming(Drop::selector_mismatch, [](uint32_t n) { return request().udp(1, 2).esp(kIn, n); }),
    incoming(Drop::cleartext_on_protected_port, [](uint32_t) { return request(); }),
    incoming(Drop::spoofed_source, [](uint32_t) { return answer(); }),
    incoming(Drop::martian_source,
             [](uint32_t) { return request().ip(*parse_address("::1"), kPcscf6).udp(1, 5060); }),
    incoming(
        Drop::unreachable_host,
        [](uint32_t) { return request().ip(kUe6, *parse_address("2001:db8::11")).udp(1, 5060); }),
    outgoing(
        Drop::icmp_quotes_protected,
        [](uint32_t) { return PacketBuilder().ip(kPcscf6, kUe6).icmp(1, request().ip_packet()); }),
    incoming(Drop::policy_rule, [](uint32_t) { return request().udp(kUePort, 9); }),
    incoming(Drop::policy_default, [](uint32_t) { return request().tcp(kUePort, 5060); }),
    incoming(Drop::rate_of_rule, [](uint32_t n) { return from_stranger(n).udp(1, 5061); }),
    incoming(Drop::rate_of_source, [](uint32_t) { return request().udp(1, 5062); }),
    one(Drop::bad_checksum, Direction::out, [](uint32_t) { return flipped(answer().frame()); }),
    outgoing(Drop::packet_too_big, [](uint32_t) { return answer().udp(5060, 1).payload(1453); }),
    incoming(Drop::icmp_about_esp,
             [](uint32_t n) {
               return from_stranger(n).payload(0).icmp_error(2, 0, 1400,
                                                             answer().esp(kOut, 1).ip_packet());
             }),
    outgoing(Drop::sequence_exhausted, [](uint32_t) { return answer().udp(kPcscfPort, 5101); }),
};

// Of time, of room that others take too, or of more packets than can be mixed.
const std::set<Drop> kOfTheirOwn = {Drop::too_many_fragments, Drop::fragment_source_limit,
                                    Drop::fragment_evicted, Drop::fragment_timeout,
                                    Drop::no_buffer};

// Packets under way, in one direction, and those of one row in their order.
class Mixture {
 public:
  explicit Mixture(Direction direction) : direction_(direction) {}

  Frames burst(std::mt19937& random, std::map<Drop, uint64_t>& dropped, uint64_t& passed) {
    Frames frames;
    for (size_t wanted = 1 + random() % Burst::kCapacity; frames.size() < wanted;) {
      Frames& next = open_[random() % open_.size()];
      if (next.empty()) {
        next = begin(kMixed[random() % std::size(kMixed)], dropped, passed);
      } else {
        frames.push_back(next.front());
        next.erase(next.begin());
      }
    }
    return frames;
  }
  // What is left, to the last.
  Frames rest() {
    Frames frames;
    for (Frames& open : open_) frames.insert(frames.end(), open.begin(), open.end());
    return frames;
  }

 private:
  Frames begin(const Mixed& row, std::map<Drop, uint64_t>& dropped, uint64_t& passed) {
    if (row.direction != direction_) return {};
    if (row.drop != Drop::kCount) dropped[row.drop] += row.dropped;
    passed += row.passed;
    return row.frames(++number_);
  }

  const Direction direction_;
  std::array<Frames, 8> open_;
  uint32_t number_ = 0;
};

// Each of 100,000 packets under the reason that is its own, whatever came before it or beside it.
TEST(DropReasons, AreToldApartInAnyMixture) {
  PathConfig config = Lab::config();
  config.reassembly = {};
  Lab lab(config);
  lab.install_out(kExhausted, 0xffffffff);
  // The clock stands: the tokens of both rates are taken for good.
  for (const uint16_t port : {uint16_t{5061}, uint16_t{5062}}) {
    EXPECT_EQ(lab.in(request().udp(1, port)), passed(request().udp(1, port)));
  }
  std::mt19937 random(20261123);
  Mixture in(Direction::in);
  Mixture out(Direction::out);
  std::map<Drop, uint64_t> fed;
  uint64_t good = 0;
  uint64_t came_out = 0;
  for (uint32_t frames = 0; frames < 100'000;) {
    const bool inward = random() % 4 != 0;
    const Frames burst = (inward ? in : out).burst(random, fed, good);
    frames += static_cast<uint32_t>(burst.size());
    came_out += (inward ? lab.in(burst) : lab.out(burst)).frames.size();
  }
  came_out += lab.in(in.rest()).frames.size() + lab.out(out.rest()).frames.size();
  EXPECT_EQ(came_out, good);
  for (const DropInfo& info : kDropInfo) {
    EXPECT_EQ(lab.counters[info.drop], fed[info.drop]) << info.name;
  }
  EXPECT_EQ(lab.counters.fragments_held, 0u);
  for (const Case& one : kCases) {
    if (kOfTheirOwn.contains(one.drop)) continue;
    EXPECT_GT(fed[one.drop], 500u) << drop_info(one.drop).name;
  }
}

}  // namespace
}  // namespace gmesp
