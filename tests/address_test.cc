// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/address.h"

#include <gtest/gtest.h>

namespace gmesp {
namespace {

using namespace std::string_view_literals;

TEST(Address, TextOfBothFamiliesComesBackInItsShortForm) {
  struct Row {
    std::string_view text;
    std::string_view shown;
    bool v4;
  };
  constexpr Row kRows[] = {
      {"192.0.2.1", "192.0.2.1", true},
      {"0.0.0.0", "0.0.0.0", true},
      {"255.255.255.255", "255.255.255.255", true},
      {"::", "::", false},
      {"2001:db8::1", "2001:db8::1", false},
      {"2001:0DB8:0:0:0:0:0:1", "2001:db8::1", false},
      {"fe80::1:2:3:4", "fe80::1:2:3:4", false},
      {"::ffff:192.0.2.1", "192.0.2.1", true},  // RFC 4291 2.5.5.2: the same address
      {"::192.0.2.1", "::192.0.2.1", false},    // but not this one
  };
  for (const Row& row : kRows) {
    const auto address = parse_address(row.text);
    ASSERT_TRUE(address) << row.text;
    EXPECT_EQ(to_string(*address), row.shown);
    EXPECT_EQ(address->is_v4(), row.v4) << row.text;
    EXPECT_TRUE(parse_address(row.shown) == address);
  }
}

TEST(Address, NothingElseIsAnAddress) {
  constexpr std::string_view kRows[] = {
      ""sv,           " "sv,           "192.0.2"sv,      "192.0.2.256"sv, "192.0.2.1.1"sv,
      "192.0.2.1 "sv, " 192.0.2.1"sv,  "192.0.2.1/32"sv, "192.0.2.01x"sv, "0x7f.1"sv,
      ":"sv,          ":::"sv,         "1::2::3"sv,      "2001:db8::g"sv, "[2001:db8::1]"sv,
      "fe80::1%0"sv,  "12345::"sv,     "localhost"sv,    "192.0.2.1\0"sv, "192.0.2.1\0junk"sv,
      "\0"sv,         "2001:db8::\0"sv};
  for (const auto text : kRows) EXPECT_FALSE(parse_address(text)) << text;
}

TEST(Address, BytesOfTheWireGiveTheSameAddressAsText) {
  const uint8_t v4[] = {192, 0, 2, 1};
  const uint8_t v6[] = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  EXPECT_TRUE(Address::v4(v4) == parse_address("192.0.2.1"));
  EXPECT_TRUE(Address::v6(v6) == parse_address("2001:db8::1"));
  EXPECT_FALSE(Address::v4(v4) == Address::v6(v6));
}

TEST(Address, EveryByteCounts) {
  const Address address = *parse_address("2001:db8::1");
  for (size_t i = 0; i < 16; ++i) {
    Address other = address;
    other.bytes[i] ^= 0x40;
    EXPECT_FALSE(other == address) << i;
  }
}

struct Containment {
  std::string_view prefix;
  std::string_view address;
  bool contained;
};

class PrefixContains : public testing::TestWithParam<Containment> {};

TEST_P(PrefixContains, Address) {
  const auto prefix = parse_prefix(GetParam().prefix);
  ASSERT_TRUE(prefix) << GetParam().prefix;
  EXPECT_EQ(prefix->contains(*parse_address(GetParam().address)), GetParam().contained)
      << GetParam().prefix << " and " << GetParam().address;
}

INSTANTIATE_TEST_SUITE_P(
    Rows, PrefixContains,
    testing::Values(Containment{"198.51.100.0/24", "198.51.100.255", true},
                    Containment{"198.51.100.0/24", "198.51.101.0", false},
                    Containment{"198.51.100.77/24", "198.51.100.1", true},  // host bits ignored
                    Containment{"198.51.100.128/25", "198.51.100.127", false},
                    Containment{"198.51.100.128/25", "198.51.100.128", true},
                    Containment{"198.51.100.8/31", "198.51.100.9", true},
                    Containment{"198.51.100.8/31", "198.51.100.10", false},
                    Containment{"198.51.100.8", "198.51.100.8", true},
                    Containment{"198.51.100.8", "198.51.100.9", false},
                    Containment{"198.51.100.8/32", "198.51.100.9", false},
                    Containment{"0.0.0.0/0", "255.1.2.3", true},
                    Containment{"0.0.0.0/0", "2001:db8::1", false},
                    Containment{"2001:db8::/32", "2001:db8:ffff::1", true},
                    Containment{"2001:db8::/32", "2001:db9::1", false},
                    Containment{"2001:db8::/33", "2001:db8:7fff::1", true},
                    Containment{"2001:db8::/33", "2001:db8:8000::1", false},
                    Containment{"2001:db8::1/128", "2001:db8::1", true},
                    Containment{"2001:db8::1/128", "2001:db8::2", false},
                    Containment{"2001:db8::/127", "2001:db8::1", true},
                    Containment{"::/0", "2001:db8::1", true},
                    // IPv4 is held as ::ffff:a.b.c.d, which no IPv6 prefix is meant to cover.
                    Containment{"::/0", "192.0.2.1", false},
                    Containment{"::/64", "192.0.2.1", false}));

TEST(Prefix, NothingElseIsAPrefix) {
  constexpr std::string_view kRows[] = {"",
                                        "/24",
                                        "192.0.2.0/",
                                        "192.0.2.0/33",
                                        "192.0.2.0/-1",
                                        "192.0.2.0/+1",
                                        "192.0.2.0/ 1",
                                        "192.0.2.0/1 ",
                                        "192.0.2.0/1x",
                                        "192.0.2.0/1/1",
                                        "192.0.2/24",
                                        "2001:db8::/129",
                                        "2001:db8::/4294967296",
                                        "2001:db8::/0x20"};
  for (const auto text : kRows) EXPECT_FALSE(parse_prefix(text)) << text;
}

// Bit by bit: /N holds what agrees in the first N bits.
TEST(Prefix, EveryLengthOfBothFamilies) {
  for (const auto& [text, most] : {std::pair{"198.51.100.7", 32}, {"2001:db8:1:2:3:4:5:6", 128}}) {
    const Address address = *parse_address(text);
    for (int bits = 0; bits <= most; ++bits) {
      const auto prefix = parse_prefix(std::string(text) + "/" + std::to_string(bits));
      ASSERT_TRUE(prefix);
      for (int flipped = 0; flipped < most; ++flipped) {
        Address other = address;
        const auto position = static_cast<size_t>(128 - most + flipped);
        other.bytes[position / 8] ^= static_cast<uint8_t>(0x80 >> position % 8);
        EXPECT_EQ(prefix->contains(other), flipped >= bits) << text << "/" << bits;
      }
    }
  }
}

}  // namespace
}  // namespace gmesp
