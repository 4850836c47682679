// SPDX-License-Identifier: BSD-3-Clause
// Frames for tests, header by header, with right lengths and checksums:
// PacketBuilder().vlan(7).ip(ue, pcscf).udp(5100, 6101).payload("REGISTER").frame(). The same
// builder with esp() gives the protected packet, sealed by reference_esp.h, so a test has both
// sides of a path from one description.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/wire.h"
#include "tests/reference_esp.h"
#include "tests/test_sa.h"

namespace gmesp {

using Frame = Bytes;

constexpr uint8_t kTcpSyn = 0x02;
constexpr uint8_t kTcpAck = 0x10;

inline void append(Bytes& bytes, const Bytes& more) {
  // Not insert(): g++ 12 warns of its inlined copy at -O3 (-Warray-bounds, a false alarm).
  for (const uint8_t byte : more) bytes.push_back(byte);
}

inline Bytes concat(Bytes first, const Bytes& second) {
  append(first, second);
  return first;
}

template <typename Header>
Bytes bytes_of_header(const Header& header) {
  const auto* const begin = reinterpret_cast<const uint8_t*>(&header);
  return Bytes(begin, begin + sizeof header);
}

// RFC 1071: as the sender computes it, over a checksum field of 0.
inline uint16_t internet_checksum(const Bytes& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) sum += uint32_t{bytes[i]} << (i % 2 == 0 ? 8 : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

// A frame with the MAC addresses that every test frame has.
inline Frame ethernet_frame(const Bytes& tags, EtherType type, const Bytes& content) {
  Frame frame{0x02, 0, 0, 0, 0, 0x0a, 0x02, 0, 0, 0, 0, 0x0b};
  append(frame, tags);
  append(frame, bytes_of_header(Be16(static_cast<uint16_t>(type))));
  append(frame, content);
  return frame;
}

inline Frame ip_frame(const Bytes& ip_packet) {
  return ethernet_frame({}, ip_packet[0] >> 4 == 4 ? EtherType::ipv4 : EtherType::ipv6, ip_packet);
}

constexpr uint16_t kArpRequest = 1;
constexpr uint16_t kArpReply = 2;

// RFC 826, of IPv4 over Ethernet.
inline Frame arp_frame(uint16_t operation, const Address& sender, const Address& target,
                       const Bytes& tags = {}) {
  Bytes arp{0, 1, 8, 0, 6, 4, 0, static_cast<uint8_t>(operation), 0x02, 0, 0, 0, 0, 0x0b};
  append(arp, Bytes(sender.bytes.begin() + 12, sender.bytes.end()));
  append(arp, operation == kArpReply ? Bytes{0x02, 0, 0, 0, 0, 0x0a} : Bytes(6));
  append(arp, Bytes(target.bytes.begin() + 12, target.bytes.end()));
  return ethernet_frame(tags, EtherType::arp, arp);
}

class PacketBuilder {
 public:
  PacketBuilder& vlan(uint16_t control, EtherType tag = EtherType::vlan) {
    append(tags_, bytes_of_header(Be16(static_cast<uint16_t>(tag))));
    append(tags_, bytes_of_header(Be16(control)));
    return *this;
  }
  PacketBuilder& ip(const Address& source, const Address& destination) {
    source_ = source;
    destination_ = destination;
    return *this;
  }
  // IPv4: a multiple of 4 bytes.
  PacketBuilder& ip_options(Bytes options) {
    ip_options_ = std::move(options);
    return *this;
  }
  PacketBuilder& fragment_bits(uint16_t flags_and_offset) {
    fragment_bits_ = flags_and_offset;
    return *this;
  }
  // IPv6 headers in the order of the calls; those before inside() stay in front of ESP.
  PacketBuilder& extension(Protocol protocol, size_t bytes = 8) {
    Bytes header(bytes);
    for (size_t i = 2; i < bytes; ++i) header[i] = static_cast<uint8_t>(bytes + i);
    if (protocol == Protocol::fragment) std::fill(header.begin(), header.end(), uint8_t{0});
    if (protocol != Protocol::fragment) header[1] = static_cast<uint8_t>(bytes / 8 - 1);
    (inside_ ? inner_ : outer_).push_back({protocol, header});
    return *this;
  }
  PacketBuilder& hop_by_hop(size_t bytes = 8) { return extension(Protocol::hop_by_hop, bytes); }
  PacketBuilder& routing(size_t bytes = 24, uint8_t segments_left = 0) {
    extension(Protocol::routing, bytes);
    (inside_ ? inner_ : outer_).back().second[3] = segments_left;
    return *this;
  }
  PacketBuilder& destination_options(size_t bytes = 8) {
    return extension(Protocol::destination_options, bytes);
  }
  PacketBuilder& fragment_header() { return extension(Protocol::fragment); }
  PacketBuilder& inside() {
    inside_ = true;
    return *this;
  }
  PacketBuilder& udp(uint16_t source_port, uint16_t destination_port) {
    protocol_ = Protocol::udp;
    transport_ = bytes_of_header(UdpHeader{Be16(source_port), Be16(destination_port), {}, {}});
    return *this;
  }
  PacketBuilder& tcp(uint16_t source_port, uint16_t destination_port, uint8_t flags = kTcpAck,
                     const Bytes& options = {}) {
    protocol_ = Protocol::tcp;
    const auto words = static_cast<uint8_t>((sizeof(TcpHeader) + options.size()) / 4);
    transport_ = bytes_of_header(TcpHeader{Be16(source_port), Be16(destination_port), Be32(1000),
                                           Be32(2000), static_cast<uint8_t>(words << 4), flags,
                                           Be16(65535), Be16(0), Be16(0)});
    append(transport_, options);
    return *this;
  }
  // ICMP or ICMPv6, as the addresses say.
  PacketBuilder& icmp(int type, const Bytes& body = {}) { return icmp_error(type, 0, 0, body); }
  PacketBuilder& icmp_error(int type, int code, uint32_t rest, const Bytes& quoted) {
    protocol_ = source_.is_v4() ? Protocol::icmp : Protocol::icmpv6;
    transport_ =
        concat(bytes_of_header(IcmpHeader{static_cast<uint8_t>(type), static_cast<uint8_t>(code),
                                          Be16(0), Be32(rest)}),
               quoted);
    return *this;
  }
  PacketBuilder& content(Protocol protocol, Bytes bytes) {
    protocol_ = protocol;
    transport_ = std::move(bytes);
    return *this;
  }
  PacketBuilder& payload(std::string_view text) {
    payload_.assign(text.begin(), text.end());
    return *this;
  }
  PacketBuilder& payload(size_t bytes) {
    payload_ = counting_bytes(bytes, 3);
    return *this;
  }
  // Behind the IP packet: what Ethernet pads a short frame with.
  PacketBuilder& frame_padding(size_t bytes) {
    frame_padding_ = bytes;
    return *this;
  }

  // Protected from here on, with the least default padding unless told otherwise.
  PacketBuilder& esp(const TestSa& sa, uint32_t sequence_number) {
    sa_ = sa;
    sequence_number_ = sequence_number;
    return *this;
  }
  PacketBuilder& esp_padding(Bytes padding) {
    padding_ = std::move(padding);
    return *this;
  }
  PacketBuilder& esp_next_header(Protocol protocol) {
    esp_next_header_ = protocol;
    return *this;
  }
  // RFC 4303 2.7: between the payload and the padding.
  PacketBuilder& traffic_flow_padding(Bytes bytes) {
    traffic_flow_padding_ = std::move(bytes);
    return *this;
  }

  Frame frame() const {
    Frame frame =
        ethernet_frame(tags_, source_.is_v4() ? EtherType::ipv4 : EtherType::ipv6, ip_packet());
    frame.resize(frame.size() + frame_padding_, 0);
    return frame;
  }
  // Where ESP starts in the frame: behind what stays in front of it.
  size_t esp_offset() const {
    size_t offset = sizeof(EthernetHeader) + tags_.size();
    offset += source_.is_v4() ? sizeof(Ipv4Header) + ip_options_.size() : sizeof(Ipv6Header);
    for (const auto& [protocol, header] : outer_) offset += header.size();
    return offset;
  }
  Bytes ip_packet() const {
    Protocol protocol = protocol_;
    Bytes content = chain(inner_, protocol, with_checksum());
    if (sa_) {
      content = protect(content, protocol);
      protocol = Protocol::esp;
    }
    content = chain(outer_, protocol, content);
    return source_.is_v4() ? ipv4_packet(protocol, content) : ipv6_packet(protocol, content);
  }

 private:
  using Extensions = std::vector<std::pair<Protocol, Bytes>>;

  // Puts the headers in front; `protocol` is what the content is, then what the first header is.
  static Bytes chain(const Extensions& extensions, Protocol& protocol, Bytes content) {
    for (auto it = extensions.rbegin(); it != extensions.rend(); ++it) {
      Bytes header = it->second;
      header[0] = static_cast<uint8_t>(protocol);
      content = concat(header, content);
      protocol = it->first;
    }
    return content;
  }

  Bytes protect(const Bytes& payload, Protocol protocol) const {
    const SuiteInfo& info = suite_info(sa_->suite);
    Bytes plain = bytes_of_header(EspHeader{Be32(sa_->spi), Be32(sequence_number_)});
    append(plain, counting_bytes(info.iv_bytes, sequence_number_));
    append(plain, payload);
    append(plain, traffic_flow_padding_);
    Bytes padding = padding_.value_or(Bytes{});
    const size_t unpadded = payload.size() + traffic_flow_padding_.size() + 2;
    while (!padding_ && (unpadded + padding.size()) % info.alignment_bytes != 0) {
      padding.push_back(static_cast<uint8_t>(padding.size() + 1));
    }
    append(plain, padding);
    plain.push_back(static_cast<uint8_t>(padding.size()));
    plain.push_back(static_cast<uint8_t>(esp_next_header_.value_or(protocol)));
    return reference::seal(sa_->suite, sa_->keys(), plain);
  }

  Bytes with_checksum() const {
    Bytes bytes = concat(transport_, payload_);
    const size_t at = checksum_offset();
    if (at == 0) return bytes;
    if (protocol_ == Protocol::udp) {
      bytes[4] = static_cast<uint8_t>(bytes.size() >> 8);
      bytes[5] = static_cast<uint8_t>(bytes.size());
    }
    const uint16_t sum = internet_checksum(
        protocol_ == Protocol::icmp ? bytes : concat(pseudo_header(bytes.size()), bytes));
    const uint16_t checksum = sum == 0 && protocol_ == Protocol::udp ? 0xffff : sum;  // RFC 768
    bytes[at] = static_cast<uint8_t>(checksum >> 8);
    bytes[at + 1] = static_cast<uint8_t>(checksum);
    return bytes;
  }
  size_t checksum_offset() const {  // 0: none
    if (protocol_ == Protocol::udp && transport_.size() == sizeof(UdpHeader)) return 6;
    if (protocol_ == Protocol::tcp && transport_.size() >= sizeof(TcpHeader)) return 16;
    const bool icmp = protocol_ == Protocol::icmp || protocol_ == Protocol::icmpv6;
    return icmp && transport_.size() >= sizeof(IcmpHeader) ? 2 : 0;
  }
  // Only the sum counts, so the order and the width of its fields are free (RFC 9293 3.1).
  Bytes pseudo_header(size_t transport_bytes) const {
    Bytes bytes = concat(address_bytes(source_), address_bytes(destination_));
    append(bytes, bytes_of_header(Be16(static_cast<uint16_t>(transport_bytes))));
    append(bytes, {0, static_cast<uint8_t>(protocol_)});
    return bytes;
  }
  static Bytes address_bytes(const Address& address) {
    return Bytes(address.bytes.begin() + (address.is_v4() ? 12 : 0), address.bytes.end());
  }

  Bytes ipv4_packet(Protocol protocol, const Bytes& content) const {
    const size_t header_bytes = sizeof(Ipv4Header) + ip_options_.size();
    Ipv4Header ip{};
    ip.version_and_ihl = static_cast<uint8_t>(0x40 | header_bytes / 4);
    ip.type_of_service = 0x2e;
    ip.total_length = Be16(static_cast<uint16_t>(header_bytes + content.size()));
    ip.identification = Be16(0x1234);
    ip.flags_and_fragment_offset = Be16(fragment_bits_);
    ip.time_to_live = 63;
    ip.protocol = protocol;
    std::copy_n(source_.bytes.begin() + 12, 4, ip.source);
    std::copy_n(destination_.bytes.begin() + 12, 4, ip.destination);
    Bytes header = concat(bytes_of_header(ip), ip_options_);
    const uint16_t checksum = internet_checksum(header);
    header[offsetof(Ipv4Header, header_checksum)] = static_cast<uint8_t>(checksum >> 8);
    header[offsetof(Ipv4Header, header_checksum) + 1] = static_cast<uint8_t>(checksum);
    return concat(header, content);
  }
  Bytes ipv6_packet(Protocol protocol, const Bytes& content) const {
    Ipv6Header ip{};
    ip.version_class_flow = Be32(0x60a12345);
    ip.payload_length = Be16(static_cast<uint16_t>(content.size()));
    ip.next_header = protocol;
    ip.hop_limit = 63;
    std::copy(source_.bytes.begin(), source_.bytes.end(), ip.source);
    std::copy(destination_.bytes.begin(), destination_.bytes.end(), ip.destination);
    return concat(bytes_of_header(ip), content);
  }

  Bytes tags_, ip_options_, transport_, payload_, traffic_flow_padding_;
  Address source_ = kUe6, destination_ = kPcscf6;
  uint16_t fragment_bits_ = 0x4000;  // don't fragment, as Linux sends
  Extensions outer_, inner_;
  bool inside_ = false;
  Protocol protocol_ = Protocol::none;
  size_t frame_padding_ = 0;
  std::optional<TestSa> sa_;
  uint32_t sequence_number_ = 0;
  std::optional<Bytes> padding_;
  std::optional<Protocol> esp_next_header_;
};

}  // namespace gmesp
