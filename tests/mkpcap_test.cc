// SPDX-License-Identifier: BSD-3-Clause
// gmespctl mkpcap as people run it: libpcap reads its files, the reference ESP opens its packets
// with the keys of the commands that it wrote beside them.
#include <gtest/gtest.h>
#include <pcap/pcap.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/checksum.h"
#include "dataplane/classify.h"
#include "dataplane/selector.h"
#include "tests/classify_shapes.h"
#include "tests/shell.h"

namespace gmesp {
namespace {

using SaWords = std::map<std::string, std::string>;

class MkpcapTest : public testing::Test {
 protected:
  MkpcapTest() {
    char folder[] = "/tmp/mkpcap_test_XXXXXX";
    folder_ = mkdtemp(folder);
  }
  ~MkpcapTest() override { std::filesystem::remove_all(folder_); }

  Outcome run(const std::string& words, const std::string& before = "") const {
    return shell("cd " + folder_ + "; " + before + GMESP_GMESPCTL + " " + words);
  }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  std::vector<Frame> frames(const std::string& name) const {
    char error[PCAP_ERRBUF_SIZE];
    pcap_t* const pcap = pcap_open_offline(path(name).c_str(), error);
    if (pcap == nullptr) throw std::runtime_error(error);
    EXPECT_EQ(pcap_datalink(pcap), DLT_EN10MB);
    std::vector<Frame> frames;
    pcap_pkthdr* header;
    const u_char* bytes;
    int result;
    while ((result = pcap_next_ex(pcap, &header, &bytes)) == 1) {
      EXPECT_EQ(header->caplen, header->len);
      frames.emplace_back(bytes, bytes + header->caplen);
    }
    EXPECT_EQ(result, PCAP_ERROR_BREAK) << pcap_geterr(pcap);
    pcap_close(pcap);
    return frames;
  }
  // The pairs of every `sa add` line, in order.
  std::vector<SaWords> sas(const std::string& name) const {
    std::ifstream file(path(name));
    std::vector<SaWords> sas;
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string sa, add, key, value;
      words >> sa >> add;
      EXPECT_EQ(sa + " " + add, "sa add");
      sas.emplace_back();
      while (words >> key >> value) sas.back()[key] = value;
    }
    return sas;
  }

  std::string folder_;
};

Key key_of(const SaWords& sa, const std::string& name) {
  Bytes bytes;
  const auto found = sa.find(name);
  const std::string digits = found == sa.end() ? "" : found->second;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  }
  return Key(bytes);
}

Flow flow_of(const SaWords& sa) {
  return {*parse_address(sa.at("src")), *parse_address(sa.at("dst")),
          static_cast<uint16_t>(std::stoi(sa.at("sport"))),
          static_cast<uint16_t>(std::stoi(sa.at("dport"))), Protocol::udp};
}

bool same(const Flow& a, const Flow& b) {
  return a.source == b.source && a.destination == b.destination && a.source_port == b.source_port &&
         a.destination_port == b.destination_port && a.protocol == b.protocol;
}

// A plain frame is whole: lengths agree, both checksums are right.
Flow checked_flow(const Frame& frame) {
  ExactPacket exact(frame);
  EXPECT_TRUE(classify(exact.packet).is_pass());
  EXPECT_EQ(exact.packet.length, frame.size());
  EXPECT_TRUE(transport_checksum_good(exact.packet));
  EXPECT_NE(exact.packet.header<UdpHeader>(exact.packet.payload_offset).checksum.host(), 0);
  if (exact.packet.is_ipv4()) {
    EXPECT_EQ(internet_checksum(Bytes(frame.begin() + 14, frame.begin() + 34)), 0);
  }
  Flow flow;
  EXPECT_TRUE(read_flow(exact.packet, flow).is_pass());
  return flow;
}

struct SuiteWords {
  Suite suite;
  const char* words;
};
constexpr SuiteWords kSuiteWords[] = {
    {Suite::md5_null, "alg hmac-md5-96 ealg null"},
    {Suite::md5_des3, "alg hmac-md5-96 ealg des-ede3-cbc"},
    {Suite::md5_aes_cbc, "alg hmac-md5-96 ealg aes-cbc"},
    {Suite::sha1_null, "alg hmac-sha-1-96 ealg null"},
    {Suite::sha1_des3, "alg hmac-sha-1-96 ealg des-ede3-cbc"},
    {Suite::sha1_aes_cbc, ""},
    {Suite::aes_gcm, "alg null ealg aes-gcm"},
    {Suite::aes_gmac, "alg aes-gmac ealg null"},
};
static_assert(std::size(kSuiteWords) == kSuiteCount, "every suite is written");

TEST_F(MkpcapTest, EveryPacketOpensWithTheKeysBesideItAndIsTheUesOwn) {
  for (const SuiteWords& row : kSuiteWords) {
    for (const char* ip : {"4", "6"}) {
      const Outcome outcome = run(std::string("mkpcap ues 7 packets 100 sa sa esp esp ue-plain "
                                              "plain bytes 131 ip ") +
                                  ip + " " + row.words);
      ASSERT_EQ(outcome.status, 0) << outcome.output;
      std::map<uint32_t, SaWords> by_spi;
      for (const SaWords& sa : sas("sa"))
        by_spi[static_cast<uint32_t>(std::stoul(sa.at("spi")))] = sa;
      const std::vector<Frame> protected_frames = frames("esp");
      const std::vector<Frame> plain_frames = frames("plain");
      ASSERT_EQ(protected_frames.size(), 100u);
      ASSERT_EQ(plain_frames.size(), 100u);
      for (size_t i = 0; i < plain_frames.size(); ++i) {
        ExactPacket exact(protected_frames[i]);
        ASSERT_TRUE(classify(exact.packet).is_pass());
        ASSERT_EQ(exact.packet.kind, PacketKind::esp);
        const size_t at = exact.packet.payload_offset;
        const SaWords& sa = by_spi.at(exact.packet.header<EspHeader>(at).spi.host());
        EXPECT_EQ(sa.at("dir"), "in");
        const EspKeys keys{key_of(sa, "auth-key"), key_of(sa, "enc-key"), key_of(sa, "salt")};
        const auto opened =
            reference::open(row.suite, keys, std::span(protected_frames[i]).subspan(at));
        ASSERT_TRUE(opened) << row.words << i;
        const Bytes payload(plain_frames[i].begin() + static_cast<std::ptrdiff_t>(at),
                            plain_frames[i].end());
        ASSERT_GE(opened->size(), payload.size());
        EXPECT_EQ(cut(*opened, payload.size()), payload);
        EXPECT_TRUE(same(checked_flow(plain_frames[i]), flow_of(sa)));
      }
    }
  }
}

// RFC 4303 2.2: what an engine with anti-replay takes in one pass, and goes on from in the next.
TEST_F(MkpcapTest, EveryNumberOccursOnceAndRoundsAreInRandomOrder) {
  ASSERT_EQ(run("mkpcap ues 50 packets 175 esp first").status, 0);
  ASSERT_EQ(run("mkpcap ues 50 packets 175 esp second seq 4").status, 0);
  std::map<uint32_t, std::vector<uint32_t>> numbers;
  std::vector<uint32_t> first_round;
  for (const char* name : {"first", "second"}) {
    for (const Frame& frame : frames(name)) {
      ExactPacket exact(frame);
      ASSERT_TRUE(classify(exact.packet).is_pass());
      const auto& esp = exact.packet.header<EspHeader>(exact.packet.payload_offset);
      numbers[esp.spi.host()].push_back(esp.sequence_number.host());
      if (first_round.size() < 50) first_round.push_back(esp.spi.host());
    }
  }
  EXPECT_EQ(numbers.size(), 50u);
  for (const auto& [spi, sequence] : numbers) {
    EXPECT_TRUE(sequence == (std::vector<uint32_t>{1, 2, 3, 4, 5, 6, 7, 8}) ||
                sequence == (std::vector<uint32_t>{1, 2, 3, 5, 6, 7}))
        << spi;
  }
  EXPECT_EQ(std::set(first_round.begin(), first_round.end()).size(), 50u);
  EXPECT_FALSE(std::is_sorted(first_round.begin(), first_round.end()));
}

TEST_F(MkpcapTest, TheHostsPacketsHaveOutboundSas) {
  ASSERT_EQ(run("mkpcap ues 9 packets 9 plain plain sa sa ue 10.0.0.250 pcscf 192.0.2.1 "
                "ue-port 7001 pcscf-port 5062 spi 0x300 window 128")
                .status,
            0);
  std::set<std::string> expected;
  std::vector<Flow> flows;
  for (const SaWords& sa : sas("sa")) {
    EXPECT_EQ(sa.contains("window"), sa.at("dir") == "in");
    if (sa.at("dir") == "out") flows.push_back(flow_of(sa));
  }
  ASSERT_EQ(flows.size(), 9u);
  EXPECT_EQ(to_string(flows[8].destination), "10.0.1.2");  // counted over the byte's end
  EXPECT_EQ(sas("sa").front().at("spi"), std::to_string(0x300));
  EXPECT_EQ(sas("sa").back().at("spi"), std::to_string(0x300 + 17));
  for (const Frame& frame : frames("plain")) {
    const Flow flow = checked_flow(frame);
    EXPECT_EQ(std::count_if(flows.begin(), flows.end(),
                            [&](const Flow& other) { return same(flow, other); }),
              1);
  }
}

TEST_F(MkpcapTest, ThePeerHasTheSameSasTheOtherWayRound) {
  ASSERT_EQ(run("mkpcap ues 5 sa sa peer peer alg null ealg aes-gcm").status, 0);
  std::vector<SaWords> here = sas("sa");
  const std::vector<SaWords> there = sas("peer");
  ASSERT_EQ(here.size(), 10u);
  for (SaWords& sa : here) sa["dir"] = sa["dir"] == "in" ? "out" : "in";
  EXPECT_EQ(here, there);
  ASSERT_EQ(run("mkpcap ues 5 sa in dir in").status, 0);
  EXPECT_EQ(sas("in").size(), 5u);
}

TEST_F(MkpcapTest, TheSeedDecidesKeysAndOrder) {
  ASSERT_EQ(run("mkpcap ues 40 packets 40 sa a plain ap seed 7").status, 0);
  ASSERT_EQ(run("mkpcap ues 40 packets 40 sa b plain bp seed 7").status, 0);
  ASSERT_EQ(run("mkpcap ues 40 packets 40 sa c plain cp seed 8").status, 0);
  EXPECT_EQ(sas("a"), sas("b"));
  EXPECT_EQ(frames("ap"), frames("bp"));
  EXPECT_NE(frames("ap"), frames("cp"));
  std::set<std::string> keys;
  for (const char* name : {"a", "c"}) {
    for (const SaWords& sa : sas(name)) keys.insert(sa.at("enc-key"));
  }
  EXPECT_EQ(keys.size(), 80u);  // one a UE, none twice
}

TEST_F(MkpcapTest, OnlyItsOwnerReadsTheKeys) {
  // Also where everybody could read the file that was there, and with no more of it left.
  std::ofstream(path("peer")) << std::string(10'000, 'x');
  std::filesystem::permissions(path("peer"), std::filesystem::perms(0666));
  ASSERT_EQ(run("mkpcap ues 1 sa sa peer peer", "umask 0; ").status, 0);
  EXPECT_EQ(sas("peer").size(), 2u);
  for (const char* name : {"sa", "peer"}) {
    struct stat status {};
    ASSERT_EQ(stat(path(name).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
  }
}

TEST_F(MkpcapTest, RefusesWhatMakesNoSense) {
  const struct {
    const char* words;
    const char* said;
  } rows[] = {
      {"", "needs ues"},
      {"ues 0 sa f", "ues is a number from 1"},
      {"ues 16777217 sa f", "ues is a number from 1"},
      {"ues 1x sa f", "ues is a number"},
      {"ues -1 sa f", "ues is a number"},
      {"ues 1", "needs a file"},
      {"ues 1 sa", "sa has no value"},
      {"ues 1 sa f sa g", "twice"},
      {"ues 1 sa f frames 7", "does not take its word number 5"},
      {"ues 1 esp f", "need packets"},
      {"ues 1 sa f packets 9", "needs a capture file"},
      {"ues 1 packets 0 esp f", "packets is a number from 1"},
      {"ues 1 packets 4294967296 esp f", "packets is a number from 1 to 4294967295"},
      {"ues 1 packets 9 esp f seq 4294967287", "seq is a number from 0 to 4294967286"},
      {"ues 1 packets 9 esp f dir out", "leaves out"},
      {"ues 1 packets 9 plain f dir in", "leaves out"},
      {"ues 1 sa f dir up", "dir is in, out or both"},
      {"ues 1 sa f ip 5", "ip is 4 or 6"},
      {"ues 1 sa f ip 0x4", "ip is 4 or 6"},
      {"ues 1 sa f ip 06", "ip is 4 or 6"},
      {"ues 1 sa f peer f", "sa and peer are the same file"},
      {"ues 1 sa f peer ./f", "sa and peer are the same file"},
      {"ues 1 packets 1 plain f ue-plain f", "plain and ue-plain are the same file"},
      {"ues 1 sa f bytes 63", "bytes is a number from 64 to 9000"},
      {"ues 1 sa f alg null", "not permitted"},
      {"ues 1 sa f alg sha", "alg is"},
      {"ues 1 sa f ealg des", "ealg is"},
      {"ues 1 sa f spi 255", "spi is a number from 256"},
      {"ues 2 sa f spi 0xfffffffd", "spi is a number from 256 to 4294967292"},
      {"ues 1 sa f window 31", "window is 0 or from 32"},
      {"ues 1 sa f ue-port 0", "ue-port is a number"},
      {"ues 1 sa f ip 4 ue 2001:db8::1", "ue is an IPv4 address"},
      {"ues 1 sa f ue 224.0.0.1", "unicast"},
      {"ues 3 sa f ue 223.255.255.254", "fewer addresses"},
      {"ues 256 sa f ue 10.0.0.1 pcscf 10.0.0.99", "pcscf is among"},
      {"ues 3 sa f ue 2001:db8::1 pcscf 2001:db8::3", "pcscf is among"},
      {"ues 1 sa f ue-mac 02:00:00:00:00", "ue-mac is six bytes"},
      {"ues 1 sa f ue-mac 02:00:00:00:00:011", "ue-mac is six bytes"},
      {"ues 1 sa f ue-mac 02:00:00:00:00:1", "ue-mac is six bytes"},
      {"ues 1 sa f ue-mac 02:00:00:00:00:+1", "ue-mac is six bytes"},
      {"ues 1 sa f ue-mac '02:00:00:00:00: 1'", "ue-mac is six bytes"},
      {"ues 1 sa f ue-mac 0x:00:00:00:00:01", "ue-mac is six bytes"},
      {"ues 1 sa f ue-mac 02-00-00-00-00-01", "ue-mac is six bytes"},
  };
  for (const auto& row : rows) {
    const Outcome outcome = run(std::string("mkpcap ") + row.words);
    EXPECT_EQ(outcome.status, 2) << row.words << outcome.output;
    EXPECT_NE(outcome.output.find(row.said), std::string::npos) << row.words << outcome.output;
    EXPECT_TRUE(std::filesystem::is_empty(folder_)) << row.words;
  }
}

TEST_F(MkpcapTest, LeavesNoHalfFileWhenTheDiskIsFull) {
  // A file size limit acts as a full disk does, in the middle of a write.
  const std::string full = "trap '' XFSZ; ulimit -f 16; ";
  for (const char* words : {"mkpcap ues 9 packets 1000 esp f", "mkpcap ues 1000 sa f"}) {
    const Outcome outcome = run(words, full);
    EXPECT_EQ(outcome.status, 1) << outcome.output;
    EXPECT_EQ(outcome.output.find("gmespctl: cannot write f: "), 0u) << outcome.output;
    EXPECT_TRUE(std::filesystem::is_empty(folder_)) << words;
  }
  const Outcome device = run("-j mkpcap ues 9 packets 1000 esp /dev/full");
  EXPECT_EQ(device.status, 1);
  EXPECT_NE(device.output.find("\"code\":\"not_written\""), std::string::npos) << device.output;
  EXPECT_TRUE(std::filesystem::exists("/dev/full"));
  EXPECT_EQ(run("mkpcap ues 1 sa nowhere/f").status, 1);
}

TEST_F(MkpcapTest, ALinkToAFileIsTheSameFile) {
  ASSERT_EQ(run("mkpcap ues 1 sa sa").status, 0);
  std::filesystem::create_hard_link(path("sa"), path("link"));
  const Outcome outcome = run("mkpcap ues 2 sa sa peer link");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_NE(outcome.output.find("the same file"), std::string::npos) << outcome.output;
  EXPECT_EQ(sas("sa").size(), 2u) << "and it is as it was";
}

TEST_F(MkpcapTest, SaysOfPacketsOnlyWhereThereAreSome) {
  EXPECT_EQ(run("mkpcap ues 3 sa f").output, "3 UEs, 6 SAs\n");
  EXPECT_EQ(run("-j mkpcap ues 3 sa f").output, "{\"ues\":3,\"sas\":6}\n");
  EXPECT_EQ(run("mkpcap ues 3 packets 9 plain f").output.find("3 UEs, 6 SAs, 9 packets of 256"),
            0u);
}

TEST_F(MkpcapTest, FailsWhenItsWordsCannotBeWritten) {
  for (const char* words : {"mkpcap ues 1 sa f >/dev/full", "-j mkpcap ues 1 sa f >/dev/full"}) {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.status, 1) << words;
    EXPECT_NE(outcome.output.find("to standard output"), std::string::npos) << outcome.output;
  }
}

}  // namespace
}  // namespace gmesp
