// SPDX-License-Identifier: BSD-3-Clause
// The known answers through the whole packet paths, on every code path of the crypto library.
#include <string>

#include "tests/path_lab.h"
#include "tests/vectors.h"

namespace gmesp {
namespace {

using nlohmann::json;

class PathVectors : public OnEveryInstructionSet {
 protected:
  static EspKeys annex_i_keys(Suite suite) {
    const json& expansion = vectors()["key_expansion"];
    const Bytes ck = from_hex(expansion, "CK"), ik = from_hex(expansion, "IK");
    return expand(suite, ImsKey(ck), ImsKey(ik));
  }

  static uint32_t spi_of(const std::string& hex) {
    return static_cast<uint32_t>(std::stoul(hex, nullptr, 16));
  }

  // UE to P-CSCF; protocol any, as IMS sets it up.
  static TestSa sa_of(const json& row, const Bytes& ip_packet) {
    const bool v4 = ip_packet[0] >> 4 == 4;
    return {suite_of(row),
            spi_of(row["spi"].get<std::string>()),
            {v4 ? kUe4 : kUe6, v4 ? kPcscf4 : kPcscf6, kUePort, kPcscfPort}};
  }

  static std::string describe(const json& row) {
    return row["alg"].get<std::string>() + ' ' + row["ealg"].get<std::string>() + ' ' +
           row["packet"].get<std::string>();
  }
};

TEST_P(PathVectors, InboundRestoresThePlainPacketByteForByte) {
  size_t rows = 0;
  for (const json& row : vectors()["derived_esp_transport"]) {
    const Bytes plain = from_hex(row, "plain_ip_packet");
    PathLab lab(open_policy(), {}, GetParam());
    const TestSa sa = sa_of(row, plain);
    lab.install_in(sa, annex_i_keys(sa.suite), 64, 0);
    EXPECT_EQ(lab.in(ip_frame(from_hex(row, "esp_ip_packet"))), passed(ip_frame(plain)))
        << describe(row);
    ++rows;
  }
  EXPECT_EQ(rows, 40u);
}

// All but the IV is fixed: the headers are compared as bytes, the rest after the reference has
// opened it; with no IV, every byte.
TEST_P(PathVectors, OutboundMakesThePacketOfTheVector) {
  size_t rows = 0;
  for (const json& row : vectors()["derived_esp_transport"]) {
    const Bytes plain = from_hex(row, "plain_ip_packet");
    const Frame expected = ip_frame(from_hex(row, "esp_ip_packet"));
    PathLab lab(open_policy(), {}, GetParam());
    const TestSa sa = sa_of(row, plain);
    lab.install_out(sa, annex_i_keys(sa.suite), row["seq"].get<uint32_t>() - 1);
    const Outcome outcome = lab.out(ip_frame(plain));
    ASSERT_EQ(outcome.frames.size(), 1u) << describe(row);
    const Frame& frame = outcome.frames[0];
    ASSERT_EQ(frame.size(), expected.size());
    EXPECT_EQ(frame.size() - plain.size() - sizeof(EthernetHeader), row["growth"].get<size_t>());
    const size_t esp = sizeof(EthernetHeader) + (plain[0] >> 4 == 4 ? 20 : 40);
    EXPECT_TRUE(
        std::equal(frame.begin(), frame.begin() + static_cast<int>(esp) + 8, expected.begin()));
    const EspKeys keys = annex_i_keys(sa.suite);
    const auto opened = reference::open(sa.suite, keys, std::span(frame).subspan(esp));
    EXPECT_TRUE(opened) << describe(row);
    EXPECT_EQ(opened, reference::open(sa.suite, keys, std::span(expected).subspan(esp)));
    if (suite_info(sa.suite).iv_bytes == 0) {
      EXPECT_EQ(frame, expected);
    }
    ++rows;
  }
  EXPECT_EQ(rows, 40u);
}

// RFC 4303 3.4.3: a packet whose ICV is not good leaves no trace in the window; one that fails
// later has used its number up.
TEST_P(PathVectors, NegativePacketsAreDroppedForTheirOwnReason) {
  const struct {
    const char* name;
    Drop drop;
    bool uses_number;
  } expectations[] = {
      {"icv_bit", Drop::icv_mismatch, false},
      {"cipher_bit", Drop::icv_mismatch, false},
      {"iv_bit", Drop::icv_mismatch, false},
      {"seq_changed", Drop::replayed, false},  // to 0, which never passes the first check
      {"spi_unknown", Drop::unknown_spi, false},
      {"truncated_icv", Drop::esp_length, false},
      {"only_esp_header", Drop::esp_length, false},
      {"ip_len_beyond_frame", Drop::runt, false},
      {"spi_zero", Drop::reserved_spi, false},
      {"pad_bytes_wrong", Drop::bad_padding, true},
      {"pad_len_too_big", Drop::bad_padding, true},
      {"dummy_nh59", Drop::dummy_packet, true},
      {"inner_icmp", Drop::selector_mismatch, true},
      {"port_mismatch", Drop::selector_mismatch, true},
  };
  const json& base = vectors()["negative_base"];
  const TestSa sa{suite_of(base), spi_of(base["sa_spi"]), {kUe6, kPcscf6, kUePort, kPcscfPort}};
  ASSERT_EQ(vectors()["negative"].size(), std::size(expectations));
  for (size_t i = 0; i < std::size(expectations); ++i) {
    const json& row = vectors()["negative"][i];
    const auto& expected = expectations[i];
    ASSERT_EQ(row["name"].get<std::string>(), expected.name);
    PathLab lab(open_policy(), {}, GetParam());
    const SaIndex index = lab.install_in(sa, annex_i_keys(sa.suite), 64, 0);
    const InboundSa before = lab.sad.sas()[index];
    EXPECT_EQ(lab.in(ip_frame(from_hex(row, "ip_packet"))), dropped(expected.drop))
        << expected.name;
    const InboundSa& after = lab.sad.sas()[index];
    EXPECT_EQ(std::memcmp(&before.window, &after.window, sizeof before.window) == 0,
              !expected.uses_number)
        << expected.name;
    EXPECT_EQ(after.raised_events, 0);
    EXPECT_EQ(lab.in(ip_frame(from_hex(base, "ip_packet"))).frames.size(), 1u)
        << "the good packet behind " << expected.name;
  }
}

// With the window out of the way it is the ICV that tells: it covers the number.
TEST_P(PathVectors, TheIcvCoversTheSequenceNumber) {
  const json& base = vectors()["negative_base"];
  const TestSa sa{suite_of(base), spi_of(base["sa_spi"]), {kUe6, kPcscf6, kUePort, kPcscfPort}};
  PathLab lab(open_policy(), {}, GetParam());
  lab.install_in(sa, annex_i_keys(sa.suite), ReplayWindow::kOff, 0);
  const json& row = vectors()["negative"][3];
  ASSERT_EQ(row["name"], "seq_changed");
  EXPECT_EQ(lab.in(ip_frame(from_hex(row, "ip_packet"))), dropped(Drop::icv_mismatch));
}

TEST_P(PathVectors, ReplaySequencesThroughWholePackets) {
  size_t packets = 0;
  for (const json& row : vectors()["replay_window"]) {
    PathLab lab(open_policy(), {}, GetParam());
    const TestSa sa{Suite::sha1_null};
    lab.install_in(sa, row["window"].get<uint16_t>());
    for (const json& step : row["sequence"]) {
      const PacketBuilder packet = PacketBuilder().udp(kUePort, kPcscfPort).payload("MESSAGE");
      const Outcome expected = step[1] == "accept" ? passed(packet) : dropped(Drop::replayed);
      EXPECT_EQ(lab.in(PacketBuilder(packet).esp(sa, step[0].get<uint32_t>())), expected)
          << row["why"] << " at " << step[0];
      ++packets;
    }
  }
  EXPECT_EQ(packets, 42u);
}

INSTANTIATE_TEST_SUITE_P(On, PathVectors,
                         testing::Values(InstructionSet::sse, InstructionSet::avx2,
                                         InstructionSet::avx512),
                         instruction_set_label);

}  // namespace
}  // namespace gmesp
