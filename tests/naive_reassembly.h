// SPDX-License-Identifier: BSD-3-Clause
// What a receiver makes of fragments, written down from RFC 791 3.2 and RFC 8200 4.5 without a look
// at dataplane/: the oracle for what the engine cuts.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "tests/packet_builder.h"

namespace gmesp {

inline uint32_t number_at(const Frame& frame, size_t at, size_t bytes) {
  uint32_t number = 0;
  for (size_t i = 0; i < bytes; ++i) number = number << 8 | frame.at(at + i);
  return number;
}
inline void put_number(Frame& frame, size_t at, uint32_t number) {
  frame.at(at) = static_cast<uint8_t>(number >> 8);
  frame.at(at + 1) = static_cast<uint8_t>(number);
}

// Of one frame: where its IP header is, and what it says of its place in a datagram.
struct FragmentView {
  explicit FragmentView(const Frame& frame) {
    while (number_at(frame, ip - 2, 2) == 0x8100 || number_at(frame, ip - 2, 2) == 0x88a8) ip += 4;
    ipv4 = frame.at(ip) >> 4 == 4;
    ipv4 ? read_ipv4(frame) : read_ipv6(frame);
  }

  size_t ip = 14;
  bool ipv4 = false;
  bool is_fragment = false;
  bool dont_fragment = false;
  bool more = false;
  size_t offset = 0;
  uint32_t identification = 0;
  size_t payload = 0;          // where this fragment's piece starts
  size_t fragment_header = 0;  // IPv6
  size_t named_by = 0;         // IPv6: the byte that names it

 private:
  void read_ipv4(const Frame& frame) {
    const size_t header_bytes = (frame.at(ip) & 0xfu) * 4;
    const uint32_t flags = number_at(frame, ip + 6, 2);
    dont_fragment = (flags & 0x4000) != 0;
    more = (flags & 0x2000) != 0;
    offset = (flags & 0x1fff) * 8;
    is_fragment = more || offset != 0;
    identification = number_at(frame, ip + 4, 2);
    payload = ip + header_bytes;
    EXPECT_EQ(internet_checksum(Bytes(frame.begin() + static_cast<std::ptrdiff_t>(ip),
                                      frame.begin() + static_cast<std::ptrdiff_t>(payload))),
              0);
    EXPECT_EQ(number_at(frame, ip + 2, 2), frame.size() - ip) << "total length";
  }
  void read_ipv6(const Frame& frame) {
    EXPECT_EQ(number_at(frame, ip + 4, 2) + 40, frame.size() - ip) << "payload length";
    named_by = ip + 6;
    payload = ip + 40;
    while (frame.at(named_by) == 0 || frame.at(named_by) == 43 || frame.at(named_by) == 60) {
      named_by = payload;
      payload += (size_t{frame.at(payload + 1)} + 1) * 8;
    }
    if (frame.at(named_by) != 44) return;
    is_fragment = true;
    fragment_header = payload;
    EXPECT_EQ(frame.at(payload + 1), 0) << "reserved";
    EXPECT_EQ(frame.at(payload + 3) & 6, 0) << "reserved";
    offset = number_at(frame, payload + 2, 2) & 0xfff8;
    more = (frame.at(payload + 3) & 1) != 0;
    identification = number_at(frame, payload + 4, 4);
    payload += 8;
  }
};

// The datagram of these fragments, in whatever order they are: the first one's headers, without
// fragment flags or Fragment header, its IPv4 identification and checksum 0. Fails unless each fits
// the MTU, none says DF, all have one identification, and they meet without gap or overlap.
inline Frame reassembled(const std::vector<Frame>& frames, size_t mtu) {
  std::map<size_t, Bytes> pieces;
  Frame headers;
  size_t ip = 0;
  for (const Frame& frame : frames) {
    const FragmentView view(frame);
    EXPECT_LE(frame.size() - view.ip, mtu);
    EXPECT_TRUE(view.is_fragment);
    EXPECT_FALSE(view.dont_fragment);
    EXPECT_EQ(view.identification, FragmentView(frames[0]).identification);
    const Bytes piece(frame.begin() + static_cast<std::ptrdiff_t>(view.payload), frame.end());
    EXPECT_FALSE(piece.empty());
    EXPECT_TRUE(!view.more || piece.size() % 8 == 0);
    EXPECT_TRUE(pieces.emplace(view.offset, piece).second) << "twice";
    EXPECT_EQ(view.more, &frame != &frames.back()) << "in order, as they are sent";
    if (view.offset != 0) continue;
    ip = view.ip;
    headers.assign(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(view.payload));
    if (view.ipv4) continue;
    headers.at(view.named_by) = headers.at(view.fragment_header);
    headers.resize(view.fragment_header);
  }
  Frame whole = headers;
  size_t expected = 0;
  for (const auto& [offset, piece] : pieces) {
    EXPECT_EQ(offset, expected) << "gap or overlap";
    expected += piece.size();
    append(whole, piece);
  }
  if (whole.empty()) return whole;
  const bool ipv4 = whole.at(ip) >> 4 == 4;
  put_number(whole, ipv4 ? ip + 2 : ip + 4,
             static_cast<uint32_t>(whole.size() - ip - (ipv4 ? 0 : 40)));
  if (ipv4) {
    for (const size_t field : {4u, 6u, 10u}) put_number(whole, ip + field, 0);
  }
  return whole;
}

// A whole datagram's frame as reassembled() gives it.
inline Frame without_fragment_fields(Frame frame) {
  const size_t ip = FragmentView(frame).ip;
  if (frame.at(ip) >> 4 == 4) {
    for (const size_t field : {4u, 6u, 10u}) put_number(frame, ip + field, 0);
  }
  return frame;
}

}  // namespace gmesp
