// SPDX-License-Identifier: BSD-3-Clause
// A gmespd with keys of every algorithm, under traffic.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/gmespd_process.h"
#include "tests/key_forms.h"
#include "tests/shell.h"
#include "tests/socket_client.h"

namespace gmesp {

inline constexpr int kWaitMs = 20000;

inline std::string text_of(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Commands with a key at every place where one can be by mistake. All are refused.
inline std::vector<std::string> refused_records(Secrets& secrets) {
  const auto key = [&](const std::string& name) {
    const Bytes bytes = random_bytes(16);
    add_key(secrets, name, bytes);
    return hex(bytes);
  };
  const std::string good =
      R"({"command":"sa add","dir":"in","spi":"0x1001","src":"198.51.100.7","dst":"192.0.2.1",)"
      R"("proto":"any","alg":"hmac-md5-96","ealg":"aes-cbc","auth-key":")";
  const std::string end = R"(","enc-key":")";
  // Digits alone: as a number it is read by another part of the parser, and never fits.
  std::string digits;
  for (const uint8_t byte : random_bytes(32)) digits += static_cast<char>('1' + byte % 9);
  secrets.add_text("digits", digits);
  return {
      good + key("cut auth-key"),
      good + key("auth-key") + end + key("cut enc-key") + "\"",
      good + key("no hex") + "zz" + end + key("behind no hex") + "\"}",
      good + key("wrong length") + "00" + end + key("behind wrong length") + "\"}",
      good + key("control character") + "\x01" + end + key("behind control character") + "\"}",
      good + key("bad UTF-8") + "\xff" + end + key("behind bad UTF-8") + "\"}",
      good + key("escape") + "\\u00e9\\n" + end + key("behind an escape") + "\"}",
      good + key("unknown") + end + key("of unknown") + "\",\"" + key("as a name") + "\":1}",
      good + key("twice") + "\",\"auth-key\":\"" + key("again") + end + key("last") + "\"}",
      good + key("list") + "\",\"enc-key\":[\"" + key("in a list") + "\"]}",
      good + key("object") + "\",\"enc-key\":{\"" + key("in an object") + "\":1}}",
      good + key("number") + "\",\"enc-key\":" + digits + "}",
      R"({"command":")" + key("as command") + "\"}",
      R"({"command":"sa show","dir":")" + key("as dir") + R"(","spi":")" + key("as spi") + "\"}",
      R"({"command":"sa list","after":")" + key("as after") + "\"}",
      R"({"command":"ue challenge","handle":"0x0000000000000001","ck":")" + key("ck") +
          R"(","ik":")" + key("ik") + "\"}",
      R"({"command":"ue challenge","handle":")" + key("as handle") + R"(","ck":"1","ik":"2"})",
      R"({"command":"ue register","ue":"10.0.0.1","pcscf":"192.0.2.1","impi":"a@ims",)"
      R"("security-client":"ipsec-3gpp;alg=)" +
          key("in a header") + "\"}",
      digits,
      "\"" + key("a string alone") + "\"",
      "[\"" + key("in an array") + "\"]",
      key("no JSON"),
      std::string(65536, ' ') + key("too long"),
      "{\"command\":\"" + key("long") + std::string(65536, ' '),
  };
}

// A gmespd under traffic of every suite, and what must not be found.
class KeyLab : public testing::Test {
 protected:
  static void SetUpTestSuite() { let_leak_sanitizer_be(); }

  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "reading another process's memory takes CAP_SYS_PTRACE";
    SKIP_IF_MEMORY_IS_NOT_OURS();
    char folder[] = "/tmp/key_lab_XXXXXX";
    folder_ = mkdtemp(folder);
    socket_ = folder_ + "/gmespd.sock";
    make_traffic();
    gmespd_.emplace(write_config(), "-v");
    const std::string said = gmespd_->wait_for("ready, role");
    ASSERT_NE(said.find("ready, role"), std::string::npos) << said;
  }
  ~KeyLab() override {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  // Captures that both ports read again and again, and the SAs they are for.
  void make_traffic() {
    std::ofstream access(folder_ + "/access.pcap", std::ios::binary);
    std::ofstream host(folder_ + "/host.pcap", std::ios::binary);
    for (const SuiteInfo& info : kSuites) {
      const auto number = static_cast<size_t>(info.suite) + 1;
      std::ostringstream words;
      words << "cd " << folder_ << " && " << GMESP_GMESPCTL << " mkpcap ip 4 ues 2 packets 8"
            << " seed " << random_bytes(1)[0] + 256 * number << " window 0 ue 10.0." << number
            << ".1 spi " << number * 0x10000 << " alg " << name(info.integrity) << " ealg "
            << name(info.encryption) << " sa sas esp esp.pcap plain plain.pcap";
      const Outcome outcome = shell(words.str());
      ASSERT_EQ(outcome.status, 0) << outcome.output;
      constexpr size_t kFileHeader = 24;
      const size_t from = number == 1 ? 0 : kFileHeader;
      access << text_of(folder_ + "/esp.pcap").substr(from);
      host << text_of(folder_ + "/plain.pcap").substr(from);
      std::ifstream sas(folder_ + "/sas");
      for (std::string line; std::getline(sas, line);) take_sa(info.suite, line);
    }
  }

  // "sa add KEY VALUE ..." as a request; its keys are secrets from now on.
  void take_sa(Suite suite, const std::string& line) {
    std::istringstream words(line.substr(std::string("sa add").size()));
    nlohmann::json request{{"command", "sa add"}};
    for (std::string key, value; words >> key >> value;) request[key] = value;
    EspKeys keys{Key(from_hex(request.value("auth-key", ""))),
                 Key(from_hex(request.value("enc-key", ""))),
                 Key(from_hex(request.value("salt", "")))};
    add_esp_keys(of_sas_, suite_name(suite), suite, keys);
    sas_.push_back(request);
  }

  std::string write_config() const {
    const std::string file = folder_ + "/gmespd.toml";
    const auto port = [&](const std::string& name) {
      return "[" + name + "]\ndevice = 'net_pcap_" + name + ",rx_pcap=" + folder_ + "/" + name +
             ".pcap,infinite_rx=1'\n";
    };
    std::ofstream(file) << "role = 'pcscf'\n[control]\nsocket = '" << socket_
                        << "'\n[workers]\nhugepages = '" << hugepages_ << "'\ncpus = ["
                        << sched_getcpu() << "]\n"
                        << port("access") << port("host") << "[sa]\ncapacity = 100\n"
                        << audit_;
    return file;
  }

  Secrets::Found find(const Secrets& secrets) const {
    Secrets::Found found;
    size_t bytes = 0;
    for_each_writable_part(gmespd_->pid(), [&](std::string_view memory, const std::string& place) {
      bytes += memory.size();
      secrets.find_in(memory, place, found);
    });
    EXPECT_GT(bytes, size_t{1} << 20) << "its memory was read";
    return found;
  }
  void expect_nothing(const Secrets& secrets, const std::string& when) const {
    for (const auto& [name, place] : find(secrets)) {
      ADD_FAILURE() << when << ": " << name << " in " << place;
    }
  }

  // While an SA lives, its slot has what it needs: the key as text, or in front of a hash, is
  // nowhere.
  static void expect_expanded_only(const Secrets::Found& found) {
    for (const auto& [name, place] : found) {
      for (const char* form : {"text", "TEXT", "pad"}) {
        EXPECT_EQ(name.find(form), std::string::npos) << name << " in " << place;
      }
    }
  }

  std::string hugepages_ = "never";
  std::string audit_;  // the table, or nothing
  std::string folder_;
  std::string socket_;
  std::optional<Gmespd> gmespd_;
  std::vector<nlohmann::json> sas_;
  Secrets of_sas_;
};

}  // namespace gmesp
