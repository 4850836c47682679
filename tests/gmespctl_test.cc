// SPDX-License-Identifier: BSD-3-Clause
// The gmespctl binary as people and scripts run it, against a control thread with real workers.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "control/client_socket.h"
#include "control/json_writer.h"
#include "control/listener.h"
#include "tests/control_client.h"
#include "tests/shell.h"

namespace gmesp {
namespace {

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

const std::string kKeys =
    "alg hmac-sha-1-96 auth-key 000102030405060708090a0b0c0d0e0f10111213 "
    "ealg aes-cbc enc-key 0f0e0d0c0b0a09080706050403020100";

std::string add_line(uint32_t spi) {
  return "sa add dir in spi " + std::to_string(spi) +
         " src 198.51.100.7 dst 192.0.2.1 proto any dport 5063 " + kKeys;
}

class GmespctlTest : public testing::Test {
 protected:
  std::string path_ = socket_path("ctl.sock");
  RunningControl running_{path_, {.capacity = 65536}};

  std::string program(const std::string& arguments) const {
    return std::string(GMESP_GMESPCTL) + " -s " + path_ + " " + arguments;
  }
  Outcome run(const std::string& arguments) const { return shell(program(arguments)); }
  Outcome run_script(const std::string& script, const std::string& arguments = "") const {
    const std::string file = socket_path("script");
    std::ofstream(file) << script;
    const Outcome outcome = run(arguments + " -f " + file);
    unlink(file.c_str());
    return outcome;
  }
};

TEST_F(GmespctlTest, DoesTheLifeOfAnSa) {
  EXPECT_EQ(run(add_line(0x1001)).output, "added in 0x00001001\n");
  EXPECT_EQ(run("sa count").output, "1 in, 0 out\n");
  const Outcome list = run("sa list");
  EXPECT_EQ(list.status, 0);
  ASSERT_EQ(lines(list.output).size(), 2u) << list.output;
  EXPECT_NE(list.output.find("198.51.100.7"), std::string::npos);
  EXPECT_NE(run("sa show dir in spi 4097").output.find("hmac-sha-1-96"), std::string::npos);
  EXPECT_EQ(run("sa delete dir in spi 0x1001").output, "deleted in 0x00001001\n");
  const Outcome gone = run("sa delete dir in spi 0x1001");
  EXPECT_EQ(gone.status, 1);
  EXPECT_NE(gone.output.find("sa_not_found"), std::string::npos);
  EXPECT_EQ(run("sa flush").output, "0 SAs deleted\n");
  EXPECT_EQ(run("sa flush all").output, "0 SAs and 0 sets deleted\n");
}

TEST_F(GmespctlTest, ShowsTheEngineToPeople) {
  const Outcome status = run("status");
  EXPECT_EQ(status.status, 0);
  EXPECT_NE(status.output.find("role pcscf"), std::string::npos);
  EXPECT_NE(run("stats").output.find("protected_in"), std::string::npos);
  EXPECT_NE(run("stats core 2").output.find("total"), std::string::npos);
  EXPECT_EQ(run("stats core 77").status, 1);
  const std::string drops = run("drops --explain").output;
  for (const DropInfo& info : kDropInfo) {
    EXPECT_NE(drops.find(info.meaning), std::string::npos) << info.name;
  }
}

TEST_F(GmespctlTest, PrintsOneJsonObjectALine) {
  const Outcome outcome =
      run_script(add_line(256) + "\n" + add_line(256) + "\nnonsense\nsa count\n", "-j");
  EXPECT_EQ(outcome.status, 1);
  const std::vector<std::string> answers = lines(outcome.output);
  ASSERT_EQ(answers.size(), 4u) << outcome.output;
  const std::vector<std::string> codes{"", "spi_in_use", "usage", ""};
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(nlohmann::json::parse(answers[i]).value("code", ""), codes[i]);
  }
  EXPECT_EQ(nlohmann::json::parse(answers[3])["in"], 1);
}

TEST_F(GmespctlTest, ReadsScriptsWithQuotesCommentsAndNoLastNewline) {
  const Outcome outcome = run_script(
      "# all of it\n\n  sa   add dir \"in\" spi '256' src 198.51.100.7 dst 192.0.2.1\tproto any " +
      kKeys + " # the first\r\nsa count");
  EXPECT_EQ(outcome.output, "added in 0x00000100\n1 in, 0 out\n");
  EXPECT_EQ(outcome.status, 0);
}

TEST_F(GmespctlTest, NamesTheLineOfAnErrorWithoutItsWords) {
  const std::string secret = "00112233445566778899";
  const Outcome outcome = run_script("sa count\nsa add dir in " + secret + " 1\n'open\n" +
                                     add_line(256) + " window 7 \nsa list " + secret + "\n");
  EXPECT_EQ(outcome.status, 1);
  for (const char* place : {"line 2:", "line 3:", "line 4:", "line 5:"}) {
    EXPECT_NE(outcome.output.find(place), std::string::npos) << place << outcome.output;
  }
  EXPECT_EQ(outcome.output.find(secret), std::string::npos) << outcome.output;
}

TEST_F(GmespctlTest, TakesKeysFromFiles) {
  const std::string file = socket_path("key");
  std::ofstream(file) << "000102030405060708090a0b0c0d0e0f\n";
  const std::string command =
      "sa add dir out spi 7 src 192.0.2.1 dst 198.51.100.7 proto udp alg hmac-md5-96 ealg null "
      "auth-key @" +
      file;
  EXPECT_EQ(run(command).output, "added out 0x00000007\n");
  unlink(file.c_str());
  EXPECT_EQ(run(command).status, 2);
}

TEST_F(GmespctlTest, AnswersWhileItsInputStaysOpen) {
  // The second command is written only when the answer to the first has come.
  const Outcome outcome = shell(
      "bash -c '"
      "coproc " +
      program("-f -") +
      "; echo sa count >&${COPROC[1]}; read -r a <&${COPROC[0]}; "
      "echo [$a]; echo sa flush >&${COPROC[1]}; "
      "read -r b <&${COPROC[0]}; echo [$b]'");
  EXPECT_EQ(outcome.output, "[0 in, 0 out]\n[0 SAs deleted]\n");
}

TEST_F(GmespctlTest, FollowsThePagesOfAListForPeople) {
  std::string script;
  for (uint32_t i = 0; i < 350; ++i) script += add_line(256 + i) + "\n";
  ASSERT_EQ(run_script(script).status, 0);
  EXPECT_EQ(lines(run("sa list").output).size(), 351u);  // one head
  EXPECT_EQ(run("sa list").output.find("more:"), std::string::npos);
  const std::string json = run("-j sa list").output;
  EXPECT_EQ(lines(json).size(), 1u);
  EXPECT_TRUE(nlohmann::json::parse(json).contains("after"));
  // What follows a list waits for all its pages.
  const std::vector<std::string> both = lines(run_script("sa list\nsa count\n").output);
  ASSERT_EQ(both.size(), 352u);
  EXPECT_EQ(both.back(), "350 in, 0 out");
}

TEST_F(GmespctlTest, SaysHowALimitedListGoesOn) {
  std::string script;
  for (uint32_t i = 0; i < 50; ++i) script += add_line(256 + i) + "\n";
  ASSERT_EQ(run_script(script).status, 0);
  const std::vector<std::string> first = lines(run("sa list limit 20").output);
  ASSERT_EQ(first.size(), 22u);  // head, rows, token
  const std::string more = "more: ";
  ASSERT_EQ(first.back().find(more + "after 0x"), 0u) << first.back();
  const std::string after = first.back().substr(more.size());
  const std::string rest = run("sa list limit 1000 " + after).output;
  EXPECT_EQ(lines(rest).size(), 31u);
  EXPECT_NE(rest.find("0x00000114"), std::string::npos) << rest;  // the 21st
  EXPECT_EQ(rest.find(more), std::string::npos) << rest;
}

TEST_F(GmespctlTest, ExitsWithTheStatusOfTheManual) {
  EXPECT_EQ(run("status").status, 0);
  EXPECT_EQ(run("--help").status, 0);
  EXPECT_EQ(run("sa show dir in spi 256").status, 1);
  EXPECT_EQ(run("sa add dir in spi 1 src 198.51.100.7 dst 192.0.2.1 proto any " + kKeys).status, 1);
  for (const std::string usage :
       {"", "sa", "sa frobnicate", "status now", "sa delete dir in", "sa list limit", "--nonsense",
        "--timeout nan status", "--timeout inf status", "--timeout 0 status", "-f /nonexistent",
        "-f - status", "sa delete dir in dir in spi 256"}) {
    EXPECT_EQ(run(usage + " </dev/null").status, 2) << usage;
  }
  EXPECT_EQ(shell(std::string(GMESP_GMESPCTL) + " -s /nonexistent/x status").status, 3);
  EXPECT_EQ(shell("GMESP_SOCKET=" + path_ + " " + GMESP_GMESPCTL + " status").status, 0);
}

TEST_F(GmespctlTest, TimesOutOnADaemonThatDoesNotAnswer) {
  const std::string silent = socket_path("silent.sock");
  const FileDescriptor listener = listen_on(silent, "");
  const Outcome outcome =
      shell(std::string(GMESP_GMESPCTL) + " -s " + silent + " --timeout 0.2 status");
  EXPECT_EQ(outcome.status, 4);
  EXPECT_NE(outcome.output.find("unknown"), std::string::npos);
  unlink(silent.c_str());
}

// In gmespd's place, for one client. A gmespctl that would go on for ever is ended.
Outcome with_stand_in(const std::function<void(int)>& serve, const std::string& arguments) {
  const std::string path = socket_path("stand-in.sock");
  const FileDescriptor listener = listen_on(path, "");
  std::thread stand_in([&] {
    pollfd wait{listener.get(), POLLIN, 0};
    poll(&wait, 1, 20000);
    const FileDescriptor client(accept(listener.get(), nullptr, nullptr));
    serve(client.get());
  });
  const Outcome outcome =
      shell("timeout 30 " + std::string(GMESP_GMESPCTL) + " -s " + path + " " + arguments);
  stand_in.join();
  unlink(path.c_str());
  return outcome;
}

// Answers one request with this.
void answer_one(int client, const std::string& answer) {
  char request[4096];
  if (recv(client, request, sizeof request, 0) <= 0) return;
  send(client, answer.data(), answer.size(), MSG_NOSIGNAL);
}

Outcome ask_impostor(const std::string& answer, const std::string& arguments) {
  return with_stand_in([&](int client) { answer_one(client, answer); }, arguments);
}

TEST(Gmespctl, TellsAMalformedAnswerFromNoDaemon) {
  const struct {
    const char* command;
    const char* answer;
  } rows[] = {
      {"status", "220 mail ready"},
      {"status", "[]"},
      {"status", "{}"},
      {"status", R"({"ports":7,"workers":[],"warnings":[]})"},
      {"status", R"({"ports":[7],"workers":[],"warnings":[]})"},
      {"stats", R"({"workers":[{"access":{}}],"total":{}})"},
      {"sa list", R"({"sas":[null]})"},
      {"drops", R"({"drops":[[]],"total":0})"},
  };
  for (const auto& row : rows) {
    const Outcome outcome = ask_impostor(row.answer, row.command);
    EXPECT_EQ(outcome.status, 3) << row.answer << outcome.output;
    EXPECT_EQ(outcome.output.find("gmespctl: "), 0u) << row.answer << outcome.output;
    EXPECT_NE(outcome.output.find("answer"), std::string::npos) << row.answer << outcome.output;
  }
  const Outcome bad = ask_impostor("[]", "-j status");
  EXPECT_EQ(bad.status, 3);
  EXPECT_EQ(nlohmann::json::parse(bad.output)["code"], "bad_answer");
  const Outcome gone = shell(std::string(GMESP_GMESPCTL) + " -s /nonexistent/x -j status");
  EXPECT_EQ(nlohmann::json::parse(gone.output)["code"], "no_daemon");
}

TEST_F(GmespctlTest, SaysWhenItIsNotPermitted) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  // The binary's folder may be closed to others: a copy where everybody may go.
  const std::string copy = socket_path("gmespctl");
  ASSERT_EQ(shell("install -m 755 " + std::string(GMESP_GMESPCTL) + " " + copy).status, 0);
  const Outcome outcome = shell("setpriv --reuid 65534 --regid 65534 --clear-groups " + copy +
                                " -s " + path_ + " status");
  EXPECT_EQ(outcome.status, 5) << outcome.output;
  unlink(copy.c_str());
}

TEST_F(GmespctlTest, AddsManyFromAScriptInOrder) {
  constexpr uint32_t kSas = 20000;
  std::string script;
  for (uint32_t i = 0; i < kSas; ++i) script += add_line(256 + i) + "\n";
  const auto start = std::chrono::steady_clock::now();
  const Outcome outcome = run_script(script);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::cout << static_cast<int>(kSas / took.count()) << " sa add per second\n";
  EXPECT_EQ(outcome.status, 0);
  const std::vector<std::string> answers = lines(outcome.output);
  ASSERT_EQ(answers.size(), kSas);
  for (uint32_t i = 0; i < kSas; ++i) {
    char expected[32];
    std::snprintf(expected, sizeof expected, "added in 0x%08x", 256 + i);
    ASSERT_EQ(answers[i], expected);
  }
  EXPECT_EQ(run("sa flush").output, "20000 SAs deleted\n");
}

// What gmespd does at its limit of clients: it answers and hangs up, and reads nothing.
Outcome ask_full_daemon(const std::string& arguments) {
  return with_stand_in([](int client) { send_refusal(client, Refusal::too_many_connections); },
                       arguments);
}

TEST(Gmespctl, IsRefusedOnceWhereThereAreTooManyClients) {
  const std::string script = socket_path("three");
  std::ofstream(script) << "sa count\nnonsense\nsa count\n";
  const std::string monitoring = socket_path("monitoring");
  std::ofstream(monitoring) << "monitor\nsa count\n";
  const std::string silent = socket_path("silent");  // an input that never says anything
  ASSERT_EQ(mkfifo(silent.c_str(), 0600), 0);
  for (const std::string& arguments : {std::string("status"), std::string("monitor"),
                                       "-f " + script, "-f " + monitoring, "-f - <>" + silent}) {
    const Outcome outcome = ask_full_daemon("-j " + arguments);
    EXPECT_EQ(outcome.status, 1) << arguments;
    const std::vector<std::string> answers = lines(outcome.output);
    ASSERT_EQ(answers.size(), 1u) << arguments << outcome.output;
    EXPECT_EQ(nlohmann::json::parse(answers[0]).value("code", ""), "too_many_connections");
  }
  unlink(script.c_str());
  unlink(monitoring.c_str());
  unlink(silent.c_str());
}

const std::string kMonitoring = R"({"done":"monitoring"})";

TEST(Gmespctl, EndsWhenAnotherIsGivenItsPlaceToMonitor) {
  const auto serve = [](int client) {
    answer_one(client, kMonitoring);
    send_refusal(client, Refusal::too_many_connections);
  };
  const Outcome outcome = with_stand_in(serve, "-j monitor");
  EXPECT_EQ(outcome.status, 1);
  const std::vector<std::string> answers = lines(outcome.output);
  ASSERT_EQ(answers.size(), 2u) << outcome.output;
  EXPECT_EQ(answers[0], kMonitoring);
  EXPECT_EQ(nlohmann::json::parse(answers[1]).value("code", ""), "too_many_connections");
}

// The 33rd that asks to is served on.
TEST(Gmespctl, GoesOnWhenItMayNotMonitor) {
  const std::string script = socket_path("not-monitoring");
  std::ofstream(script) << "monitor\nsa count\n";
  const std::string count = R"({"in":1,"out":0,"total":1})";
  const auto serve = [&](int client) {
    answer_one(client, refusal_answer(Refused(Refusal::too_many_connections)));
    answer_one(client, count);
    char nothing;
    EXPECT_EQ(recv(client, &nothing, 1, 0), 0) << "it hangs up, not gmespd";
  };
  const Outcome outcome = with_stand_in(serve, "-j -f " + script);
  EXPECT_EQ(outcome.status, 1);
  const std::vector<std::string> answers = lines(outcome.output);
  ASSERT_EQ(answers.size(), 2u) << outcome.output;
  EXPECT_EQ(nlohmann::json::parse(answers[0]).value("code", ""), "too_many_connections");
  EXPECT_EQ(answers[1], count);
  unlink(script.c_str());
}

TEST_F(GmespctlTest, GoesOnAfterALineThatIsTooLong) {
  std::string script = "sa count\n";
  // More than a record may have, and more than the kernel takes.
  for (const size_t zeros : {kMaxRecordBytes, 8 * kMaxRecordBytes}) {
    script += "sa show dir in spi 0x" + std::string(zeros, '0') + "1\nsa count\n";
  }
  const Outcome outcome = run_script(script, "-j");
  EXPECT_EQ(outcome.status, 1);
  const std::vector<std::string> answers = lines(outcome.output);
  const std::vector<std::string> codes{"", "too_long", "", "too_long", ""};
  ASSERT_EQ(answers.size(), codes.size()) << outcome.output;
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(nlohmann::json::parse(answers[i]).value("code", ""), codes[i]) << i;
  }
  EXPECT_NE(run_script(script).output.find("line 2: "), std::string::npos);
}

TEST_F(GmespctlTest, SaysWhenItsOutputIsLost) {
  for (const char* arguments : {"status >/dev/full", "-j sa count >/dev/full",
                                "-f - >/dev/full <<'END'\nsa count\nsa count\nEND\n"}) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 1) << arguments;
    EXPECT_NE(outcome.output.find("standard output"), std::string::npos) << outcome.output;
  }
}

}  // namespace
}  // namespace gmesp
