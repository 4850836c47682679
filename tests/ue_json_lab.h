// SPDX-License-Identifier: BSD-3-Clause
// A UE and a P-CSCF, each behind its Commands: registrations by records, for tests.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/commands.h"
#include "control/ue_text.h"
#include "tests/json_answers.h"
#include "tests/padded_record.h"
#include "tests/registration_lab.h"

namespace gmesp {
using Json = nlohmann::json;

inline const std::string kCk = "000102030405060708090a0b0c0d0e0f";
inline const std::string kIk = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

// "kkkk...": a key nobody has used before.
inline std::string fresh_key() {
  static uint32_t keys = 0;
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", 0xabc00000 + keys++);
  return std::string(digits) + "11112222333344445555666a";
}

inline std::string offer(const std::string& ports,
                         const std::string& algorithms = "alg=hmac-sha-1-96") {
  return "ipsec-3gpp; " + algorithms + "; " + ports;
}
inline const std::string kNumbers = "spi-c=3333; spi-s=4444; port-c=40001; port-s=40002";

// The SPIs of a UE that takes new ones for each set.
inline std::string fresh_offer() {
  static uint32_t spi = 100000;
  spi += 2;
  return offer("spi-c=" + std::to_string(spi) + "; spi-s=" + std::to_string(spi + 1) +
               "; port-c=40001; port-s=40002");
}

inline Json register_request(const std::string& client = fresh_offer()) {
  return {{"command", "ue register"},     {"ue", to_string(kUe4)},
          {"pcscf", to_string(kPcscf4)},  {"impi", kImpi},
          {"impu", {kImpu, "tel:+1234"}}, {"security-client", client}};
}

inline Json on_handle(const std::string& command, const Json& handle) {
  return {{"command", command}, {"handle", handle}};
}

inline Json challenge_request(const Json& handle) {
  return with(with(on_handle("ue challenge", handle), "ck", fresh_key()), "ik", fresh_key());
}

// Every code that an answer of this process has had.
inline std::set<std::string>& codes_seen() {
  static std::set<std::string> codes;
  return codes;
}

// One end with the commands in front of it.
class JsonEnd {
 public:
  explicit JsonEnd(GmEnd& gm)
      : gm_(gm),
        rings_(-1, gm.registrar, gm.rig.policy.role),
        commands_(
            {gm.rig.info, gm.rig.keys, gm.proxies, gm.sas, gm.registrar, rings_, audit_, policy_}) {
    commands_.on_monitor([this](EventKinds kinds) { monitored = kinds; });
  }

  std::string ask_text(const std::string& record) {
    AssumeRole role(control_thread);
    PaddedRecord padded(record);
    auto answers = std::make_shared<std::vector<std::string>>();
    commands_.handle(padded.text(),
                     [answers](const std::string& text) { answers->push_back(text); });
    gm_.settle();
    EXPECT_EQ(answers->size(), 1u) << record;
    return answers->empty() ? "" : answers->front();
  }
  Json ask(const Json& request) {
    Json answer = Json::parse(ask_text(request.dump()));
    if (answer.contains("code")) codes_seen().insert(answer["code"]);
    return answer;
  }
  std::string code(const Json& request) { return ask(request).value("code", ""); }

  std::optional<EventKinds> monitored;

 private:
  GmEnd& gm_;
  RingServer rings_;  // with no client
  Audit audit_{{}, 1'000'000'000, gm_.proxies};
  PolicyKeeper policy_{gm_.proxies, gm_.rig.policy, {}};
  Commands commands_;
};

inline SetHandle handle_of(const Json& answer) {
  return SetHandle{std::stoull(answer.at("handle").get<std::string>(), nullptr, 16)};
}

class UeCommandsTest : public testing::Test {
 protected:
  explicit UeCommandsTest(const RegistrarConfig& config = kPlainConfig)
      : gm(config), ue(gm.ue), pcscf(gm.pcscf) {}

  // SM1 and SM6 at the P-CSCF. The answer to the REGISTER.
  Json challenged(const Json& request) {
    const Json offered = pcscf.ask(request);
    EXPECT_EQ(offered.value("done", ""), "offered") << offered;
    EXPECT_EQ(pcscf.ask(challenge_request(offered["handle"])).value("done", ""), "challenged");
    return offered;
  }
  static Json sm7(const Json& offered, const Json& request) {
    return with(with(on_handle("ue response", offered["handle"]), "security-verify",
                     offered["security-server"]),
                "security-client", request["security-client"]);
  }
  // SM1 to SM12 there, without the UE's packets.
  Json established(const Json& request, uint32_t expires_s = 3600) {
    const Json offered = challenged(request);
    const Json response = pcscf.ask(sm7(offered, request));
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

  bool request_up(Pair set) {
    AssumeRole role(control_thread);
    return gm.request_up(set);
  }
  bool request_down(Pair set) {
    AssumeRole role(control_thread);
    return gm.request_down(set);
  }
  void pass_time(std::chrono::milliseconds time) {
    AssumeRole role(control_thread);
    gm.pass_time(time);
  }

  GmLab gm;
  JsonEnd ue;
  JsonEnd pcscf;
};

}  // namespace gmesp
