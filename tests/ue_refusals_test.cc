// SPDX-License-Identifier: BSD-3-Clause
// What commands on registrations are refused with.
#include <gtest/gtest.h>

#include <regex>
#include <string>
#include <vector>

#include "tests/test_source.h"
#include "tests/ue_json_lab.h"

namespace gmesp {
namespace {

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
      {Refusal::invalid_value, with(reg, "impi", "a b@example")},
      {Refusal::invalid_value, with(reg, "impu", {"sip:caf\xc3\xa9@example"})},
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
      {Refusal::wrong_state,
       with(with(on_handle("ue response", first["handle"]), "security-verify", ""),
            "security-client", "")},
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
    request["security-client"] = register_request()["security-client"];
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
  EXPECT_EQ(ue.code(with(with(on_handle("ue response", offered["handle"]), "security-verify", ""),
                         "security-client", "")),
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
  established(with(other, "impi", "b@example"));
  EXPECT_EQ(pcscf.code(with(other, "impi", "c@example")), "ue_port_in_use");
  const Json another = with(register_request(), "ue", "192.0.2.7");
  EXPECT_EQ(pcscf.code(with(another, "impi", "c@example")), "registrations_full");

  const Json request = without(register_request(), "security-client");
  EXPECT_EQ(ue.code(request), "");
  EXPECT_EQ(ue.code(with(request, "impi", "b@example")), "no_port_left");
}

RegistrarConfig config_of_two_spis() {
  RegistrarConfig config;
  config.spis = {0x10000, 0x10001};
  return config;
}

class TwoSpisTest : public UeCommandsTest {
 protected:
  TwoSpisTest() : UeCommandsTest(config_of_two_spis()) {}
};

// R19.
TEST_F(TwoSpisTest, RefusesASetThatFindsNone) {
  EXPECT_EQ(pcscf.code(register_request()), "");
  EXPECT_EQ(pcscf.code(with(register_request(), "impi", "b@example")), "spis_exhausted");
  const Json request = without(register_request(), "security-client");
  EXPECT_EQ(ue.code(request), "");
  EXPECT_EQ(ue.code(with(request, "impi", "b@example")), "spis_exhausted");
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

// Refusals that no request of this file can be answered with, and the test that brings them about.
const struct {
  Refusal refusal;
  const char* file;
  const char* test;
} kOwnedElsewhere[] = {
    {Refusal::too_long, "control_socket_test.cc", "ControlSocketTest.RefusesBadRecordsAndServesOn"},
    {Refusal::too_many_connections, "control_socket_test.cc",
     "ControlSocketTest.RefusesMoreClientsThanItMayHave"},
    {Refusal::not_permitted, "hostile_clients_test.cc",
     "HostileClientsTest.IsForRootOwnerAndGroupWhateverTheFileSays"},
    {Refusal::no_memory, "ring_server_test.cc", "RingServerTest.SaysThatThereIsNoMemoryForARing"},
    {Refusal::ring_full, "gmesp_client_test.cc", "GmespClientTest.HasAnEndOfUnansweredCommands"},
    {Refusal::bad_configuration, "config_reload_test.cc",
     "ConfigReload.RefusesAFileThatIsNotAcceptedAndChangesNothing"},
    {Refusal::needs_restart, "config_reload_test.cc",
     "ConfigReload.RefusesWhatNeedsARestartByItsName"},
};

bool is_owned_elsewhere(const RefusalInfo& info) {
  for (const auto& other : kOwnedElsewhere) {
    if (other.refusal != info.refusal) continue;
    const std::regex code("\\b" + std::string(info.code) + "\\b");
    const bool owned = std::regex_search(body_of_test(other.file, other.test), code);
    EXPECT_TRUE(owned) << other.test << " does not look for " << info.code;
    return owned;
  }
  return false;
}

// The last suite of this file: the tests before it have seen an answer with every code of a
// registration. Those of single SAs come in commands_test, as strictly.
TEST(UeCommands, HaveSeenEveryRefusalOfARegistration) {
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  if (all.test_to_run_count() != all.total_test_count()) GTEST_SKIP() << "only a part is run";
  for (const RefusalInfo& info : kRefusalInfo) {
    const bool of_sas = info.refusal < Refusal::too_many_connections;
    if (of_sas && info.refusal != Refusal::too_long) continue;
    const bool seen = codes_seen().contains(std::string(info.code));
    EXPECT_NE(seen, is_owned_elsewhere(info))
        << info.code << " needs one test that makes it happen";
  }
}

}  // namespace
}  // namespace gmesp
