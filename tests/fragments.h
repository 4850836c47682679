// SPDX-License-Identifier: BSD-3-Clause
// Frames cut into fragments, byte by byte as RFC 791 3.2 and RFC 8200 4.5 say; nothing here asks
// the code under test. A fragment may also claim what no honest sender would.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/packet_builder.h"

namespace gmesp {

constexpr uint32_t kIdentification = 0x1234;  // PacketBuilder's own over IPv4

struct Cut {
  size_t start;  // in what is fragmented
  size_t end;
  bool more = true;
  uint32_t identification = kIdentification;
};

class Fragmenter {
 public:
  // IPv6: what the builder puts in front of inside() or ESP is the unfragmentable part.
  explicit Fragmenter(const PacketBuilder& builder)
      : whole_(builder.frame()), at_(builder.esp_offset()) {
    while (whole_.size() > at_ && ip() + ip_bytes() < whole_.size()) whole_.pop_back();
  }

  const Frame& whole() const { return whole_; }
  size_t bytes() const { return whole_.size() - at_; }  // that are fragmented

  Frame fragment(const Cut& cut) const {
    Bytes payload(cut.end - cut.start);
    for (size_t i = 0; i < payload.size() && cut.start + i < bytes(); ++i) {
      payload[i] = whole_[at_ + cut.start + i];
    }
    return fragment(cut, payload);
  }
  // Of any bytes.
  Frame fragment(const Cut& cut, const Bytes& payload) const {
    Frame frame(whole_.begin(), whole_.begin() + static_cast<std::ptrdiff_t>(at_));
    v4() ? be_ipv4_fragment(frame, cut, payload.size()) : be_ipv6_fragment(frame, cut, payload);
    append(frame, payload);
    return frame;
  }
  // All of it, cut behind these places.
  std::vector<Frame> fragments(const std::vector<size_t>& places,
                               uint32_t identification = kIdentification) const {
    std::vector<Frame> frames;
    size_t start = 0;
    for (const size_t place : places) {
      frames.push_back(fragment({start, place, true, identification}));
      start = place;
    }
    frames.push_back(fragment({start, bytes(), false, identification}));
    return frames;
  }
  // In pieces of so many bytes.
  std::vector<Frame> pieces(size_t piece, uint32_t identification = kIdentification) const {
    std::vector<size_t> places;
    for (size_t at = piece; at < bytes(); at += piece) places.push_back(at);
    return fragments(places, identification);
  }

 private:
  size_t ip() const {
    size_t at = 12;
    while (whole_[at] == 0x81 || whole_[at] == 0x88) at += 4;
    return at + 2;
  }
  bool v4() const { return whole_[ip()] >> 4 == 4; }
  size_t ip_bytes() const {
    return v4() ? whole_[ip() + 2] * 256u + whole_[ip() + 3]
                : 40 + whole_[ip() + 4] * 256u + whole_[ip() + 5];
  }
  static void write16(Frame& frame, size_t at, size_t value) {
    frame[at] = static_cast<uint8_t>(value >> 8);
    frame[at + 1] = static_cast<uint8_t>(value);
  }
  void be_ipv4_fragment(Frame& frame, const Cut& cut, size_t payload_bytes) const {
    write16(frame, ip() + 2, at_ - ip() + payload_bytes);
    write16(frame, ip() + 4, cut.identification);
    const size_t dont_fragment = frame[ip() + 6] & 0x40u;
    write16(frame, ip() + 6, dont_fragment << 8 | (cut.more ? 0x2000u : 0) | cut.start / 8);
    write16(frame, ip() + 10, 0);
    const Bytes header(frame.begin() + static_cast<std::ptrdiff_t>(ip()), frame.end());
    write16(frame, ip() + 10, internet_checksum(header));
  }
  void be_ipv6_fragment(Frame& frame, const Cut& cut, const Bytes& payload) const {
    size_t next_header = ip() + 6;
    for (size_t at = ip() + 40; at < at_; at += (frame[at + 1] + 1u) * 8) next_header = at;
    Bytes header{frame[next_header], 0};
    append(header, bytes_of_header(Be16(static_cast<uint16_t>(cut.start | (cut.more ? 1 : 0)))));
    append(header, bytes_of_header(Be32(cut.identification)));
    frame[next_header] = 44;
    append(frame, header);
    write16(frame, ip() + 4, frame.size() - ip() - 40 + payload.size());
  }

  Frame whole_;
  size_t at_;
};

}  // namespace gmesp
