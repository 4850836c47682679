// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/classify.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "dataplane/fragment.h"
#include "tests/classify_shapes.h"

namespace gmesp {
namespace {

const Bytes kArp = ethernet_frame({}, EtherType::arp, Bytes(28, 1));

TEST(Classify, FindsTheHeadersOfEveryShape) {
  for (const Shape& shape : shapes()) {
    ExactPacket exact(shape.frame);
    Packet& packet = exact.packet;
    ASSERT_TRUE(classify(packet).is_pass()) << shape.name;
    EXPECT_EQ(packet.kind, shape.kind) << shape.name;
    EXPECT_EQ(packet.ip_offset, shape.ip_offset) << shape.name;
    EXPECT_EQ(packet.payload_offset, shape.payload_offset) << shape.name;
    UpperLayer upper;
    ASSERT_TRUE(find_upper_layer(packet, upper).is_pass()) << shape.name;
    EXPECT_EQ(upper.offset, shape.upper_offset) << shape.name;
    EXPECT_EQ(upper.protocol, shape.upper) << shape.name;
    const bool v4 = shape.name.starts_with("v4");
    EXPECT_EQ(packet.is_ipv4(), v4);
    EXPECT_TRUE(source_address(packet) == (v4 ? kUe4 : kUe6)) << shape.name;
    EXPECT_TRUE(destination_address(packet) == (v4 ? kPcscf4 : kPcscf6)) << shape.name;
  }
}

TEST(Classify, ReadsPortsOfUdpAndTcpOnly) {
  for (const Shape& shape : shapes()) {
    ExactPacket exact(shape.frame);
    ASSERT_TRUE(classify(exact.packet).is_pass());
    Flow flow;
    ASSERT_TRUE(read_flow(exact.packet, flow).is_pass()) << shape.name;
    const bool ports = shape.upper == Protocol::udp || shape.upper == Protocol::tcp;
    EXPECT_EQ(flow.protocol, shape.upper) << shape.name;
    EXPECT_EQ(flow.source_port, ports ? 1 : 0) << shape.name;
    EXPECT_EQ(flow.destination_port, ports ? 2 : 0) << shape.name;
  }
}

TEST(Classify, WhatIsNoIpPacketPasses) {
  const Bytes kFrames[] = {
      kArp, ethernet_frame({}, EtherType{0x88cc}, Bytes(10, 0)),
      ethernet_frame({}, EtherType{0x0026}, Bytes(38, 0)),  // IEEE 802.3 length
      ethernet_frame({}, EtherType::arp, {})};
  for (const Bytes& frame : kFrames) {
    ExactPacket exact(frame);
    EXPECT_TRUE(classify(exact.packet).is_pass());
    EXPECT_EQ(exact.packet.kind, PacketKind::not_ip);
    EXPECT_EQ(exact.packet.length, frame.size());
  }
}

struct Refusal {
  std::string name;
  Drop reason;
  Bytes frame;
};

Bytes changed(Bytes frame, size_t offset, std::initializer_list<uint8_t> bytes) {
  std::copy(bytes.begin(), bytes.end(), frame.begin() + static_cast<std::ptrdiff_t>(offset));
  return frame;
}

const std::vector<Refusal>& refusals() {
  const Bytes udp4 = v4().udp(1, 2).payload(8).frame();
  const Bytes udp6 = v6().udp(1, 2).payload(8).frame();
  const Bytes routed = v6().routing(8).udp(1, 2).frame();
  static const std::vector<Refusal> kRefusals = {
      {"no frame", Drop::runt, {}},
      {"tag cut off", Drop::runt, cut(v4().vlan(1).udp(1, 2).frame(), 17)},
      {"third tag", Drop::malformed_ip, v4().vlan(1).vlan(2).vlan(3).udp(1, 2).frame()},
      {"v6 behind the EtherType of v4", Drop::malformed_ip, changed(udp4, 14, {0x65})},
      {"v4 behind the EtherType of v6", Drop::malformed_ip, changed(udp6, 14, {0x45})},
      {"v4 header of 16 bytes", Drop::malformed_ip, changed(udp4, 14, {0x44})},
      {"v4 header longer than the packet", Drop::malformed_ip, changed(udp4, 14, {0x4f})},
      {"v4 total shorter than the header", Drop::malformed_ip, changed(udp4, 16, {0, 19})},
      {"v4 total longer than the frame", Drop::runt, changed(udp4, 16, {0, 37})},
      {"v4 header longer than the frame", Drop::runt,
       changed(cut(v4().ip_options(Bytes(20, 1)).frame(), 50), 16, {0, 40})},
      {"v6 length longer than the frame", Drop::runt, changed(udp6, 18, {0, 17})},
      {"v6 source that is an IPv4 address", Drop::malformed_ip,
       changed(udp6, 22, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff})},
      {"v6 destination that is an IPv4 address", Drop::malformed_ip,
       changed(udp6, 38, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff})},
      {"hop-by-hop second", Drop::malformed_extension_header,
       v6().routing().hop_by_hop().udp(1, 2).frame()},
      {"hop-by-hop twice", Drop::malformed_extension_header,
       v6().hop_by_hop().hop_by_hop().udp(1, 2).frame()},
      {"nine extension headers", Drop::malformed_extension_header,
       v6().routing(8)
           .routing(8)
           .routing(8)
           .routing(8)
           .routing(8)
           .routing(8)
           .routing(8)
           .routing(8)
           .routing(8)
           .udp(1, 2)
           .frame()},
      {"nine destination options", Drop::malformed_extension_header,
       v6().extension(Protocol::destination_options)
           .extension(Protocol::destination_options)
           .extension(Protocol::destination_options)
           .extension(Protocol::destination_options)
           .extension(Protocol::destination_options)
           .extension(Protocol::destination_options)
           .extension(Protocol::destination_options)
           .extension(Protocol::destination_options)
           .extension(Protocol::destination_options)
           .udp(1, 2)
           .frame()},
      {"extension header over the end", Drop::malformed_extension_header, changed(routed, 55, {2})},
      {"extension header far over the end", Drop::malformed_extension_header,
       changed(routed, 55, {0xff})},
      {"extension header outside the packet", Drop::malformed_extension_header,
       changed(routed, 18, {0, 0})},  // RFC 2675: a jumbogram has length 0
      {"extension header into the Ethernet padding", Drop::malformed_extension_header,
       changed(v6().routing(8).content(Protocol::none, {}).frame_padding(46).frame(), 55, {1})},
  };
  return kRefusals;
}

TEST(Classify, RefusesWhatCannotBe) {
  for (const Refusal& refusal : refusals()) {
    ExactPacket exact(refusal.frame);
    const Verdict verdict = classify(exact.packet);
    ASSERT_FALSE(verdict.is_pass()) << refusal.name;
    EXPECT_EQ(drop_info(verdict.reason()).name, drop_info(refusal.reason).name) << refusal.name;
  }
}

// Of an IPv6 fragment the payload starts at the Fragment header, whatever stands before it: RFC
// 8200 4.1 wants extension headers taken in any order.
TEST(Classify, FindsWhereAFragmentBegins) {
  const struct {
    const char* name;
    PacketBuilder packet;
    size_t payload_offset;
    size_t next_header_offset;
  } kRows[] = {
      {"v4 first", v4().fragment_bits(0x2000).udp(1, 2), 34, 23},
      {"v4 last", v4().fragment_bits(0x0001).udp(1, 2), 34, 23},
      {"v4 of ESP, options",
       v4().fragment_bits(0x6000).ip_options(Bytes(8, 1)).content(Protocol::esp, kEsp), 42, 23},
      {"v6", v6().fragment_header().udp(1, 2), 54, 20},
      {"v6 behind others",
       v6().hop_by_hop().routing().fragment_header().content(Protocol::esp, kEsp), 86, 62},
      {"v6 behind destination options without routing",
       v6().vlan(1).destination_options(16).fragment_header().udp(1, 2), 74, 58},
      {"v6 behind destination options and routing",
       v6().destination_options().routing().fragment_header().udp(1, 2), 86, 62},
  };
  for (const auto& row : kRows) {
    ExactPacket exact(row.packet.frame());
    ASSERT_TRUE(classify(exact.packet).is_pass()) << row.name;
    EXPECT_EQ(exact.packet.kind, PacketKind::fragment) << row.name;
    EXPECT_EQ(exact.packet.payload_offset, row.payload_offset) << row.name;
    EXPECT_EQ(exact.packet.next_header_offset, row.next_header_offset) << row.name;
    EXPECT_EQ(exact.packet.length, row.packet.frame().size()) << row.name;
  }
}

// RFC 792: of a quoted fragment the rest may be anything.
TEST(ClassifyQuoted, RefusesFragments) {
  for (const PacketBuilder& packet :
       {v4().fragment_bits(0x2000).udp(1, 2), v6().fragment_header().udp(1, 2)}) {
    ExactPacket exact(packet.ip_packet());
    EXPECT_EQ(classify_quoted(exact.packet).reason(), Drop::fragment);
  }
}

TEST(Classify, EveryTruncationIsARunt) {
  for (const Shape& shape : shapes()) {
    for (size_t size = 0; size < shape.frame.size(); ++size) {
      ExactPacket exact(cut(shape.frame, size));
      const Verdict verdict = classify(exact.packet);
      ASSERT_FALSE(verdict.is_pass()) << shape.name << ", " << size;
      EXPECT_EQ(verdict.reason(), Drop::runt) << shape.name << ", " << size;
    }
  }
}

// The frame cut, and the IP header saying so: the transport header is what ends too early.
TEST(ReadFlow, DropsWhatEndsInsideItsTransportHeader) {
  for (const size_t padding : {0u, 46u}) {  // ports must not be read from Ethernet's padding either
    for (const auto& [protocol, header_bytes] :
         {std::pair{Protocol::udp, sizeof(UdpHeader)}, {Protocol::tcp, sizeof(TcpHeader)}}) {
      for (size_t bytes = 0; bytes <= header_bytes; ++bytes) {
        for (PacketBuilder builder : {v4(), v6(), v6().destination_options()}) {
          builder.content(protocol, Bytes(bytes, 7)).frame_padding(padding);
          ExactPacket exact(builder.frame());
          ASSERT_TRUE(classify(exact.packet).is_pass());
          Flow flow;
          const Verdict verdict = read_flow(exact.packet, flow);
          EXPECT_EQ(verdict.is_pass(), bytes == header_bytes) << bytes;
          if (!verdict.is_pass()) {
            EXPECT_EQ(verdict.reason(), Drop::transport_runt);
          }
        }
      }
    }
  }
}

TEST(Classify, CutsEspFramesToTheIpPacketAndLeavesOthersAlone) {
  for (PacketBuilder builder : {v4(), v6()}) {
    const Bytes esp = builder.content(Protocol::esp, kEsp).frame();
    ExactPacket padded_esp(builder.frame_padding(13).frame());
    ASSERT_TRUE(classify(padded_esp.packet).is_pass());
    EXPECT_EQ(padded_esp.packet.length, esp.size());
    ExactPacket padded_udp(builder.udp(1, 2).frame());
    const uint16_t length = padded_udp.packet.length;
    ASSERT_TRUE(classify(padded_udp.packet).is_pass());
    EXPECT_EQ(padded_udp.packet.length, length);
    trim_to_ip(padded_udp.packet);
    EXPECT_EQ(padded_udp.packet.length, length - 13);
  }
}

// RFC 792, RFC 4443 2.4: an error quotes as much as fits. What is left is understood up to its end.
TEST(ClassifyQuoted, TakesAPacketThatIsCutOffBehindItsHeaders) {
  for (const Shape& shape : shapes()) {
    const Bytes ip(shape.frame.begin() + static_cast<std::ptrdiff_t>(shape.ip_offset),
                   shape.frame.end());
    const size_t headers = shape.upper_offset - shape.ip_offset;
    for (size_t size = 0; size <= ip.size(); ++size) {
      ExactPacket exact(cut(ip, size));
      UpperLayer upper;
      const bool understood = classify_quoted(exact.packet).is_pass() &&
                              find_upper_layer(exact.packet, upper).is_pass();
      EXPECT_EQ(understood, size >= headers) << shape.name << ", " << size;
      if (understood) {
        EXPECT_EQ(upper.offset, headers) << shape.name;
      }
      EXPECT_LE(exact.packet.length, size) << shape.name;
    }
  }
}

// What must hold of anything that passes, or a later stage reads outside the frame.
void check_offsets(const Bytes& frame) {
  ExactPacket exact(frame);
  Packet& packet = exact.packet;
  if (!classify(packet).is_pass() || packet.kind == PacketKind::not_ip) return;
  Fragment fragment;
  if (packet.kind == PacketKind::fragment) {
    if (read_fragment(packet, fragment).is_pass()) {
      ASSERT_LT(fragment.offset, packet.length);
    }
    return;
  }
  ASSERT_LE(packet.length, frame.size());
  ASSERT_LE(packet.payload_offset, packet.length);
  ASSERT_LT(packet.next_header_offset, packet.payload_offset);
  UpperLayer upper;
  Flow flow;
  if (!find_upper_layer(packet, upper).is_pass()) return;
  ASSERT_LE(upper.offset, packet.length);
  if (!read_flow(packet, upper, flow).is_pass()) return;
  trim_to_ip(packet);
  ASSERT_LE(packet.length, frame.size());
  ASSERT_LE(upper.offset, packet.length);
}

TEST(Classify, EveryValueOfEveryHeaderByteKeepsItsOffsetsInside) {
  for (const Shape& shape : shapes()) {
    for (size_t offset = 0; offset < shape.upper_offset; ++offset) {
      for (int value = 0; value < 256; ++value) {
        Bytes frame = shape.frame;
        frame[offset] = static_cast<uint8_t>(value);
        ASSERT_NO_FATAL_FAILURE(check_offsets(frame)) << shape.name << ", " << offset;
      }
    }
  }
}

TEST(Classify, MutatedFramesKeepTheirOffsetsInside) {
  std::minstd_rand random(1);
  for (int round = 0; round < 100'000; ++round) {
    Bytes frame = shapes()[random() % shapes().size()].frame;
    for (auto changes = random() % 6; changes > 0; --changes) {
      frame[12 + random() % (frame.size() - 12)] = static_cast<uint8_t>(random() >> 8);
    }
    ASSERT_NO_FATAL_FAILURE(check_offsets(cut(frame, frame.size() - random() % 4)));
  }
}

}  // namespace
}  // namespace gmesp
