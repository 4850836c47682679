// SPDX-License-Identifier: BSD-3-Clause
// An IP address of either family in 16 bytes; IPv4 is held as ::ffff:a.b.c.d (RFC 4291 2.5.5.2), so
// that selectors, tables and hashes know one form. Text is the control thread's business (parse,
// to_string).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace gmesp {

struct Address {
  std::array<uint8_t, 16> bytes{};

  static Address v4(const void* four_bytes) {
    Address address{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};
    std::memcpy(address.bytes.data() + 12, four_bytes, 4);
    return address;
  }
  static Address v6(const void* sixteen_bytes) {
    Address address;
    std::memcpy(address.bytes.data(), sixteen_bytes, 16);
    return address;
  }
  bool is_v4() const {
    static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::memcmp(bytes.data(), kMapped, sizeof kMapped) == 0;
  }
  bool is_link_local() const {  // RFC 4291 2.5.6
    return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
  }
  bool is_loopback_or_unspecified() const {  // RFC 1122 3.2.1.3: 0/8, 127/8; RFC 4291 2.5.2, 2.5.3
    if (is_v4()) return bytes[12] == 0 || bytes[12] == 127;
    static constexpr uint8_t kZeros[15] = {};
    return std::memcmp(bytes.data(), kZeros, sizeof kZeros) == 0 && bytes[15] <= 1;
  }
  // No one host's outside itself (RFC 6890 2.2): those, multicast and, of IPv4, 240/4.
  bool is_martian() const {
    return is_loopback_or_unspecified() || (is_v4() ? bytes[12] >= 224 : bytes[0] == 0xff);
  }
  // Fixed-size memcmp: a defaulted operator== on std::array becomes a library call with g++ 12.
  friend bool operator==(const Address& a, const Address& b) {
    return std::memcmp(&a, &b, sizeof a) == 0;
  }
};
static_assert(sizeof(Address) == 16, "a Selector with two of them fits the SA's one hot line");

std::optional<Address> parse_address(std::string_view text);  // "192.0.2.1" or "2001:db8::1"
std::string to_string(const Address& address);

// An address prefix, for policy: "198.51.100.0/24", "2001:db8::/32".
struct Prefix {
  Address address;
  uint8_t bits = 128;  // of the 16-byte form: IPv4 /24 is 96 + 24

  // In registers: each packet in clear is asked for several.
  bool contains(const Address& other) const {
    const uint64_t high = word(address, 0) ^ word(other, 0);
    const uint64_t low = word(address, 8) ^ word(other, 8);
    const bool same = bits < 64 ? bits == 0 || high >> (64 - bits) == 0
                                : high == 0 && (bits == 64 || low >> (128 - bits) == 0);
    // ::/0 is no IPv4 prefix; a longer one has the whole of what makes an address IPv4.
    return same && (bits >= 96 || address.is_v4() == other.is_v4());
  }
  bool contains(const Prefix& other) const {  // all of it
    return bits <= other.bits && contains(other.address);
  }
  friend bool operator==(const Prefix&, const Prefix&) = default;

 private:
  static uint64_t word(const Address& address, size_t at) {
    uint64_t wire = 0;
    std::memcpy(&wire, address.bytes.data() + at, sizeof wire);
    return __builtin_bswap64(wire);
  }
};
std::string to_string(const Prefix& prefix);                // of one host: its address
std::optional<Prefix> parse_prefix(std::string_view text);  // without "/N": one host

}  // namespace gmesp
