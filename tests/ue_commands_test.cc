// SPDX-License-Identifier: BSD-3-Clause
// Registrations by records: a UE and a P-CSCF, each with its Commands, and the packets between
// them.
#include "control/ue_commands.h"

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "control/commands.h"
#include "control/ue_text.h"
#include "tests/json_answers.h"
#include "tests/registration_lab.h"

namespace gmesp {
namespace {

using Json = nlohmann::json;

const std::string kCk = "000102030405060708090a0b0c0d0e0f";
const std::string kIk = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

// "kkkk...": a key nobody has used before.
std::string fresh_key() {
  static uint32_t keys = 0;
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", 0xabc00000 + keys++);
  return std::string(digits) + "11112222333344445555666a";
}

std::string offer(const std::string& ports, const std::string& algorithms = "alg=hmac-sha-1-96") {
  return "ipsec-3gpp; " + algorithms + "; " + ports;
}
const std::string kNumbers = "spi-c=3333; spi-s=4444; port-c=40001; port-s=40002";

// The SPIs of a UE that takes new ones for each set.
std::string fresh_offer() {
  static uint32_t spi = 100000;
  spi += 2;
  return offer("spi-c=" + std::to_string(spi) + "; spi-s=" + std::to_string(spi + 1) +
               "; port-c=40001; port-s=40002");
}

Json register_request(const std::string& client = fresh_offer()) {
  return {{"command", "ue register"},     {"ue", to_string(kUe4)},
          {"pcscf", to_string(kPcscf4)},  {"impi", kImpi},
          {"impu", {kImpu, "tel:+1234"}}, {"security-client", client}};
}

Json on_handle(const std::string& command, const Json& handle) {
  return {{"command", command}, {"handle", handle}};
}

Json challenge_request(const Json& handle) {
  return with(with(on_handle("ue challenge", handle), "ck", fresh_key()), "ik", fresh_key());
}

// One end with the commands in front of it.
class JsonEnd {
 public:
  explicit JsonEnd(GmEnd& gm) : gm_(gm), commands_(gm.rig.info, gm.rig.keys, gm.sas, gm.registrar) {
    commands_.on_monitor([this](EventKinds kinds) { monitored = kinds; });
  }

  std::string ask_text(const std::string& record) ON(control_thread) {
    std::vector<char> buffer(record.begin(), record.end());
    buffer.resize(record.size() + RequestReader::kPadding);
    auto answers = std::make_shared<std::vector<std::string>>();
    commands_.handle({buffer.data(), record.size()},
                     [answers](const std::string& text) { answers->push_back(text); });
    gm_.settle();
    EXPECT_EQ(answers->size(), 1u) << record;
    return answers->empty() ? "" : answers->front();
  }
  Json ask(const Json& request) ON(control_thread) { return Json::parse(ask_text(request.dump())); }
  std::string code(const Json& request) ON(control_thread) {
    return ask(request).value("code", "");
  }

  std::optional<EventKinds> monitored;

 private:
  GmEnd& gm_;
  Commands commands_;
};

SetHandle handle_of(const Json& answer) {
  return SetHandle{std::stoull(answer.at("handle").get<std::string>(), nullptr, 16)};
}

class UeCommandsTest : public testing::Test {
 protected:
  explicit UeCommandsTest(const RegistrarConfig& config = kPlainConfig)
      : role_(control_thread), gm(config), ue(gm.ue), pcscf(gm.pcscf) {}

  // SM1 and SM6 at the P-CSCF. The answer to the REGISTER.
  Json challenged(const Json& request) ON(control_thread) {
    const Json offered = pcscf.ask(request);
    EXPECT_EQ(offered.value("done", ""), "offered") << offered;
    EXPECT_EQ(pcscf.ask(challenge_request(offered["handle"])).value("done", ""), "challenged");
    return offered;
  }
  // SM1 to SM12 there, without the UE's packets.
  Json established(const Json& request, uint32_t expires_s = 3600) ON(control_thread) {
    const Json offered = challenged(request);
    const Json response = pcscf.ask(with(on_handle("ue response", offered["handle"]),
                                         "security-verify", offered["security-server"]));
    EXPECT_EQ(response.value("done", ""), "matches") << response;
    const Json ok = pcscf.ask(with(on_handle("ue ok", offered["handle"]), "expires", expires_s));
    EXPECT_EQ(ok.value("done", ""), "established") << ok;
    return offered;
  }
  Json check_request(const Json& numbers = Json::object()) {
    Json request = {{"command", "ue check"},     {"ue", to_string(kUe4)}, {"ue-port", 40001},
                    {"pcscf-port", 5063},        {"impi", kImpi},         {"impu", kImpu},
                    {"contact", to_string(kUe4)}};
    request.update(numbers);
    return request;
  }

 private:
  AssumeRole role_;

 protected:
  GmLab gm;
  JsonEnd ue;
  JsonEnd pcscf;
};

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

  EXPECT_TRUE(gm.request_up(set));
  Json sm7 = on_handle("ue response", sm6["handle"]);
  sm7["security-verify"] = at_ue["security-verify"];
  sm7["security-client"] = sm1["security-client"];
  const Json response = pcscf.ask(sm7);
  EXPECT_EQ(response["integrity-protected"], true) << response;
  EXPECT_EQ(response["encrypted"], true);
  EXPECT_EQ(pcscf.ask(with(on_handle("ue ok", sm6["handle"]), "expires", 600000))["done"],
            "established");
  EXPECT_TRUE(gm.request_down(set));
  EXPECT_EQ(ue.ask(with(on_handle("ue ok", sm1["handle"]), "expires", "600000"))["done"],
            "established");
  EXPECT_TRUE(gm.request_up(set));

  const Json shown = pcscf.ask(on_handle("ue show", sm6["handle"]));
  EXPECT_EQ(shown["state"], "established");
  EXPECT_EQ(shown["in_use"], true);
  uint64_t packets = 0;
  for (const Json& sa : shown["sas"]) packets += sa["packets"].get<uint64_t>();
  EXPECT_EQ(packets, 3u) << shown;
}

// PRS-11: what cannot be claimed is not.
TEST_F(UeCommandsTest, SayThatASetWithNullEncryptionIsNotEncrypted) {
  const Json offered = challenged(register_request());
  Json request = on_handle("ue response", offered["handle"]);
  request["security-verify"] = offered["security-server"];
  const Json response = pcscf.ask(request);
  EXPECT_EQ(response["integrity-protected"], true);
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

struct BadRequest {
  Refusal refusal;
  Json request;
};

// Role pcscf, nothing registered yet.
std::vector<BadRequest> bad_at_the_start() {
  const Json reg = register_request();
  const Json check = {{"command", "ue check"}, {"ue", "192.0.2.5"}, {"ue-port", 40001}};
  const Json challenge = challenge_request("0x7");
  const Json unknown = on_handle("ue show", "0x7");
  const auto client = [&](const std::string& text) { return register_request(text); };
  const std::string impi256(256, 'a');
  return {
      {Refusal::missing_key, without(reg, "impi")},
      {Refusal::missing_key, on_handle("ue response", 7)},
      {Refusal::unknown_key, with(reg, "window", 64)},
      {Refusal::wrong_type, with(reg, "impu", 7)},
      {Refusal::wrong_type, with(reg, "impu", {"sip:a", 7})},
      {Refusal::wrong_type, with(reg, "impi", {"a"})},
      {Refusal::wrong_type, with(on_handle("ue delete", 7), "now", "yes")},
      {Refusal::invalid_value, with(reg, "ue", "224.0.0.1")},
      {Refusal::invalid_value, with(reg, "pcscf", "edge")},
      {Refusal::invalid_value, with(reg, "contact", "ue.example")},
      {Refusal::invalid_value, with(reg, "selector", "loose")},
      {Refusal::invalid_value, with(reg, "over", "set")},
      {Refusal::out_of_range, with(reg, "over", 0)},
      {Refusal::out_of_range, on_handle("ue show", "0x0")},
      {Refusal::address_families_differ, with(reg, "pcscf", "2001:db8::1")},
      // INT-42.
      {Refusal::contact_differs, with(reg, "contact", "192.0.2.6")},
      {Refusal::bad_security_header, client("ipsec-3gpp; alg=")},
      {Refusal::bad_security_header, client("ipsec-3gpp; alg=hmac-sha-1-96; spi-c=1")},
      {Refusal::bad_security_header, client(offer(kNumbers + "; spi-c=5"))},
      {Refusal::bad_security_header,
       client(offer("spi-c=1; spi-s=4294967296; port-c=1; port-s=2"))},
      {Refusal::bad_security_header, with(reg, "security-verify", ";;")},
      {Refusal::bad_security_header,
       with(with(on_handle("ue response", 7), "security-verify", "ipsec-3gpp;alg=\"open"),
            "security-client", "")},
      // INT-65.
      {Refusal::unacceptable_proposal, client("tls")},
      {Refusal::unacceptable_proposal, client("")},
      {Refusal::unacceptable_proposal, client(offer(kNumbers, "alg=hmac-sha-1-96; prot=ah"))},
      {Refusal::spi_clash, client(offer("spi-c=9999; spi-s=9999; port-c=40001; port-s=40002"))},
      {Refusal::port_clash, client(offer("spi-c=9999; spi-s=9998; port-c=40001; port-s=40001"))},
      {Refusal::port_clash, client(offer("spi-c=9999; spi-s=9998; port-c=5060; port-s=40001"))},
      {Refusal::too_many_identities, with(reg, "impi", "")},
      {Refusal::too_many_identities, with(reg, "impi", impi256)},
      {Refusal::too_many_identities, with(reg, "impu", "")},
      {Refusal::too_many_identities,
       with(reg, "impu", Json({"1", "2", "3", "4", "5", "6", "7", "8", "9"}))},
      {Refusal::too_many_identities, with(check, "impu", "")},
      {Refusal::too_many_identities, with(check, "impi", "")},
      {Refusal::not_for_role, without(reg, "security-client")},
      {Refusal::not_for_role, with(challenge, "security-server", offer(kNumbers))},
      {Refusal::not_hex, with(challenge, "ck", std::string(31, '0') + "g")},
      {Refusal::not_hex, with(challenge, "ik", "123")},
      {Refusal::wrong_key_length, with(challenge, "ik", "00")},
      {Refusal::wrong_key_length, with(challenge, "ck", kCk + "00")},
      {Refusal::unknown_handle, challenge},
      {Refusal::unknown_handle, unknown},
      {Refusal::unknown_handle, with(reg, "over", "0x7")},
      {Refusal::unknown_handle, with(on_handle("ue ok", 7), "expires", 60)},
      {Refusal::unknown_handle, with(on_handle("ue refresh", 7), "expires", 60)},
      {Refusal::unknown_handle, with(on_handle("ue fail", 7), "reason", "timeout")},
      {Refusal::unknown_handle, on_handle("ue delete", 7)},
      {Refusal::invalid_value, with(on_handle("ue fail", 7), "reason", "weather")},
      {Refusal::out_of_range, with(on_handle("ue ok", 7), "expires", 4294967296)},
      {Refusal::out_of_range, with(on_handle("ue refresh", 7), "expires", 0)},
      {Refusal::no_such_flow, check},
      {Refusal::out_of_range, with(check, "ue-port", 0)},
      {Refusal::invalid_value, {{"command", "ue list"}, {"state", "new"}}},
      {Refusal::out_of_range, {{"command", "ue list"}, {"limit", 1001}}},
      {Refusal::stale_session, {{"command", "ue reconcile"}, {"session", 7}}},
      {Refusal::out_of_range, {{"command", "ue reconcile"}, {"session", 0}}},
      {Refusal::invalid_value, {{"command", "ue reconcile"}, {"handles", "7"}}},
      {Refusal::invalid_value, {{"command", "ue reconcile"}, {"handles", {"0x1", "0xg"}}}},
      {Refusal::invalid_value, {{"command", "ue reconcile"}, {"grace", 5}}},
      {Refusal::out_of_range,
       {{"command", "ue reconcile"}, {"handles", std::vector<std::string>(2501, "0x1")}}},
      {Refusal::wrong_type, {{"command", "monitor"}, {"ue", false}}},
  };
}

TEST_F(UeCommandsTest, RefuseEveryBadRequestWithItsCodeAndChangeNothing) {
  const Json nothing = pcscf.ask({{"command", "ue count"}});
  for (const BadRequest& row : bad_at_the_start()) {
    const Json answer = pcscf.ask(row.request);
    EXPECT_EQ(answer.value("code", ""), refusal_info(row.refusal).code) << row.request;
    EXPECT_EQ(answer.value("error", "").find(refusal_info(row.refusal).sentence), 0u) << answer;
    EXPECT_EQ(pcscf.ask({{"command", "ue count"}}), nothing) << row.request;
    EXPECT_EQ(gm.pcscf.live_sas(), 0u);
  }
}

// Role pcscf, with an established set `first` and a REGISTER over it challenged, `second`.
std::vector<BadRequest> bad_when_registered(const Json& first, const Json& second) {
  const Json over = with(register_request(), "over", first["handle"]);
  const Json check = {{"command", "ue check"}, {"ue", "192.0.2.5"}, {"ue-port", 40001}};
  const Json used = with(challenge_request(second["handle"]), "ck", kCk);
  return {
      // INT-43.
      {Refusal::ue_port_in_use, with(register_request(), "impi", "other@example")},
      // INT-49a.
      {Refusal::other_impi, with(over, "impi", "other@example")},
      {Refusal::other_impi, with(check, "impi", "other@example")},
      // INT-31.
      {Refusal::address_differs, with(over, "ue", "192.0.2.6")},
      {Refusal::address_differs, with(over, "pcscf", "198.51.100.11")},
      // INT-44.
      {Refusal::unknown_impu, with(check, "impu", "sip:other@example")},
      {Refusal::no_such_flow, with(check, "ue-port", 40003)},
      {Refusal::no_such_flow, with(check, "ue", "192.0.2.6")},
      {Refusal::no_such_flow, with(check, "pcscf-port", 5062)},
      {Refusal::contact_differs, with(check, "contact", "192.0.2.6")},
      // JNT-5.
      {Refusal::verify_mismatch, with(over, "security-verify", offer(kNumbers))},
      {Refusal::wrong_state, used},
      {Refusal::wrong_state, with(on_handle("ue ok", first["handle"]), "expires", 60)},
      {Refusal::wrong_state, with(on_handle("ue ok", second["handle"]), "expires", 60)},
      {Refusal::wrong_state, with(on_handle("ue refresh", second["handle"]), "expires", 60)},
      {Refusal::wrong_state, with(on_handle("ue fail", first["handle"]), "reason", "other")},
      {Refusal::wrong_state, with(over, "over", second["handle"])},
      {Refusal::wrong_state,
       with(on_handle("ue response", first["handle"]), "security-verify", "")},
  };
}

TEST_F(UeCommandsTest, RefuseWhatARegistrationForbids) {
  const Json first = established(register_request());
  const Json second = challenged(with(register_request(), "over", first["handle"]));
  const size_t sas = gm.pcscf.live_sas();
  ASSERT_EQ(sas, 8u);
  for (const BadRequest& row : bad_when_registered(first, second)) {
    const Json answer = pcscf.ask(row.request);
    EXPECT_EQ(answer.value("code", ""), refusal_info(row.refusal).code) << row.request << answer;
    EXPECT_EQ(gm.pcscf.live_sas(), sas) << row.request;
  }
  const Json good = pcscf.ask(check_request());
  EXPECT_EQ(good["handle"], first["handle"]) << good;
  EXPECT_EQ(good["impi"], kImpi);
  EXPECT_EQ(good["integrity-protected"], true);
}

// INT-57, INT-67, PRS-10: bidding down ends the set, and a header that is not there is no echo.
TEST_F(UeCommandsTest, EndASetWhoseHeadersAreNotRepeated) {
  const struct {
    Refusal refusal;
    const char* key;
    std::string header;
  } rows[] = {
      {Refusal::verify_mismatch, "security-verify", ""},
      {Refusal::verify_mismatch, "security-verify", "tls"},
      {Refusal::verify_mismatch, "security-verify", offer(kNumbers)},
      {Refusal::client_mismatch, "security-client", ""},
      {Refusal::client_mismatch, "security-client", offer(kNumbers, "alg=hmac-md5-96")},
  };
  for (const auto& row : rows) {
    const Json offered = challenged(register_request());
    Json request = on_handle("ue response", offered["handle"]);
    request["security-verify"] = offered["security-server"];
    request[row.key] = row.header;
    EXPECT_EQ(pcscf.code(request), refusal_info(row.refusal).code) << request;
    EXPECT_EQ(pcscf.code(on_handle("ue show", offered["handle"])), "unknown_handle");
    EXPECT_EQ(gm.pcscf.live_sas(), 0u);
  }
}

// SPEC 7.4: neither a pair that has protected a set, nor halves that make 3DES a single DES.
TEST_F(UeCommandsTest, RefuseKeysThatMustNotBeUsed) {
  const Json first = pcscf.ask(register_request());
  const auto challenge = [](const Json& handle, const std::string& ck) {
    return with(with(on_handle("ue challenge", handle), "ck", ck), "ik", kIk);
  };
  ASSERT_EQ(pcscf.code(challenge(first["handle"], kCk)), "");
  const Json second = pcscf.ask(register_request());
  EXPECT_EQ(pcscf.code(challenge(second["handle"], "0x" + kCk)), "key_already_used");
  const Json third = pcscf.ask(register_request(fresh_offer() + "; ealg=des-ede3-cbc"));
  EXPECT_EQ(pcscf.code(challenge(third["handle"], std::string(32, '7'))), "weak_des_key");
  EXPECT_EQ(pcscf.ask(on_handle("ue show", third["handle"]))["state"], "offered");
  EXPECT_EQ(pcscf.code(challenge_request(third["handle"])), "") << "another key will do";
}

// INT-66: the UE finds nothing in the list, and keeps nothing.
TEST_F(UeCommandsTest, RefuseInTheRoleOfAUe) {
  const Json request = without(register_request(), "security-client");
  EXPECT_EQ(ue.code(register_request()), "not_for_role");
  EXPECT_EQ(ue.code(with(request, "security-verify", offer(kNumbers))), "not_for_role");
  const Json offered = ue.ask(request);
  EXPECT_EQ(ue.code(challenge_request(offered["handle"])), "not_for_role");
  EXPECT_EQ(ue.code(with(on_handle("ue response", offered["handle"]), "security-verify", "")),
            "not_for_role");
  EXPECT_EQ(ue.code(with(challenge_request(offered["handle"]), "security-server", "tls")),
            "unacceptable_proposal");
  EXPECT_EQ(ue.code(on_handle("ue show", offered["handle"])), "unknown_handle");
}

RegistrarConfig small_config() {
  RegistrarConfig config;
  config.capacity = 2;
  config.max_sets = 1;
  config.ue_port_first = 40000;
  config.ue_port_last = 40002;
  return config;
}

class SmallRegistrarTest : public UeCommandsTest {
 protected:
  SmallRegistrarTest() : UeCommandsTest(small_config()) {}
};

// INT-43, INT-46.
TEST_F(SmallRegistrarTest, RefusesWhatHasNoRoom) {
  const Json first = established(register_request());
  EXPECT_EQ(pcscf.code(with(register_request(), "over", first["handle"])), "too_many_sets");
  const Json other = with(register_request(), "ue", "192.0.2.6");
  EXPECT_EQ(pcscf.code(with(other, "impi", "b@example")), "");
  EXPECT_EQ(pcscf.code(with(other, "impi", "c@example")), "registrations_full");

  const Json request = without(register_request(), "security-client");
  EXPECT_EQ(ue.code(request), "");
  EXPECT_EQ(ue.code(with(request, "impi", "b@example")), "no_port_left");
}

TEST_F(UeCommandsTest, KeepSasOfASetWithTheirSet) {
  const Json first = established(register_request());
  const Json shown = pcscf.ask(on_handle("ue show", first["handle"]));
  ASSERT_EQ(shown["sas"].size(), 4u);
  for (const Json& sa : shown["sas"]) {
    EXPECT_EQ(pcscf.code({{"command", "sa delete"}, {"dir", sa["dir"]}, {"spi", sa["spi"]}}),
              "sa_of_set");
  }
  EXPECT_EQ(pcscf.ask({{"command", "sa flush"}})["deleted"], 0);
  EXPECT_EQ(pcscf.ask({{"command", "ue count"}})["established"], 1);
  const Json flushed = pcscf.ask({{"command", "sa flush"}, {"all", true}});
  EXPECT_EQ(flushed["sets"], 1) << flushed;
  EXPECT_EQ(pcscf.ask({{"command", "ue count"}})["total"], 0);
  EXPECT_EQ(gm.pcscf.live_sas(), 0u);
}

// Every refusal of a registration comes over JSON in a test of this file, but for those that a test
// cannot bring about (2^31 SPIs in use) or that are libgmesp's own.
TEST(UeCommands, HaveATestForEveryRefusalOfARegistration) {
  std::stringstream file;
  file << std::ifstream(GMESP_TESTS_FOLDER "/ue_commands_test.cc").rdbuf();
  for (const RefusalInfo& info : kRefusalInfo) {
    if (info.refusal < Refusal::bad_security_header || info.refusal == Refusal::spis_exhausted ||
        info.refusal == Refusal::ring_full) {
      continue;
    }
    const std::string code(info.code);
    EXPECT_TRUE(file.str().find("Refusal::" + code + ",") != std::string::npos ||
                file.str().find("\"" + code + "\"") != std::string::npos)
        << code;
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
  gm.pass_time(std::chrono::seconds(5));
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
  request["impi"] = std::to_string(1000 + i) + std::string(kMaxIdentityBytes - 4, '\x01');
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
  EXPECT_GT(pages, 5u);
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
  const Json offered = challenged(register_request());
  pcscf.ask(with(on_handle("ue response", offered["handle"]), "security-verify",
                 offered["security-server"]));
  Json ok = with(on_handle("ue ok", offered["handle"]), "expires", 60);
  ASSERT_EQ(pcscf.ask(with(ok, "impu", {"sip:new@example"}))["done"], "established");
  EXPECT_EQ(pcscf.code(check_request()), "unknown_impu");
  EXPECT_EQ(pcscf.code(check_request({{"impu", "sip:new@example"}})), "");
}

TEST_F(UeCommandsTest, ReconcileWithWhatTheSipLayerBelievesIn) {
  const Json kept = established(register_request());
  Json other = with(with(register_request(), "ue", "192.0.2.6"), "impi", "b@example");
  const Json orphan = established(other);
  gm.pass_time(std::chrono::seconds(1));
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
  gm.pass_time(std::chrono::seconds(11));
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
