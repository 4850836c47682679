// SPDX-License-Identifier: BSD-3-Clause
// `config reload` and `policy list` as clients ask them: what is taken, what is refused, and that
// nothing has changed then. Worker.* has the traffic meanwhile (worker_test.cc).
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "control/commands.h"
#include "control/policy_config.h"
#include "tests/config_file.h"
#include "tests/control_client.h"
#include "tests/json_answers.h"
#include "tests/log_lines.h"
#include "tests/padded_record.h"

namespace gmesp {
namespace {

using Json = nlohmann::json;

std::string file_with(const std::string& rules) {
  return kLeast + "[policy]\nown_prefixes = ['192.0.2.1']\n" + rules;
}
const std::string kOneRule = file_with(
    "reachable = []\n"
    "[[policy.rule]]\nname = 'ping'\nmatch = 'icmp-echo'\nrate = 9\nrate_per_source = 9\n");
const std::string kTwoRules = file_with(
    "reachable = ['192.0.2.1']\n"
    "[[policy.rule]]\nname = 'register'\nmatch = 'udp'\nlocal = ['192.0.2.0/24']\n"
    "local_ports = [5060, '5070-5079']\nremote_ports = ['1024-65535']\nremote = ['10.0.0.0/8']\n"
    "rate = 50\nrate_per_source = 5\n"
    "[[policy.rule]]\nname = 'rest'\nmatch = 'any'\naction = 'drop'\ndirection = 'in'\n");

struct Bench {
  explicit Bench(const std::string& text, size_t workers = 2)
      : file(text),
        rig({.workers = workers}),
        proxies(rig.channel_pointers()),
        sas(rig.limits, rig.policy, rig.steering, rig.keys, proxies),
        registrar(rig.registrar, sas, [] { return std::chrono::milliseconds(0); }),
        keeper(proxies, rig.policy, {file.path(), read_config(file.path()).notes}),
        commands({rig.info, rig.keys, proxies, sas, registrar, rings, audit, keeper}) {}

  void submit(const std::string& command, std::string& answer) ON(control_thread) {
    PaddedRecord record(Json({{"command", command}}).dump());
    commands.handle(record.text(), [&answer](const std::string& text) { answer = text; });
  }
  void settle() ON(control_thread) {
    do {
      rig.poll_workers();
      proxies.poll();
    } while (proxies.waiting());
  }
  Json ask(const std::string& command) ON(control_thread) {
    std::string answer;
    submit(command, answer);
    settle();
    return Json::parse(answer);
  }

  ConfigFile file;
  ControlRig rig;
  WorkerProxies proxies;
  SaManager sas;
  Registrar registrar;
  RingServer rings{-1, registrar, Role::pcscf};
  Audit audit{{}, 1'000'000'000, proxies};
  PolicyKeeper keeper;
  Commands commands;
};

TEST(ConfigReload, PutsTheRulesOfTheFileInThePlaceOfThoseInUse) {
  const AssumeRole role(control_thread);
  Bench bench(kOneRule);
  EXPECT_EQ(bench.ask("config reload")["rules"], 1);
  const Json one = bench.ask("policy list");
  ASSERT_EQ(one["rules"].size(), 1u);
  EXPECT_EQ(one["rules"][0]["name"], "ping");
  EXPECT_EQ(one["own_prefixes"], Json({"192.0.2.1"}));
  EXPECT_FALSE(one.contains("reachable"));

  bench.file.write(kTwoRules);
  const Json done = bench.ask("config reload");
  EXPECT_EQ(done["done"], "reloaded");
  EXPECT_EQ(done["rules"], 2);
  EXPECT_TRUE(done["warnings"].empty());
  const Json two = bench.ask("policy list");
  const Json expected = {{"name", "register"},
                         {"match", "udp"},
                         {"direction", "both"},
                         {"local", {"192.0.2.0/24"}},
                         {"remote", {"10.0.0.0/8"}},
                         {"local_ports", {"5060", "5070-5079"}},
                         {"remote_ports", {"1024-65535"}},
                         {"rate", 50},
                         {"rate_per_source", 5},
                         {"action", "pass"},
                         {"hits", 0},
                         {"limited", 0}};
  EXPECT_EQ(two["rules"][0], expected);
  EXPECT_EQ(two["rules"][1]["direction"], "in");
  EXPECT_EQ(two["rules"][1]["action"], "drop");
  EXPECT_EQ(two["reachable"], Json({"192.0.2.1"}));
  EXPECT_EQ(two["reloads"], 2);
}

TEST(ConfigReload, RefusesAFileThatIsNotAcceptedAndChangesNothing) {
  const AssumeRole role(control_thread);
  Bench bench(kOneRule);
  bench.ask("config reload");
  const Json before = bench.ask("policy list");
  for (const std::string& bad :
       {kTwoRules + "local_ports = ['x']\n", kTwoRules + "nonsense", std::string(),
        kTwoRules + "[[policy.rule]]\nname = 'rest'\nmatch = 'tcp'\n"}) {
    bench.file.write(bad);
    const Json refused = bench.ask("config reload");
    EXPECT_EQ(refused["code"], refusal_info(Refusal::bad_configuration).code);
    EXPECT_NE(refused["error"].get<std::string>().find(bench.file.path() + ":"), std::string::npos)
        << refused;
    EXPECT_EQ(bench.ask("policy list"), before);
  }
  unlink(bench.file.path().c_str());
  EXPECT_EQ(bench.ask("config reload")["code"], "bad_configuration");
  EXPECT_EQ(bench.ask("policy list"), before);
  bench.file.write(kTwoRules);
  EXPECT_EQ(bench.ask("config reload")["done"], "reloaded") << "a refusal is not for ever";
}

TEST(ConfigReload, RefusesWhatNeedsARestartByItsName) {
  const AssumeRole role(control_thread);
  Bench bench(kOneRule);
  bench.ask("config reload");
  const Json before = bench.ask("policy list");
  bench.file.write(kTwoRules + "[sa]\ncapacity = 17\n");
  const Json refused = bench.ask("config reload");
  EXPECT_EQ(refused["code"], refusal_info(Refusal::needs_restart).code);
  EXPECT_TRUE(refused["error"].get<std::string>().ends_with(": sa.capacity")) << refused;
  EXPECT_EQ(bench.ask("policy list"), before);
}

TEST(ConfigReload, IsRefusedWhereThereIsNoFile) {
  const AssumeRole role(control_thread);
  ControlRig rig;
  WorkerProxies proxies(rig.channel_pointers());
  PolicyKeeper keeper(proxies, rig.policy, {});
  try {
    keeper.reload([] { ADD_FAILURE() << "reloaded from nowhere"; });
    ADD_FAILURE() << "not refused";
  } catch (const Refused& refused) {
    EXPECT_EQ(refused.refusal(), Refusal::bad_configuration);
  }
}

// Answered when the last worker uses it, each of several in its turn; a policy is freed when nobody
// reads it (ASan would see one freed too early, LeakSanitizer one that is not).
TEST(ConfigReload, IsAnsweredWhenEveryWorkerUsesIt) {
  const AssumeRole role(control_thread);
  Bench bench(kOneRule, 3);
  std::array<std::string, 3> answers;
  bench.submit("config reload", answers[0]);
  bench.file.write(kTwoRules);
  bench.submit("config reload", answers[1]);
  bench.submit("config reload", answers[2]);
  {
    const AssumeRole as_worker(worker_thread);
    for (const size_t worker : {2u, 0u}) bench.rig.workers[worker]->poll();
  }
  bench.proxies.poll();
  EXPECT_TRUE(bench.proxies.waiting());
  for (const std::string& answer : answers) EXPECT_EQ(answer, "") << "worker 1 has not";
  EXPECT_EQ(bench.keeper.reloads(), 0u);
  bench.settle();
  EXPECT_EQ(Json::parse(answers[0])["rules"], 1);
  EXPECT_EQ(Json::parse(answers[1])["rules"], 2);
  EXPECT_EQ(Json::parse(answers[2])["done"], "reloaded");
  EXPECT_EQ(bench.keeper.in_use().rules.size(), 2u);
}

TEST(ConfigReload, TellsWarningsInItsAnswerAndInStatus) {
  const AssumeRole role(control_thread);
  Bench bench(kTwoRules);
  const auto of_policy = [&]() {
    const AssumeRole control(control_thread);
    size_t count = 0;
    const Json status = bench.ask("status");
    for (const Json& warning : status["warnings"]) count += warning["code"] == "policy";
    return count;
  };
  EXPECT_EQ(of_policy(), 0u);
  bench.file.write(kOneRule);
  const Json done = bench.ask("config reload");
  ASSERT_EQ(done["warnings"].size(), 1u);
  EXPECT_NE(done["warnings"][0].get<std::string>().find("reachable is empty"), std::string::npos);
  EXPECT_EQ(of_policy(), 1u);
}

// A client that asks in a loop: a line a second, and what was left out is counted.
TEST(ConfigReload, IsLoggedOnceASecondHoweverOftenItIsAsked) {
  const AssumeRole role(control_thread);
  Bench bench(kOneRule);  // with a warning: reachable is empty
  const LogLines log;
  constexpr int kTimes = 300;
  const auto start = std::chrono::steady_clock::now();
  // Another policy each time: of one that is in use already there is nothing to say.
  const auto reload = [&](int number) {
    const AssumeRole control(control_thread);
    std::string text = kOneRule;
    bench.file.write(text.replace(text.find("ping"), 4, std::to_string(number)));
    return bench.ask("config reload")["done"];
  };
  for (int i = 0; i < kTimes; ++i) EXPECT_EQ(reload(i), "reloaded");
  const auto took =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - start);
  const size_t reloaded = log.count("policy reloaded: 1 rules");
  EXPECT_GE(reloaded, 1u);
  EXPECT_LE(reloaded, 1 + static_cast<size_t>(took.count()));
  EXPECT_EQ(log.count("reachable is empty"), reloaded) << "warnings go with their line";
  EXPECT_EQ(log.all().size(), 2 * reloaded);

  std::this_thread::sleep_for(PolicyKeeper::kLogInterval);
  EXPECT_EQ(reload(kTimes), "reloaded");
  EXPECT_EQ(log.count("policy reloaded: 1 rules"), reloaded + 1);
  if (reloaded == 1) {
    const std::string left_out = ", " + std::to_string(kTimes - 1) + " reloads before left out";
    EXPECT_TRUE(log.all().at(2).ends_with(left_out)) << log.all().at(2);
  }
}

// After the start gmespd is another user than the one who could read the file.
TEST(ConfigReload, SaysWhoCannotReadTheFile) {
  if (geteuid() != 0) GTEST_SKIP() << "becoming another user takes root";
  const AssumeRole role(control_thread);
  constexpr uid_t kNobody = 65534;
  Bench bench(kOneRule);
  const Json before = bench.ask("policy list");
  ASSERT_EQ(chmod(bench.file.path().c_str(), 0600), 0);
  ASSERT_EQ(seteuid(kNobody), 0);
  const Json refused = bench.ask("config reload");
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_EQ(refused["code"], "bad_configuration");
  EXPECT_TRUE(refused["error"].get<std::string>().ends_with(
      bench.file.path() +
      ": cannot be read: Permission denied for the user that gmespd runs as (uid 65534)"))
      << refused;
  EXPECT_EQ(bench.ask("policy list"), before);
  EXPECT_EQ(bench.ask("config reload")["done"], "reloaded");
}

// 64 rules with the longest names, as many prefixes and ports as there may be, all counters full.
TEST(PolicyList, FitsOneRecordHoweverLongItIs) {
  const AssumeRole role(control_thread);
  std::string text = kLeast + "[policy]\nown_prefixes = [";
  const std::string prefix = "'1111:2222:3333:4444:5555:6666:7777:8000/113', ";
  for (size_t i = 0; i < kMaxPrefixes / 2; ++i) text += prefix;
  text += "]\n";
  for (size_t i = 0; i < kMaxPolicyRules; ++i) {
    std::string name = std::to_string(i) + std::string(kMaxRuleNameBytes, '"');
    name.resize(kMaxRuleNameBytes);
    text += "[[policy.rule]]\nname = '" + name + "'\nmatch = 'udp'\nremote = [" + prefix + prefix +
            "]\nrate = 10000000\nrate_per_source = 10000000\nlocal_ports = [" +
            std::to_string(10000 + i) + "]\nremote_ports = [";
    for (size_t n = 1; n < kMaxPortRanges / kMaxPolicyRules; ++n) text += "'10000-65535', ";
    text += "]\n";
  }
  Bench bench(text, 1);
  const Json done = bench.ask("config reload");
  ASSERT_EQ(done["rules"], kMaxPolicyRules) << done;
  Counters counters;
  std::memset(static_cast<void*>(&counters), 0xff, sizeof counters);
  bench.rig.channels[0]->counters.publish(counters);
  std::string answer;
  bench.submit("policy list", answer);
  EXPECT_LE(answer.size(), kMaxRecordBytes);
  const Json list = Json::parse(answer);
  EXPECT_EQ(list["rules"].size(), kMaxPolicyRules);
  EXPECT_EQ(list["rules"][63]["hits"], UINT64_MAX);
}

TEST(PolicyList, HasEveryKeyInTheReadme) {
  const AssumeRole role(control_thread);
  std::stringstream readme;
  readme << std::ifstream(GMESP_CONTROL_README).rdbuf();
  Bench bench(kTwoRules);
  std::set<std::string> words;
  collect_keys(bench.ask("config reload"), words);
  collect_keys(bench.ask("policy list"), words);
  EXPECT_GT(words.size(), 20u);
  for (const std::string& word : words) {
    EXPECT_NE(readme.str().find("`" + word + "`"), std::string::npos) << word;
  }
}

// A client that asks in a loop neither fills buckets nor hides what rules have counted.
TEST(ConfigReload, ReplacesNothingByWhatIsInUse) {
  const AssumeRole role(control_thread);
  Bench bench(kOneRule);
  bench.ask("config reload");
  const Policy* in_use = &bench.keeper.in_use();
  std::string answer;
  bench.submit("config reload", answer);
  EXPECT_EQ(Json::parse(answer)["done"], "reloaded") << "no worker has run";
  EXPECT_FALSE(bench.proxies.waiting());
  EXPECT_EQ(&bench.keeper.in_use(), in_use);
  EXPECT_EQ(bench.keeper.reloads(), 1u);

  // Nor by what is on its way; but that is waited for.
  bench.file.write(kTwoRules);
  std::array<std::string, 2> answers;
  for (std::string& told : answers) bench.submit("config reload", told);
  EXPECT_EQ(answers[1], "");
  bench.settle();
  for (const std::string& told : answers) EXPECT_EQ(Json::parse(told)["rules"], 2);
  EXPECT_EQ(bench.keeper.reloads(), 2u);
}

// The look-up of a user may wait for a directory server.
TEST(ConfigReload, AsksNobodyAboutUsers) {
  const AssumeRole role(control_thread);
  Bench bench(kOneRule + "[control]\nuser = 'root'\n");
  bench.file.write(kOneRule + "[control]\nuser = 'no-such-user'\n");
  const Json refused = bench.ask("config reload");
  EXPECT_EQ(refused["code"], refusal_info(Refusal::needs_restart).code) << refused;
}

// Threads as they are: workers that run, clients that ask at once, a file that changes (for TSan).
TEST(ConfigReload, ServesClientsThatAllAskAtOnce) {
  const ConfigFile file(kOneRule);
  const std::string socket = socket_path("reload.sock");
  RunningControl running(socket, {.workers = 2}, nullptr,
                         {file.path(), read_config(file.path()).notes});
  std::vector<std::thread> clients;
  std::atomic<size_t> reloaded = 0;
  constexpr int kTimes = 50;
  for (int client = 0; client < 4; ++client) {
    clients.emplace_back([&, client] {
      ControlClient control(socket);
      for (int i = 0; i < kTimes; ++i) {
        if (client == 0) {  // at once, as an editor does
          std::ofstream(file.path() + ".new") << (i % 2 == 0 ? kTwoRules : kOneRule);
          std::filesystem::rename(file.path() + ".new", file.path());
        }
        reloaded += control.ask(R"({"command":"config reload"})")["done"] == "reloaded";
        EXPECT_GE(control.ask(R"({"command":"policy list"})")["rules"].size(), 1u);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(reloaded, 4u * kTimes);
  EXPECT_GE(ControlClient(socket).ask(R"({"command":"policy list"})")["reloads"], kTimes);
}

}  // namespace
}  // namespace gmesp
