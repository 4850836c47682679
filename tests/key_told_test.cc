// SPDX-License-Identifier: BSD-3-Clause
// No answer, error, list, event, log line or message of gmespctl says anything of a key: not of
// those that are in use, and not of those that came in the wrong place.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/key_lab.h"

namespace gmesp {
namespace {

class KeyToldTest : public KeyLab {
 protected:
  KeyToldTest() { audit_ = "[audit]\nlog = true\n"; }

  nlohmann::json ask(SocketClient& client, const nlohmann::json& request) {
    return ask_text(client, request.dump());
  }
  nlohmann::json ask_text(SocketClient& client, const std::string& request) {
    EXPECT_TRUE(client.send(request));
    const std::string answer = client.receive();
    EXPECT_FALSE(answer.empty());
    heard_ += answer + "\n";
    return nlohmann::json::parse(answer, nullptr, false);
  }
  void expect_nothing_heard(const Secrets& secrets) const {
    Secrets::Found found;
    secrets.find_in(heard_, "what was heard", found);
    for (const auto& [name, place] : found) ADD_FAILURE() << name << " in " << place;
  }
  std::string new_key(const std::string& name) {
    const Bytes bytes = random_bytes(16);
    add_key(wrong_, name, bytes);
    return hex(bytes);
  }

  std::string heard_;
  Secrets wrong_;
};

TEST_F(KeyToldTest, NothingGmespdSaysHasAKeyInIt) {
  SocketClient monitor(socket_), client(socket_);
  ASSERT_EQ(ask(monitor, {{"command", "monitor"}}).value("done", ""), "monitoring");
  for (const nlohmann::json& sa : sas_) {
    EXPECT_EQ(ask(client, sa).value("done", ""), "added");
    EXPECT_EQ(ask(client, sa).value("code", ""), "spi_in_use");
    ask(client, {{"command", "sa show"}, {"dir", sa["dir"]}, {"spi", sa["spi"]}});
  }
  const std::string header =
      "ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc;spi-c=2147483649;spi-s=2147483650;port-c=40001;"
      "port-s=40002";
  const auto offer = ask(client, {{"command", "ue register"},
                                  {"ue", "10.1.0.1"},
                                  {"pcscf", "192.0.2.1"},
                                  {"impi", "a@ims"},
                                  {"security-client", header}});
  const nlohmann::json challenge{{"command", "ue challenge"},
                                 {"handle", offer.value("handle", "")},
                                 {"ck", new_key("CK")},
                                 {"ik", new_key("IK")}};
  EXPECT_EQ(ask(client, challenge).value("done", ""), "challenged");
  EXPECT_EQ(ask(client, challenge).value("code", ""), "wrong_state");
  ask(client, {{"command", "ue show"}, {"handle", offer.value("handle", "")}});
  for (const std::string& record : refused_records(wrong_)) {
    EXPECT_TRUE(ask_text(client, record).contains("code"));
  }
  for (const char* command :
       {"status", "stats", "drops", "sa list", "sa count", "ue list", "ue count", "policy list",
        "config reload", "audit status", "ue reconcile"}) {
    EXPECT_FALSE(ask(client, {{"command", command}}).contains("code")) << command;
  }
  const nlohmann::json check{{"command", "ue check"}, {"ue", "10.1.0.1"}, {"ue-port", 40001}};
  EXPECT_EQ(ask(client, check).value("handle", ""), offer.value("handle", "none"));
  EXPECT_EQ(ask(client, {{"command", "sa flush"}, {"all", true}}).value("sets", 0), 1);
  // Events of the drops come within a second or two.
  while (heard_.find("\"event\":\"drop\"") == std::string::npos) {
    const std::string event = monitor.receive(5000);
    ASSERT_FALSE(event.empty());
    heard_ += event;
  }
  EXPECT_EQ(gmespd_->stop(SIGTERM), 0);
  const std::string log = gmespd_->wait_for("not to be said");
  EXPECT_NE(log.find("stopping"), std::string::npos) << log;
  EXPECT_NE(log.find("audit: "), std::string::npos) << log;
  heard_ += log;
  expect_nothing_heard(of_sas_);
  expect_nothing_heard(wrong_);
  heard_ = sas_[0].dump();
  Secrets::Found found;
  of_sas_.find_in(heard_, "a command", found);
  EXPECT_FALSE(found.empty()) << "the search is blind";
}

TEST_F(KeyToldTest, NothingGmespctlSaysHasAKeyInIt) {
  const auto key = [&](const char* name) { return new_key(name); };
  const std::string file = folder_ + "/commands";
  std::ofstream(file) << "ue challenge handle 0x1 ck " << key("ck") << " ik " << key("ik") << "zz\n"
                      << key("as a command") << " " << key("as a word") << "\n"
                      << "sa add " << key("as a key of sa add") << "\n";
  const std::vector<std::string> commands = {
      key("a command"),
      "sa " + key("half a command"),
      "sa add " + key("a key's name"),
      "sa add dir " + key("dir"),
      "sa add dir in spi " + key("spi"),
      "sa add dir in enc-key " + key("enc-key") + " enc-key " + key("again"),
      "sa list after " + key("after"),
      "ue challenge " + key("a key's name again"),
      "ue challenge handle " + key("handle") + " ck " + key("ck") + " ik " + key("ik"),
      "ue challenge handle 0x1 ck " + key("ck") + " ik " + key("ik") + " " + key("too much"),
      "ue challenge handle 0x1 ck @" + folder_ + "/" + key("a file") + " ik 1",
      "drops " + key("a flag"),
      "mkpcap " + key("mkpcap"),
      "mkpcap ues " + key("ues"),
      "-f " + file,
      "--" + key("an option"),
      "-t " + key("a time") + " status",
      "-f " + folder_ + "/" + key("a file of commands"),
  };
  for (const std::string& command : commands) {
    for (const char* form : {"", "-j "}) {
      const Outcome outcome =
          shell(std::string(GMESP_GMESPCTL) + " -s " + socket_ + " " + form + command);
      EXPECT_NE(outcome.status, 0) << outcome.output;
      Secrets::Found found;
      wrong_.find_in(outcome.output, command.substr(0, 12), found);
      for (const auto& [name, place] : found) {
        ADD_FAILURE() << name << " in " << place << ": " << outcome.output;
      }
    }
  }
}

}  // namespace
}  // namespace gmesp
