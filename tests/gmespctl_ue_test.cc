// SPDX-License-Identifier: BSD-3-Clause
// Registrations through the gmespctl binary, as people and scripts make them.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/control_client.h"
#include "tests/shell.h"

namespace gmesp {
namespace {

using Json = nlohmann::json;

const std::string kCk = "000102030405060708090a0b0c0d0e0f";
const std::string kIk = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string offer(unsigned n) {
  return "'Security-Client: ipsec-3gpp; alg=hmac-sha-1-96; ealg=aes-cbc; spi-c=" +
         std::to_string(10000 + 2 * n) + "; spi-s=" + std::to_string(10001 + 2 * n) +
         "; port-c=40001; port-s=40002, tls'";
}

std::string register_line(unsigned n) {
  return "ue register ue 10.0." + std::to_string(n / 250) + "." + std::to_string(1 + n % 250) +
         " pcscf 192.0.2.1 impi u" + std::to_string(n) +
         "@example impu sip:a@example impu 'tel:+12' security-client " + offer(n);
}

// The first handle in an output.
std::string handle_in(const std::string& output) {
  const size_t at = output.find("0x");
  return at == std::string::npos ? "" : output.substr(at, 18);
}

class GmespctlUeTest : public testing::Test {
 protected:
  std::string path_ = socket_path("ctl-ue.sock");
  RunningControl running_{path_, {.capacity = 4096}};
  std::string file_ = socket_path("ctl-ue.file");
  ~GmespctlUeTest() override { unlink(file_.c_str()); }

  std::string program(const std::string& arguments) const {
    return std::string(GMESP_GMESPCTL) + " -s " + path_ + " " + arguments;
  }
  Outcome run(const std::string& arguments) const { return shell(program(arguments)); }
  Outcome run_script(const std::string& script, const std::string& arguments = "") const {
    std::ofstream(file_) << script;
    return run(arguments + " -f " + file_);
  }
  Json json(const std::string& arguments) const {
    return Json::parse(run("-j " + arguments).output, nullptr, false);
  }
  // Handles of n sets that are registered.
  std::vector<std::string> registered(unsigned n) const {
    std::string script;
    for (unsigned i = 0; i < n; ++i) script += register_line(i) + "\n";
    std::vector<std::string> handles;
    for (const std::string& line : lines(run_script(script, "-j").output)) {
      handles.push_back(Json::parse(line).at("handle"));
    }
    return handles;
  }
};

TEST_F(GmespctlUeTest, DoesTheLifeOfARegistration) {
  const Outcome offered = run(register_line(0));
  ASSERT_EQ(offered.status, 0) << offered.output;
  const std::vector<std::string> told = lines(offered.output);
  ASSERT_EQ(told.size(), 3u) << offered.output;
  const std::string handle = handle_in(told[0]);
  EXPECT_EQ(told[0], "offered " + handle);
  const std::string header = "Security-Server: ";
  ASSERT_EQ(told[1].find(header + "ipsec-3gpp;"), 0u);
  EXPECT_EQ(told[2], "alg hmac-sha-1-96, ealg aes-cbc");
  EXPECT_NE(run("status").output.find(
                "\nSA sets: 1, 1 offered, 0 temporary, 0 established, 0 old; of 1 registrations, "
                "capacity 1024\nSPIs: 0 rest, 0 were let go early\nrings: 0 connected, "),
            std::string::npos)
      << run("status").output;
  const std::string h = " handle " + handle;
  EXPECT_EQ(lines(run("ue challenge" + h + " ck " + kCk + " ik " + kIk).output)[0],
            "challenged " + handle);
  EXPECT_EQ(run("ue response" + h + " security-verify '" + told[1].substr(header.size()) +
                "' security-client " + offer(0))
                .output,
            "matches " + handle + "\nintegrity-protected yes, encrypted yes\n");
  EXPECT_EQ(run("ue ok" + h + " expires 600000").output, "established " + handle + "\n");
  EXPECT_EQ(run("ue refresh" + h + " expires 600000").output, "refreshed " + handle + "\n");
  EXPECT_NE(run("ue check ue 10.0.0.1 ue-port 40001 impu 'tel:+12'").output.find(handle),
            std::string::npos);
  EXPECT_EQ(run("ue count").output,
            "1 registrations, 1 sets: 0 offered, 0 temporary, 1 established, 0 old\n");
  EXPECT_EQ(run("ue delete now" + h).output, "deleted " + handle + "\n");
  EXPECT_EQ(run("ue fail reason timeout" + h).status, 1);
}

TEST_F(GmespctlUeTest, ShowsASetAndAListToPeople) {
  const std::string handle = handle_in(run(register_line(0)).output);
  EXPECT_NE(run("ue show handle " + handle).output.find("no SAs"), std::string::npos);
  ASSERT_EQ(run("ue challenge handle " + handle + " ck " + kCk + " ik " + kIk).status, 0);
  const std::string page = run("ue show handle " + handle).output;
  for (const char* word : {"temporary", "10.0.0.1", "40002", "0x00002710", "sip:a@example",
                           "tel:+12", "icv_failures", "u0@example", "aes-cbc"}) {
    EXPECT_NE(page.find(word), std::string::npos) << word << "\n" << page;
  }
  EXPECT_EQ(page.find(kCk.substr(0, 8)), std::string::npos);
  registered(150);
  const std::vector<std::string> list = lines(run("ue list").output);
  EXPECT_EQ(list.size(), 152u);  // one head
  EXPECT_NE(list[0].find("left_s"), std::string::npos);
  EXPECT_NE(list[1].find(handle), std::string::npos);
  EXPECT_EQ(lines(run("ue list state temporary").output).size(), 2u);
  const std::vector<std::string> some = lines(run("ue list limit 20").output);
  ASSERT_EQ(some.size(), 22u);
  EXPECT_EQ(some.back().find("more: after 0x"), 0u);
  EXPECT_EQ(lines(run("ue list limit 1000 " + some.back().substr(6)).output).size(), 132u);
}

// A key on the command line is seen by everybody: from a file it is not, and nothing repeats it.
TEST_F(GmespctlUeTest, TakesCkAndIkFromFiles) {
  const std::string handle = handle_in(run(register_line(0)).output);
  const std::string command = "ue challenge handle " + handle + " ik " + kIk + " ck @" + file_;
  const struct {
    const char* content;
    const char* error;  // nullptr: good
  } rows[] = {
      {"", "no first line"},
      {"\n000102030405060708090a0b0c0d0e0f\n", "no first line"},
      {"000102030405060708090a0b0c0d0e", "wrong_key_length"},
      {"000102030405060708090a0b0c0d0e0g", "not_hex"},
      {"000102030405060708090a0b0c0d0e0f \r\nsecond line", nullptr},
  };
  EXPECT_EQ(run(command).status, 2) << "no such file";
  EXPECT_NE(run(command).output.find("the file of ck cannot be read: No such file"),
            std::string::npos);
  for (const auto& row : rows) {
    std::ofstream(file_) << row.content;
    const Outcome outcome = run(command);
    EXPECT_EQ(outcome.status == 0, row.error == nullptr) << outcome.output;
    if (row.error != nullptr) {
      EXPECT_NE(outcome.output.find(row.error), std::string::npos) << outcome.output;
    }
    EXPECT_EQ(outcome.output.find("000102"), std::string::npos) << outcome.output;
    EXPECT_EQ(outcome.output.find(file_), std::string::npos) << "a key may stand there by mistake";
  }
}

TEST_F(GmespctlUeTest, SaysWhichWordIsWrong) {
  for (const std::string usage :
       {"ue", "ue register", "ue challenge handle 0x1 ck 00", "ue delete handle 0x1 now yes",
        "ue delete handle 0x1 now now", "ue register impu", "ue count all", "monitor everything",
        "ue reconcile - seconds 5 </dev/null", "ue reconcile -"}) {
    EXPECT_EQ(run(usage + " </dev/null").status, 2) << usage;
  }
  EXPECT_NE(run("ue frobnicate").output.find("reconcile"), std::string::npos);
  EXPECT_NE(run("--help").output.find("ue reconcile - [grace S]"), std::string::npos);
}

TEST_F(GmespctlUeTest, ReconcilesWithHandlesFromItsInput) {
  std::vector<std::string> handles = registered(1);
  const std::string h = " handle " + handles[0];
  ASSERT_EQ(run("ue challenge" + h + " ck " + kCk + " ik " + kIk).status, 0);
  usleep(20000);  // a set of the same moment counts as new
  // More than a page of strangers.
  std::ofstream file(file_);
  for (unsigned i = 0; i < 2500; ++i) file << "0x" << std::hex << 0x100000 + i << "\r\n\n";
  file << "{\"handle\":\"" << handles[0] << "\",\"state\":\"temporary\"}\n";
  file.close();
  const Outcome kept = run("ue reconcile - grace 0 < " + file_);
  EXPECT_EQ(kept.status, 0) << kept.output;
  const std::vector<std::string> told = lines(kept.output);
  size_t missing = 0;
  for (const std::string& line : told) missing += line.find("missing 0x") == 0;
  EXPECT_EQ(missing, 2500u);
  EXPECT_EQ(told.back(), "0 sets were not named: they go after the grace");
  EXPECT_EQ(json("ue count")["temporary"], 1);

  // As gmespctl itself lists them.
  EXPECT_EQ(shell(program("-j ue list") + " | " + program("ue reconcile -")).output,
            "0 sets were not named: they go after the grace\n");
  const Outcome orphaned = shell("echo 0x7 | " + program("-j ue reconcile - grace 0"));
  const Json answer = Json::parse(orphaned.output);
  EXPECT_EQ(answer["orphans"], 1);
  EXPECT_EQ(answer["missing"].size(), 1u);
  for (int i = 0; i < 100 && json("ue count")["total"] != 0; ++i) usleep(10000);
  EXPECT_EQ(json("ue count")["total"], 0);
}

// What is not named is deleted: nothing that is not a whole list may be taken for one.
TEST_F(GmespctlUeTest, ReconcilesNothingFromABadList) {
  registered(150);
  const struct {
    std::string input;
    const char* error;
  } rows[] = {
      {"true", "no handle on standard input"}, {program("-j ue list"), "last page is missing"},
      {"printf '0x1\\n7\\n'", "line 2"},       {"printf '0x1\\n0x\\n'", "line 2"},
      {"echo '{\"error\":\"x\"}'", "line 1"},  {"echo '{\"handle\":7}'", "line 1"},
      {"echo '{\"handle\":'", "line 1"},       {"echo '{\"sets\":[7]}'", "line 1"},
  };
  for (const auto& row : rows) {
    const Outcome outcome = shell(row.input + " | " + program("ue reconcile - grace 0"));
    EXPECT_EQ(outcome.status, 2) << row.input << outcome.output;
    EXPECT_NE(outcome.output.find(row.error), std::string::npos) << outcome.output;
  }
}

TEST_F(GmespctlUeTest, PrintsEventsAsTheyHappen) {
  std::ofstream(file_) << register_line(0) << "\nsa flush all\n";
  const std::string script = program("-f " + file_) + " >/dev/null; ";
  // Nothing says when it listens: so it happens until something is heard.
  const Outcome people =
      shell("bash -c 'coproc " + program("monitor ue") + "; (for i in {1..100}; do " + script +
            "sleep 0.1; done) & events=$!; read -r line <&${COPROC[0]}; "
            "echo \"$line\"; kill $COPROC_PID $events'");
  EXPECT_NE(people.output.find(" ue 0x"), std::string::npos) << people.output;
  EXPECT_NE(people.output.find(" deleted, offered"), std::string::npos) << people.output;
  const Outcome scripts = shell("bash -c 'coproc " + program("-j monitor ue") +
                                "; read -r line <&${COPROC[0]}; echo \"$line\"; " + script +
                                "read -r line <&${COPROC[0]}; echo \"$line\"; kill $COPROC_PID'");
  ASSERT_EQ(lines(scripts.output).size(), 2u) << scripts.output;
  EXPECT_EQ(Json::parse(lines(scripts.output)[0])["done"], "monitoring");
  EXPECT_EQ(Json::parse(lines(scripts.output)[1])["event"], "deleted");
}

}  // namespace
}  // namespace gmesp
