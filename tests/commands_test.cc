// SPDX-License-Identifier: BSD-3-Clause
// Records in, records out: Commands over SaManager and real workers, without the socket.
#include "control/commands.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "control/telemetry.h"
#include "tests/control_rig.h"
#include "tests/json_answers.h"
#include "tests/padded_record.h"

namespace gmesp {
namespace {

using Json = nlohmann::json;

constexpr const char* kKey = "000102030405060708090a0b0c0d0e0f10111213";

Json sa_request(const std::string& dir, const std::string& spi) {
  const bool in = dir == "in";
  return {{"command", "sa add"},
          {"dir", dir},
          {"spi", spi},
          {"src", in ? "198.51.100.7" : "192.0.2.1"},
          {"dst", in ? "192.0.2.1" : "198.51.100.7"},
          {"proto", "any"},
          {in ? "dport" : "sport", kProtectedPort},
          {"alg", "hmac-sha-1-96"},
          {"auth-key", kKey},
          {"ealg", "null"}};
}

struct Bench {
  explicit Bench(const RigConfig& config = {})
      : rig(config),
        proxies(rig.channel_pointers()),
        sas(rig.limits, rig.policy, rig.steering, rig.keys, proxies),
        registrar(rig.registrar, sas, [] { return std::chrono::milliseconds(0); }),
        commands({rig.info, rig.keys, proxies, sas, registrar, rings, audit, policy}) {}

  // The answer's text; empty when there is none.
  std::string ask_text(const std::string& record) ON(control_thread) {
    PaddedRecord padded(record);
    auto answer = std::make_shared<std::string>();
    commands.handle(padded.text(), [answer](const std::string& text) { *answer = text; });
    EXPECT_TRUE(padded.is_wiped());
    do {
      rig.poll_workers();
      proxies.poll();
    } while (proxies.waiting());
    return *answer;
  }
  Json ask(const Json& request) ON(control_thread) { return Json::parse(ask_text(request.dump())); }
  std::string code(const Json& request) ON(control_thread) {
    return ask(request).value("code", "");
  }

  ControlRig rig;
  WorkerProxies proxies;
  SaManager sas;
  Registrar registrar;
  RingServer rings{-1, registrar, rig.policy.role};  // with no client
  Audit audit{{}, 1'000'000'000, proxies};
  PolicyKeeper policy{proxies, rig.policy, {}};
  Commands commands;
};

// All values right but for one; each row with the code it is refused with.
std::vector<std::pair<Refusal, std::string>> bad_requests() {
  const Json add = sa_request("in", "0x1001");
  const Json count = {{"command", "sa count"}};
  const Json stats = {{"command", "stats"}};
  const Json drops = {{"command", "drops"}};
  return {
      {Refusal::not_json, ""},
      {Refusal::not_json, "[]"},
      {Refusal::not_json, "17"},
      {Refusal::not_json, "{\"command\":\"status\""},
      {Refusal::not_json, "{\"command\":\"status\"}{}"},
      {Refusal::not_json, std::string("\0\xff\x80", 3)},
      {Refusal::not_json, std::string(60000, '[')},
      {Refusal::missing_key, "{}"},
      {Refusal::wrong_type, "{\"command\":1}"},
      {Refusal::unknown_command, "{\"command\":\"sa\"}"},
      {Refusal::unknown_command, "{\"command\":\"Status\"}"},
      {Refusal::duplicate_key, "{\"command\":\"status\",\"command\":\"status\"}"},
      {Refusal::duplicate_key, "{\"command\":\"stats\",\"core\":0,\"core\":0}"},
      {Refusal::unknown_key, with(count, "dir", "in").dump()},
      {Refusal::unknown_key, with(add, "", "in").dump()},
      {Refusal::missing_key, without(add, "spi").dump()},
      {Refusal::missing_key, without(add, "auth-key").dump()},
      {Refusal::wrong_type, with(add, "src", 5).dump()},
      {Refusal::wrong_type, with(add, "spi", 1.5).dump()},
      {Refusal::wrong_type, with(add, "spi", nullptr).dump()},
      {Refusal::wrong_type, with(add, "spi", Json::array()).dump()},
      {Refusal::wrong_type, with(add, "auth-key", 7).dump()},
      {Refusal::wrong_type, with(drops, "explain", false).dump()},
      {Refusal::wrong_type, with(drops, "explain", "yes").dump()},
      {Refusal::invalid_value, with(add, "dir", "IN").dump()},
      {Refusal::invalid_value, with(add, "proto", "sctp").dump()},
      {Refusal::invalid_value, with(add, "src", "198.51.100").dump()},
      {Refusal::invalid_value, with(add, "src", "0.0.0.0").dump()},
      {Refusal::invalid_value, with(add, "dst", "224.0.0.1").dump()},
      {Refusal::invalid_value, with(add, "dst", "ff02::1").dump()},
      {Refusal::invalid_value, with(add, "dst", "::").dump()},
      {Refusal::invalid_value, with(add, "alg", "hmac-sha-256").dump()},
      {Refusal::invalid_value, with(add, "ealg", "AES-CBC").dump()},
      {Refusal::invalid_value, with(add, "spi", "").dump()},
      {Refusal::invalid_value, with(add, "spi", "0x").dump()},
      {Refusal::invalid_value, with(add, "spi", "-1").dump()},
      {Refusal::invalid_value, with(add, "spi", "4097 ").dump()},
      {Refusal::invalid_value, with(add, "spi", "1e3").dump()},
      {Refusal::invalid_value, with(add, "spi", "99999999999999999999").dump()},
      {Refusal::invalid_value, with(sa_request("out", "1"), "window", 64).dump()},
      {Refusal::out_of_range, with(add, "spi", -1).dump()},
      {Refusal::out_of_range, with(add, "spi", 4294967296).dump()},
      {Refusal::out_of_range, with(add, "sport", 0).dump()},
      {Refusal::out_of_range, with(add, "dport", 65536).dump()},
      {Refusal::out_of_range, with(add, "window", 16).dump()},
      {Refusal::out_of_range, with(add, "window", 1025).dump()},
      {Refusal::out_of_range, with(add, "seq", "0x100000000").dump()},
      {Refusal::reserved_spi, with(add, "spi", 255).dump()},
      {Refusal::reserved_spi, sa_request("out", "0").dump()},
      {Refusal::address_families_differ, with(add, "src", "2001:db8::7").dump()},
      {Refusal::suite_not_permitted, with(add, "alg", "null").dump()},
      {Refusal::suite_not_permitted, with(add, "ealg", "aes-gcm").dump()},
      {Refusal::not_hex, with(add, "auth-key", std::string(kKey).replace(5, 1, "g")).dump()},
      {Refusal::not_hex, with(add, "auth-key", "123").dump()},
      {Refusal::wrong_key_length, with(add, "auth-key", "0011").dump()},
      {Refusal::wrong_key_length, with(add, "auth-key", std::string(50000, '0')).dump()},
      {Refusal::key_not_used, with(add, "enc-key", kKey).dump()},
      {Refusal::weak_des_key,
       with(with(add, "ealg", "des-ede3-cbc"), "enc-key", std::string(48, '7')).dump()},
      {Refusal::sa_not_found, Json({{"command", "sa delete"}, {"dir", "in"}, {"spi", 256}}).dump()},
      {Refusal::no_such_core, with(stats, "core", 99).dump()},
  };
}

TEST(Commands, RefuseEveryBadRequestWithItsCodeAndChangeNothing) {
  AssumeRole role(control_thread);
  Bench bench;
  for (const auto& [refusal, record] : bad_requests()) {
    const Json answer = Json::parse(bench.ask_text(record));
    EXPECT_EQ(answer.value("code", ""), refusal_info(refusal).code) << record.substr(0, 200);
    EXPECT_EQ(answer.value("error", "").find(refusal_info(refusal).sentence), 0u);
    EXPECT_EQ(bench.sas.count(Direction::in, SaState::live) +
                  bench.sas.count(Direction::out, SaState::live),
              0u);
  }
}

// With what the engine's state refuses: every row of kRefusalInfo but the two of the socket
// (too_long, too_many_connections: control_socket_test) and those of registrations
// (ue_refusals_test).
TEST(Commands, HaveARequestForEveryRefusal) {
  AssumeRole role(control_thread);
  std::set<std::string> seen;
  for (const auto& [refusal, record] : bad_requests()) {
    seen.insert(std::string(refusal_info(refusal).code));
  }
  Bench bench({.capacity = 3, .worker_capacity = 2, .key_slots = 4});
  ASSERT_EQ(bench.code(sa_request("in", "256")), "");
  seen.insert(bench.code(sa_request("in", "256")));  // spi_in_use
  ASSERT_EQ(bench.code(sa_request("out", "1")), "");
  ASSERT_EQ(bench.code(with(sa_request("out", "1"), "dst", "198.51.100.9")), "");
  seen.insert(bench.code({{"command", "sa show"}, {"dir", "out"}, {"spi", 1}}));  // ambiguous_spi
  seen.insert(bench.code(sa_request("out", "3")));  // rejected_by_worker
  ASSERT_EQ(bench.code(sa_request("in", "257")), "");
  seen.insert(bench.code(sa_request("in", "258")));  // key_store_full

  bench.sas.remove({Direction::in, Spi{256}, {}}, [](std::optional<Refusal>) {});
  seen.insert(bench.code({{"command", "sa delete"}, {"dir", "in"}, {"spi", 256}}));  // sa_busy

  Bench small({.capacity = 1});
  ASSERT_EQ(small.code(sa_request("in", "256")), "");
  seen.insert(small.code(sa_request("in", "257")));  // capacity_reached

  for (const RefusalInfo& info : kRefusalInfo) {
    // Of connections (control_socket_test, ring_server_test) and registrations (ue_refusals_test).
    // And of the configuration (config_reload_test).
    if (info.refusal == Refusal::too_long || info.refusal >= Refusal::too_many_connections)
      continue;
    EXPECT_TRUE(seen.contains(std::string(info.code))) << info.code;
  }
}

TEST(Commands, FitTheLongestStatisticsIntoOneRecord) {
  AssumeRole role(control_thread);
  ControlRig rig;  // its keys and policy
  const Steering steering(Steering::kMaxWorkers);
  std::vector<std::unique_ptr<WorkerChannel>> channels;
  std::vector<WorkerChannel*> pointers;
  EngineInfo info;
  for (unsigned i = 0; i < Steering::kMaxWorkers; ++i) {
    channels.push_back(std::make_unique<WorkerChannel>());
    pointers.push_back(channels.back().get());
    Counters counters;
    std::memset(static_cast<void*>(&counters), 0xff, sizeof counters);  // 20 digits each
    channels.back()->counters.publish(counters);
    info.workers.push_back({.cpu = i, .idle = "poll", .instruction_set = "test"});
  }
  const WorkerProxies proxies(pointers);
  const std::string answer = stats_answer(info, proxies, std::nullopt);
  EXPECT_LE(answer.size(), kMaxRecordBytes);
  EXPECT_EQ(Json::parse(answer)["workers"].size(), Steering::kMaxWorkers);
}

// Whatever a client puts where: what it said does not come back.
TEST(Commands, NeverRepeatWhatTheyWereSent) {
  AssumeRole role(control_thread);
  Bench bench;
  const std::string secret = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2";
  const Json good = with(sa_request("in", "0x1001"), "auth-key", secret);
  std::vector<std::string> records{good.dump(), good.dump().substr(0, 150),
                                   with(good, secret, 1).dump(),
                                   Json({{"command", secret}}).dump()};
  for (const auto& [key, value] : good.items()) records.push_back(with(good, key, secret).dump());
  records.push_back(R"({"command":"sa show","dir":"in","spi":"0x1001"})");
  records.push_back(R"({"command":"sa list"})");
  for (const std::string& record : records) {
    const std::string answer = bench.ask_text(record);
    EXPECT_NE(answer, "");
    EXPECT_EQ(answer.find(secret.substr(0, 8)), std::string::npos) << answer;
  }
}

TEST(Commands, InstallEverySuiteAndShowItWithoutItsKeys) {
  AssumeRole role(control_thread);
  Bench bench;
  uint32_t spi = 4096;
  for (const SuiteInfo& suite : kSuites) {
    for (const std::string dir : {"in", "out"}) {
      Json request = sa_request(dir, std::to_string(++spi));
      request["alg"] = name(suite.integrity);
      request["ealg"] = name(suite.encryption);
      const auto set_key = [&](const char* key, size_t bytes) {
        request.erase(key);
        std::string digits;  // unlike thirds: a DES-EDE3 key of equal ones is refused
        for (size_t i = 0; i < 2 * bytes; ++i) digits += "0123456789ABCDEFabcdef"[(i * 7) % 22];
        if (bytes != 0) request[key] = digits;
      };
      set_key("auth-key", suite.auth_key_bytes);
      set_key("enc-key", suite.enc_key_bytes);
      set_key("salt", suite.salt_bytes);
      const Json added = bench.ask(request);
      ASSERT_EQ(added.value("done", ""), "added") << added;
      const Json shown = bench.ask({{"command", "sa show"}, {"dir", dir}, {"spi", spi}});
      EXPECT_EQ(shown["alg"], request["alg"]);
      EXPECT_EQ(shown["ealg"], request["ealg"]);
      EXPECT_EQ(shown["state"], "live");
      EXPECT_EQ(shown["packets"], 0);
      EXPECT_FALSE(shown.contains("idle_ms"));
    }
  }
  const Json count = bench.ask({{"command", "sa count"}});
  EXPECT_EQ(count["total"], 2 * kSuiteCount);
}

TEST(Commands, TakeNumbersInEveryForm) {
  AssumeRole role(control_thread);
  Bench bench;
  Json request = sa_request("in", "");
  for (const Json& spi : std::vector<Json>{4097, "4098", "0x1003", "0X1004"}) {
    EXPECT_EQ(bench.ask(with(request, "spi", spi)).value("done", ""), "added") << spi;
  }
  const Json list = bench.ask({{"command", "sa list"}});
  std::set<std::string> spis;
  for (const Json& row : list["sas"]) spis.insert(row["spi"]);
  EXPECT_EQ(spis, (std::set<std::string>{"0x00001001", "0x00001002", "0x00001003", "0x00001004"}));
}

TEST(Commands, ListInPagesThatFitARecord) {
  AssumeRole role(control_thread);
  Bench bench({.capacity = 400});
  for (int i = 0; i < 300; ++i) {
    Json request = sa_request("in", std::to_string(4096 + i));
    request["src"] = "2001:db8:1111:2222:3333:4444:5555:" + std::to_string(1000 + i);
    request["dst"] = "2001:db8:1111:2222:3333:4444:5555:1";
    ASSERT_EQ(bench.code(request), "");
  }
  size_t rows = 0;
  Json request = {{"command", "sa list"}, {"limit", 1000}};
  while (true) {
    const std::string text = bench.ask_text(request.dump());
    EXPECT_LE(text.size(), kMaxRecordBytes);
    const Json page = Json::parse(text);
    rows += page["sas"].size();
    if (!page.contains("after")) break;
    request["after"] = page["after"];
  }
  EXPECT_EQ(rows, 300u);
  EXPECT_EQ(bench.ask({{"command", "sa list"}, {"limit", 5}})["sas"].size(), 5u);
  EXPECT_EQ(bench.ask({{"command", "sa flush"}})["deleted"], 300);
}

TEST(Commands, WarnInStatus) {
  AssumeRole role(control_thread);
  Bench bench;
  bench.rig.info.notices.push_back("no hugepages");
  const auto codes = [&]() {
    AssumeRole control(control_thread);
    std::set<std::string> found;
    const Json status = bench.ask({{"command", "status"}});
    for (const Json& warning : status["warnings"]) {
      found.insert(warning["code"].get<std::string>());
    }
    return found;
  };
  EXPECT_TRUE(codes().contains("start"));
  EXPECT_EQ(codes().contains("keys_not_locked"), !bench.rig.keys.locked());
  EXPECT_FALSE(codes().contains("replay_protection_off"));
  EXPECT_FALSE(codes().contains("local_port_not_protected"));
  bench.ask(without(with(sa_request("in", "256"), "window", 0), "dport"));
  EXPECT_TRUE(codes().contains("replay_protection_off"));
  EXPECT_TRUE(codes().contains("local_port_not_protected"));
}

// DESIGN 2: what the devices could not spread, the workers did, and `status` says so.
TEST(Commands, SayInStatusHowPacketsFindTheirWorker) {
  AssumeRole role(control_thread);
  Bench bench;
  Counters counters;
  counters.access.rx_landed_right = 7;
  counters.access.rx_steered = 5;
  counters.access.rx_hash_compared = 12;
  counters.access.rx_hash_mismatches = 2;
  counters.host.rx_steered = 99;
  bench.rig.channels[0]->counters.publish(counters);
  const Json port = bench.ask({{"command", "status"}})["ports"][0];
  EXPECT_EQ(port["rss"], "software: one receive queue");
  EXPECT_EQ(port["numa_node"], 0);
  EXPECT_EQ(port["rx_landed_right"], 7);
  EXPECT_EQ(port["rx_steered"], 5);
  EXPECT_EQ(port["rx_hash_compared"], 12);
  EXPECT_EQ(port["rx_hash_mismatches"], 2);
}

TEST(Commands, WarnWhenADeviceDoesNotSpreadAsItClaims) {
  AssumeRole role(control_thread);
  struct {
    const char* rss;
    uint64_t right;
    uint64_t steered;
    bool warning;
  } const rows[] = {
      {"hardware (table written, 128 entries)", 901, 99, false},
      {"hardware (table written, 128 entries)", 900, 100, true},
      {"hardware (table written, 128 entries)", 499, 500, false},
      {"hardware (table written, 128 entries); in software: UDP over IPv4", 500, 500, false},
      {"software: it has no RSS", 0, 5000, false},
  };
  for (const auto& row : rows) {
    Bench bench;
    bench.rig.info.ports[0].spreading = row.rss;
    Counters counters;
    counters.access.rx_landed_right = row.right;
    counters.access.rx_steered = row.steered;
    bench.rig.channels[0]->counters.publish(counters);
    bool found = false;
    const Json status = bench.ask({{"command", "status"}});
    for (const Json& warning : status["warnings"]) found |= warning["code"] == "rss_differs";
    EXPECT_EQ(found, row.warning) << row.rss << " " << row.right << " " << row.steered;
  }
}

// What no worker saw is in no drop counter: status says it.
TEST(Commands, StatusTellsWhatTheDevicesLost) {
  const AssumeRole role(control_thread);
  Bench bench;
  const auto warned = [](const Json& status) {
    return std::ranges::any_of(status["warnings"], [](const Json& warning) {
      return warning["code"] == "device_lost_packets" &&
             warning["warning"].get<std::string>().find("access device") != std::string::npos;
    });
  };
  PortLosses losses{.rx_errors = 4};
  bench.rig.info.ports[0].losses = [&losses] { return losses; };
  EXPECT_FALSE(warned(bench.ask({{"command", "status"}}))) << "bad frames are no fault of ours";
  losses = {.rx_missed = 3, .rx_no_buffer = 5, .rx_errors = 4, .tx_errors = 7};
  const Json status = bench.ask({{"command", "status"}});
  EXPECT_TRUE(warned(status));
  EXPECT_EQ(status["ports"][0]["rx_missed"], 3);
  EXPECT_EQ(status["ports"][0]["rx_no_buffer"], 5);
  EXPECT_EQ(status["ports"][0]["rx_errors"], 4);
  EXPECT_EQ(status["ports"][0]["tx_errors"], 7);
}

TEST(Commands, SumTheWorkersCountersAndDrops) {
  AssumeRole role(control_thread);
  Bench bench({.workers = 2});
  for (uint64_t i = 0; i < 2; ++i) {
    Counters counters;
    counters.access.rx_packets = 10 + i;
    counters.host.tx_bytes = 1000 + i;
    for (size_t drop = 0; drop < kDropCount; ++drop) counters.drops[drop] = drop + i;
    bench.rig.channels[i]->counters.publish(counters);
  }
  const auto ask = [&](const Json& request) {
    PaddedRecord record(request.dump());
    std::string answer;
    AssumeRole control(control_thread);
    bench.commands.handle(record.text(), [&](const std::string& got) { answer = got; });
    return Json::parse(answer);
  };
  const Json stats = ask({{"command", "stats"}});
  EXPECT_EQ(stats["workers"].size(), 2u);
  EXPECT_EQ(stats["total"]["access"]["rx_packets"], 21);
  EXPECT_EQ(stats["total"]["host"]["tx_bytes"], 2001);
  const Json one = ask({{"command", "stats"}, {"core", 3}});
  EXPECT_EQ(one["workers"].size(), 1u);
  EXPECT_EQ(one["total"]["access"]["rx_packets"], 11);
  const Json drops = ask({{"command", "drops"}, {"explain", true}});
  ASSERT_EQ(drops["drops"].size(), kDropCount);
  uint64_t sum = 0;
  for (size_t i = 0; i < kDropCount; ++i) {
    EXPECT_EQ(drops["drops"][i]["reason"], kDropInfo[i].name);
    EXPECT_EQ(drops["drops"][i]["meaning"], kDropInfo[i].meaning);
    EXPECT_EQ(drops["drops"][i]["count"], 2 * i + 1);
    sum += 2 * i + 1;
  }
  EXPECT_EQ(drops["total"], sum);
  EXPECT_EQ(stats["total"]["dropped"], sum);
}

// The README is the reference that scripts are written from.
TEST(Commands, HaveEveryKeyAndCodeInTheReadme) {
  AssumeRole role(control_thread);
  std::stringstream readme;
  readme << std::ifstream(GMESP_CONTROL_README).rdbuf();
  Bench bench;
  std::set<std::string> words;
  const Json sa = without(with(sa_request("in", "256"), "window", 0), "dport");
  const std::vector<Json> requests{with(sa, "sport", 7),
                                   sa_request("out", "1"),
                                   sa,
                                   {{"command", "sa list"}, {"limit", 1}},
                                   {{"command", "sa show"}, {"dir", "in"}, {"spi", 256}},
                                   {{"command", "sa count"}},
                                   {{"command", "status"}},
                                   {{"command", "stats"}},
                                   {{"command", "drops"}, {"explain", true}},
                                   {{"command", "policy list"}},
                                   {{"command", "sa delete"}, {"dir", "in"}, {"spi", 256}},
                                   {{"command", "sa flush"}, {"all", true}}};
  for (const Json& request : requests) collect_keys(bench.ask(request), words);
  words.insert("idle_ms");
  for (const CommandRule& rule : kCommandRules) {
    words.insert(std::string(rule.words));
    for (const KeyRule& key : rule.keys) words.insert(std::string(key.name));
  }
  for (const RefusalInfo& info : kRefusalInfo) words.insert(std::string(info.code));
  EXPECT_GT(words.size(), 90u);
  for (const std::string& word : words) {
    EXPECT_NE(readme.str().find("`" + word + "`"), std::string::npos) << word;
  }
}

// The fuzzer's seeds and dictionary: what is in neither is met by chance alone.
TEST(Commands, AreKnownToTheFuzzer) {
  std::ostringstream seeds, dictionary;
  for (const auto& file :
       std::filesystem::directory_iterator(GMESP_TESTS_FOLDER "/fuzz/corpus/json")) {
    seeds << std::ifstream(file.path()).rdbuf();
  }
  dictionary << std::ifstream(GMESP_TESTS_FOLDER "/fuzz/json.dict").rdbuf();
  const auto has = [](const std::ostringstream& text, const std::string& part) {
    return text.str().find(part) != std::string::npos;
  };
  for (const CommandRule& rule : kCommandRules) {
    const std::string words(rule.words);
    EXPECT_TRUE(has(seeds, R"({"command":")" + words + '"')) << words;
    EXPECT_TRUE(has(dictionary, R"("\")" + words + R"(\"")")) << words;
    for (const KeyRule& key : rule.keys) {
      const std::string name(key.name);
      EXPECT_TRUE(has(seeds, '"' + name + R"(":)")) << words << ' ' << name;
      EXPECT_TRUE(has(dictionary, R"(\")" + name + R"(\":)")) << words << ' ' << name;
    }
  }
}

}  // namespace
}  // namespace gmesp
