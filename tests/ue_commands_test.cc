// SPDX-License-Identifier: BSD-3-Clause
// Registrations by records: a UE and a P-CSCF, each with its Commands, and the packets between
// them.
#include "control/ue_commands.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/ue_json_lab.h"

namespace gmesp {
namespace {

// INT-50, INT-53, INT-54, INT-57, INT-58, INT-59, JNT-6, PRS-11: SM1 to SM12 with nothing but what
// the answers say, packets on the SAs in between.
TEST_F(UeCommandsTest, CarryARegistrationFromSecurityClientToProtectedTraffic) {
  const Json sm1 = ue.ask(without(register_request(), "security-client"));
  ASSERT_EQ(sm1.value("done", ""), "offered") << sm1;
  const Json sm6 = pcscf.ask(register_request(sm1["security-client"]));
  ASSERT_EQ(sm6.value("done", ""), "offered") << sm6;
  EXPECT_EQ(sm6["alg"], "null");
  EXPECT_EQ(sm6["ealg"], "aes-gcm");
  const Pair set{handle_of(sm1), handle_of(sm6)};

  Json challenge = with(with(on_handle("ue challenge", sm6["handle"]), "ck", kCk), "ik", kIk);
  const Json at_pcscf = pcscf.ask(challenge);
  EXPECT_EQ(at_pcscf.value("done", ""), "challenged") << at_pcscf;
  EXPECT_FALSE(at_pcscf.contains("security-verify"));
  challenge["handle"] = sm1["handle"];
  challenge["security-server"] = sm6["security-server"];
  const Json at_ue = ue.ask(challenge);
  EXPECT_EQ(at_ue.value("done", ""), "challenged") << at_ue;
  EXPECT_EQ(at_ue["security-verify"], sm6["security-server"]);
  EXPECT_EQ(at_ue["ealg"], "aes-gcm");

  EXPECT_TRUE(request_up(set));
  Json sm7 = on_handle("ue response", sm6["handle"]);
  sm7["security-verify"] = at_ue["security-verify"];
  sm7["security-client"] = sm1["security-client"];
  const Json response = pcscf.ask(sm7);
  EXPECT_EQ(response["integrity-protected"], true) << response;
  EXPECT_EQ(response["encrypted"], true);
  EXPECT_EQ(pcscf.ask(with(on_handle("ue ok", sm6["handle"]), "expires", 600000))["done"],
            "established");
  EXPECT_TRUE(request_down(set));
  EXPECT_EQ(ue.ask(with(on_handle("ue ok", sm1["handle"]), "expires", "600000"))["done"],
            "established");
  EXPECT_TRUE(request_up(set));

  const Json shown = pcscf.ask(on_handle("ue show", sm6["handle"]));
  EXPECT_EQ(shown["state"], "established");
  EXPECT_EQ(shown["in_use"], true);
  uint64_t packets = 0;
  for (const Json& sa : shown["sas"]) packets += sa["packets"].get<uint64_t>();
  EXPECT_EQ(packets, 3u) << shown;
}

// PRS-11: what cannot be claimed is not.
TEST_F(UeCommandsTest, SayThatASetWithNullEncryptionIsNotEncrypted) {
  const Json request = register_request();
  const Json response = pcscf.ask(sm7(challenged(request), request));
  EXPECT_EQ(response["integrity-protected"], true) << response;
  EXPECT_EQ(response["encrypted"], false);
}

// JNT-6: elements that are no ipsec-3gpp are repeated too, and what came on several lines is
// repeated on one.
TEST_F(UeCommandsTest, RepeatSecurityServerInSecurityVerify) {
  const std::string element =
      "ipsec-3gpp;alg=hmac-sha-1-96;ealg=null;prot=esp;mod=trans;"
      "spi-c=70001;spi-s=70002;port-c=5062;port-s=5063";
  const struct {
    std::string server;
    std::string verify;  // begins with
  } rows[] = {{"tls;q=0.1, " + element, "tls;q=0.1, " + element},
              {" Security-Server : " + element + " ", element},
              {"Security-Server: tls\r\nSecurity-Server: " + element, "ipsec-3gpp"}};
  for (const auto& row : rows) {
    Json sm1 = without(register_request(), "security-client");
    const Json offered = ue.ask(sm1);
    const Json answer =
        ue.ask(with(challenge_request(offered["handle"]), "security-server", row.server));
    ASSERT_EQ(answer.value("done", ""), "challenged") << answer;
    EXPECT_EQ(answer["security-verify"].get<std::string>().find(row.verify), 0u) << answer;
    EXPECT_EQ(answer["security-verify"].get<std::string>().find('\n'), std::string::npos);
    EXPECT_EQ(ue.code(on_handle("ue delete", offered["handle"])), "");
    ue.ask(with(on_handle("ue delete", offered["handle"]), "now", true));
  }
}

// INT-41, INT-49a: what is kept with a set, and no key among it.
TEST_F(UeCommandsTest, ShowASetWithoutItsKeys) {
  const Json offered = pcscf.ask(register_request(offer(kNumbers)));
  const Json before = pcscf.ask(on_handle("ue show", offered["handle"]));
  EXPECT_EQ(before["state"], "offered");
  EXPECT_TRUE(before["sas"].empty());
  EXPECT_EQ(before["security-server"], offered["security-server"]);
  Json challenge = with(on_handle("ue challenge", offered["handle"]), "ck", kCk);
  ASSERT_EQ(pcscf.code(with(challenge, "ik", kIk)), "");
  const std::string text = pcscf.ask_text(on_handle("ue show", offered["handle"]).dump());
  EXPECT_EQ(text.find(kCk.substr(0, 8)), std::string::npos);
  EXPECT_EQ(text.find(kIk.substr(0, 8)), std::string::npos);
  const Json shown = Json::parse(text);
  EXPECT_EQ(shown["state"], "temporary");
  EXPECT_EQ(shown["ue"], to_string(kUe4));
  EXPECT_EQ(shown["ue_port_c"], 40001);
  EXPECT_EQ(shown["ue_port_s"], 40002);
  EXPECT_EQ(shown["ue_spi_c"], to_hex(3333, 8));
  EXPECT_EQ(shown["ue_spi_s"], to_hex(4444, 8));
  EXPECT_EQ(shown["pcscf_port_s"], 5063);
  EXPECT_EQ(shown["alg"], "hmac-sha-1-96");
  EXPECT_EQ(shown["ealg"], "null");
  EXPECT_EQ(shown["impi"], kImpi);
  EXPECT_EQ(shown["impus"], Json({kImpu, "tel:+1234"}));
  EXPECT_EQ(shown["left_ms"], 240000);
  EXPECT_EQ(shown["sas"].size(), 4u);
  pass_time(std::chrono::seconds(5));
  EXPECT_EQ(pcscf.ask(on_handle("ue show", offered["handle"]))["left_ms"], 235000);
}

// What a client said in the wrong place does not come back.
TEST_F(UeCommandsTest, NeverRepeatWhatTheyWereSent) {
  const Json offered = pcscf.ask(register_request());
  const std::string secret = "5ec2e75ec2e75ec2e75ec2e75ec2e75e";
  Json good = with(with(on_handle("ue challenge", offered["handle"]), "ck", secret), "ik", secret);
  std::vector<std::string> records{good.dump().substr(0, 60),
                                   with(good, secret, 1).dump(),
                                   with(good, "ck", secret + "zz").dump(),
                                   with(good, "handle", secret).dump(),
                                   with(register_request(), "selector", secret).dump(),
                                   with(register_request(), "security-client", ";" + secret).dump(),
                                   good.dump(),
                                   on_handle("ue show", offered["handle"]).dump()};
  for (const std::string& record : records) {
    const std::string answer = pcscf.ask_text(record);
    EXPECT_EQ(answer.find(secret.substr(0, 8)), std::string::npos) << answer;
  }
}

std::string numbered_client(unsigned i) {
  return offer("spi-c=" + std::to_string(10000 + 2 * i) +
               "; spi-s=" + std::to_string(10001 + 2 * i) + "; port-c=40001; port-s=40002");
}

Json numbered(unsigned i) {
  Json request = register_request(numbered_client(i));
  request["ue"] = "10.0." + std::to_string(i / 250) + "." + std::to_string(1 + i % 250);
  // The longest, and what JSON writes longest.
  request["impi"] = std::to_string(1000 + i) + std::string(kMaxIdentityBytes - 4, '"');
  return request;
}

TEST_F(UeCommandsTest, ListInPagesThatFitARecord) {
  for (unsigned i = 0; i < 300; ++i) ASSERT_EQ(pcscf.code(numbered(i)), "") << i;
  size_t rows = 0;
  size_t pages = 0;
  std::set<std::string> handles;
  Json request = {{"command", "ue list"}, {"limit", 1000}};
  while (true) {
    const std::string text = pcscf.ask_text(request.dump());
    EXPECT_LE(text.size(), kMaxRecordBytes);
    const Json page = Json::parse(text);
    rows += page["sets"].size();
    for (const Json& set : page["sets"]) handles.insert(set["handle"]);
    ++pages;
    if (!page.contains("after")) break;
    request["after"] = page["after"];
  }
  EXPECT_EQ(rows, 300u);
  EXPECT_EQ(handles.size(), 300u);
  EXPECT_GT(pages, 3u);
  EXPECT_EQ(pcscf.ask({{"command", "ue list"}, {"ue", "10.0.1.7"}})["sets"].size(), 1u);
  EXPECT_EQ(pcscf.ask({{"command", "ue list"}, {"state", "temporary"}})["sets"].size(), 0u);
  EXPECT_EQ(pcscf.ask({{"command", "ue list"}, {"impi", numbered(7)["impi"]}})["sets"].size(), 1u);
  EXPECT_EQ(pcscf.ask({{"command", "ue list"}, {"limit", 7}})["sets"].size(), 7u);
}

TEST_F(UeCommandsTest, CountByState) {
  const Json first = established(register_request());
  challenged(with(register_request(), "over", first["handle"]));
  Json other = with(register_request(), "ue", "192.0.2.6");
  pcscf.ask(with(other, "impi", "b@example"));
  const Json count = pcscf.ask({{"command", "ue count"}});
  EXPECT_EQ(count, Json({{"offered", 1},
                         {"temporary", 1},
                         {"established", 1},
                         {"old", 0},
                         {"total", 3},
                         {"registrations", 2}}));
}

// PUB-07: what was deregistered lives on for the answers on their way; `now` is now.
TEST_F(UeCommandsTest, RetireOrDelete) {
  const Json first = established(register_request());
  EXPECT_EQ(pcscf.ask(on_handle("ue delete", first["handle"]))["done"], "retired");
  EXPECT_EQ(pcscf.ask(on_handle("ue show", first["handle"]))["state"], "old");
  EXPECT_EQ(pcscf.ask(with(on_handle("ue delete", first["handle"]), "now", true))["done"],
            "deleted");
  EXPECT_EQ(gm.pcscf.live_sas(), 0u);
  // INT-62: the answer of a failed registration.
  const Json second = challenged(register_request());
  const Json failed =
      pcscf.ask(with(on_handle("ue fail", second["handle"]), "reason", "network_authentication"));
  EXPECT_EQ(failed["done"], "failed");
  EXPECT_EQ(pcscf.code(on_handle("ue show", second["handle"])), "unknown_handle");
}

// PUB-06.
TEST_F(UeCommandsTest, RefreshALifetime) {
  const Json first = established(register_request(), 60);
  EXPECT_EQ(pcscf.ask(on_handle("ue show", first["handle"]))["left_ms"], 90000);
  EXPECT_EQ(pcscf.ask(with(on_handle("ue refresh", first["handle"]), "expires", 600))["done"],
            "refreshed");
  EXPECT_EQ(pcscf.ask(on_handle("ue show", first["handle"]))["left_ms"], 630000);
}

// INT-44: the 200 OK's identities (P-Associated-URI) replace those of the REGISTER.
TEST_F(UeCommandsTest, TakeTheIdentitiesOfThe200Ok) {
  const Json request = register_request();
  const Json offered = challenged(request);
  ASSERT_EQ(pcscf.code(sm7(offered, request)), "");
  Json ok = with(on_handle("ue ok", offered["handle"]), "expires", 60);
  ASSERT_EQ(pcscf.ask(with(ok, "impu", {"sip:new@example"}))["done"], "established");
  EXPECT_EQ(pcscf.code(check_request()), "unknown_impu");
  EXPECT_EQ(pcscf.code(check_request({{"impu", "sip:new@example"}})), "");
}

TEST_F(UeCommandsTest, ReconcileWithWhatTheSipLayerBelievesIn) {
  const Json kept = established(register_request());
  Json other = with(with(register_request(), "ue", "192.0.2.6"), "impi", "b@example");
  const Json orphan = established(other);
  pass_time(std::chrono::seconds(1));
  const Json begun = pcscf.ask({{"command", "ue reconcile"}, {"handles", {"0x7", "0x8 0x9"}}});
  EXPECT_EQ(begun["done"], "compared");
  EXPECT_EQ(begun["missing"], Json({to_hex(7), to_hex(8), to_hex(9)})) << begun;
  Json last = {{"command", "ue reconcile"}, {"finish", true}, {"grace", 10}};
  last["session"] = begun["session"];
  last["handles"] = kept["handle"];
  const Json finished = pcscf.ask(last);
  EXPECT_EQ(finished["done"], "reconciled");
  EXPECT_TRUE(finished["missing"].empty());
  EXPECT_EQ(finished["orphans"], 1) << finished;
  EXPECT_EQ(pcscf.code(last), "stale_session");
  pass_time(std::chrono::seconds(11));
  EXPECT_EQ(pcscf.code(on_handle("ue show", orphan["handle"])), "unknown_handle");
  EXPECT_EQ(pcscf.code(on_handle("ue show", kept["handle"])), "");
}

TEST_F(UeCommandsTest, AnswerTheLongestReconciliationInOneRecord) {
  std::vector<std::string> handles;
  for (uint64_t i = 0; i < 2500; ++i) handles.push_back(to_hex(~i));
  const std::string text =
      pcscf.ask_text(Json({{"command", "ue reconcile"}, {"handles", handles}}).dump());
  EXPECT_LE(text.size(), kMaxRecordBytes);
  EXPECT_EQ(Json::parse(text)["missing"].size(), 2500u);
}

TEST_F(UeCommandsTest, AskForTheEventsNamed) {
  EXPECT_EQ(pcscf.ask({{"command", "monitor"}})["done"], "monitoring");
  EXPECT_TRUE(pcscf.monitored->ue && pcscf.monitored->sa && pcscf.monitored->drop);
  pcscf.ask({{"command", "monitor"}, {"sa", true}});
  EXPECT_TRUE(!pcscf.monitored->ue && pcscf.monitored->sa && !pcscf.monitored->drop);
}

// The README is the reference that scripts are written from.
TEST_F(UeCommandsTest, HaveEveryKeyOfAnAnswerInTheReadme) {
  std::stringstream readme;
  readme << std::ifstream(GMESP_CONTROL_README).rdbuf();
  const Json first = established(register_request());
  const Json over = pcscf.ask(with(register_request(), "over", first["handle"]));
  std::set<std::string> words{"security-client", "security-verify", "event", "lost", "when_ms"};
  for (const Json& answer :
       {first, over, pcscf.ask(check_request()), pcscf.ask({{"command", "ue list"}, {"limit", 1}}),
        pcscf.ask({{"command", "ue count"}}), pcscf.ask(on_handle("ue show", first["handle"])),
        pcscf.ask(on_handle("ue show", over["handle"])),
        pcscf.ask({{"command", "ue reconcile"}, {"finish", true}}),
        pcscf.ask({{"command", "sa flush"}, {"all", true}})}) {
    collect_keys(answer, words);
  }
  for (size_t kind = 0; kind < static_cast<size_t>(SetEventKind::kCount); ++kind) {
    words.insert(std::string(name(static_cast<SetEventKind>(kind))));
  }
  EXPECT_GT(words.size(), 50u);
  for (const std::string& word : words) {
    EXPECT_NE(readme.str().find("`" + word + "`"), std::string::npos) << word;
  }
}

}  // namespace
}  // namespace gmesp
