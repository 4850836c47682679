// SPDX-License-Identifier: BSD-3-Clause
// The gmespd binary from its start to its end, with DPDK but without hugepages or a network: both
// ports are net_null, which never receives here.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>

#include "crypto/multi_buffer.h"
#include "tests/gmespd_process.h"
#include "tests/shell.h"

namespace gmesp {
namespace {

class GmespdTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { let_leak_sanitizer_be(); }
  GmespdTest() {
    char folder[] = "/tmp/gmespd_test_XXXXXX";
    folder_ = mkdtemp(folder);
    socket_ = folder_ + "/run/gmespd.sock";
  }
  ~GmespdTest() override { std::filesystem::remove_all(folder_); }

  std::string write_config(const std::string& access, int cpu) const {
    const std::string file = folder_ + "/gmespd.toml";
    std::ofstream(file) << "role = 'pcscf'\n[control]\nsocket = '" << socket_
                        << "'\n[workers]\nhugepages = 'never'\ncpus = [" << cpu
                        << "]\n[access]\ndevice = '" << access
                        << "'\n[host]\ndevice = 'net_null1,no-rx=1'\n[sa]\ncapacity = 100\n";
    return file;
  }
  // On a CPU that this process may use: not every container has number 0.
  std::string good_config() const { return write_config("net_null0,no-rx=1", sched_getcpu()); }

  Outcome gmespctl(const std::string& command) const {
    return shell(std::string(GMESP_GMESPCTL) + " -s " + socket_ + " " + command);
  }

  std::string folder_;
  std::string socket_;
};

TEST_F(GmespdTest, ChecksAFileWithoutStarting) {
  const std::string example = GMESP_EXAMPLE_CONFIG;
  const Outcome good = shell(kGmespd + " --check -c " + example);
  EXPECT_EQ(good.status, 0);
  EXPECT_TRUE(good.output.ends_with(example + ": ok\n")) << good.output;
  EXPECT_NE(good.output.find(": warning: [policy] reachable is empty"), std::string::npos)
      << good.output;
  EXPECT_EQ(good.output.find("rate_per_source"), std::string::npos) << "its rules are bounded";

  const std::string file = folder_ + "/broken.toml";
  std::ofstream(file) << "role = 'pcscf'\n[workers]\ncpus = 'all'\n";
  const Outcome broken = shell(kGmespd + " --check -c " + file);
  EXPECT_EQ(broken.status, 1);
  EXPECT_EQ(broken.output.find(file + ":3:8: key 'workers.cpus': expected"), 0u) << broken.output;

  const Outcome missing = shell(kGmespd + " --check -c " + folder_ + "/missing.toml");
  EXPECT_EQ(missing.status, 1);
  EXPECT_EQ(missing.output.find(folder_ + "/missing.toml: "), 0u) << missing.output;
}

TEST_F(GmespdTest, KnowsUsageFromFailure) {
  for (const std::string usage :
       {"", "-c", "--nonsense", "--check", "-c a b", "--json -c a", "--bench-seconds 1 -c a",
        "--bench --bench-seconds 0", "--bench --check"}) {
    EXPECT_EQ(shell(kGmespd + " " + usage).status, 2) << usage;
  }
  EXPECT_EQ(shell(kGmespd + " --help").status, 0);
  EXPECT_EQ(shell(kGmespd + " --version").status, 0);
}

TEST_F(GmespdTest, SaysWhatMendsAConfigurationThatThisMachineCannotServe) {
  const struct {
    std::string access;
    int cpu;
    std::string said;
  } rows[] = {
      {"net_af_packet0,iface=gmesp-none", sched_getcpu(),
       "there is no interface 'gmesp-none' here: ip link show"},
      {"net_nonsense0", sched_getcpu(), "is the driver's name right, and its arguments?"},
      {"net_null0,no-rx=1", 1023, "CPU 1023 is not there: this process may run on "},
  };
  for (const auto& row : rows) {
    const Outcome outcome = shell(kGmespd + " -c " + write_config(row.access, row.cpu));
    EXPECT_EQ(outcome.status, 1) << row.said;
    EXPECT_NE(outcome.output.find("gmespd: "), std::string::npos) << outcome.output;
    EXPECT_NE(outcome.output.find(row.said), std::string::npos) << outcome.output;
  }
}

TEST_F(GmespdTest, RefusesMoreMemoryThanTheMachineHas) {
  const std::string file = good_config();
  std::ifstream in(file);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  text.insert(text.find("cpus"), "memory_mb = 1048576\n");
  std::ofstream(file) << text;
  const Outcome outcome = shell("timeout -k 5 60 " + kGmespd + " -c " + file);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.output.find("DPDK is to have 1048576 MB, and this machine has "),
            std::string::npos)
      << outcome.output;
}

// A virtio_user device in server mode waits inside the driver, for ever.
TEST_F(GmespdTest, EndsWhenItIsTerminatedBeforeItIsReady) {
  const std::string peer = folder_ + "/vhost.sock";
  for (const int signal : {SIGTERM, SIGINT}) {
    Gmespd gmespd(write_config("net_virtio_user0,server=1,path=" + peer, sched_getcpu()));
    for (int i = 0; i < 3000 && !std::filesystem::exists(peer); ++i) usleep(10'000);
    ASSERT_TRUE(std::filesystem::exists(peer)) << "the driver does not listen for its peer";
    EXPECT_EQ(gmespd.stop(signal), 0);
    const std::string said = gmespd.wait_for("before it was ready");
    EXPECT_NE(said.find("before it was ready"), std::string::npos) << said;
    EXPECT_FALSE(std::filesystem::exists(peer)) << "in the way of the next start";
  }
}

// Capacity 100: with one SA and with 100, every suite, two lengths, two directions.
TEST_F(GmespdTest, MeasuresEverySuiteWithUpToTheConfiguredCapacity) {
  const Outcome outcome = shell(kGmespd + " --bench --json --bench-seconds 1 -c " + good_config() +
                                " 2>" + folder_ + "/words");
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  const auto report = nlohmann::json::parse(outcome.output);
  EXPECT_EQ(report.at("machine").at("workers"), 1);
  // 3DES where it would take minutes.
  EXPECT_EQ(report.at("left_out").size(), MultiBuffer().is_fast(Suite::sha1_des3) ? 0u : 2u);
  const size_t cases_wanted = 8 * (kSuiteCount - report.at("left_out").size());
  std::set<std::string> cases;
  for (const auto& path : report.at("paths")) {
    std::ostringstream name;
    for (const char* key : {"direction", "ip", "alg", "ealg", "bytes", "sas"}) {
      name << path.at(key) << ' ';
    }
    cases.insert(name.str());
    EXPECT_GT(path.at("crypto_cycles"), 10) << name.str();
    EXPECT_GT(path.at("path_cycles"), 10) << name.str();
    EXPECT_GT(path.at("mpps"), 0) << name.str();
    EXPECT_NEAR(path.at("ratio"),
                path.at("crypto_cycles").get<double>() / path.at("path_cycles").get<double>(),
                0.01);
  }
  EXPECT_EQ(cases.size(), cases_wanted);
  EXPECT_EQ(report.at("paths").size(), cases_wanted);
}

TEST_F(GmespdTest, ABenchThatIsCutShortFails) {
  Gmespd gmespd(good_config(), "--bench");
  const std::string said = gmespd.wait_for("ratio");
  ASSERT_NE(said.find("ratio"), std::string::npos) << said;
  EXPECT_EQ(gmespd.stop(SIGINT), 1);
  const std::string ending = gmespd.wait_for("no result");
  EXPECT_NE(ending.find("gmespd: the bench was ended by SIGINT: no result\n"), std::string::npos)
      << ending;
}

TEST_F(GmespdTest, ABenchWhoseFiguresNobodyGetsFails) {
  for (const char* form : {"", " --json"}) {
    const Outcome full = shell("timeout -k 5 60 " + kGmespd + " --bench --bench-seconds 1 -c " +
                               good_config() + form + " 2>&1 >/dev/full");
    EXPECT_EQ(full.status, 1) << form;
    EXPECT_NE(full.output.find("could not be written to standard output"), std::string::npos)
        << full.output;
  }
  // It sees that its reader is gone after the first of eight suites.
  const auto began = std::chrono::steady_clock::now();
  const Outcome head = shell("timeout -k 5 60 " + kGmespd + " --bench --bench-seconds 32 -c " +
                             good_config() + " | head -1");
  EXPECT_NE(head.output.find("could not be written"), std::string::npos) << head.output;
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(24));
}

TEST_F(GmespdTest, ServesUntilItIsTerminated) {
  SKIP_IF_IT_CANNOT_START();
  Gmespd gmespd(good_config());
  const std::string ready = "gmespd: ready, role pcscf, 1 worker, socket " + socket_ + "\n";
  const std::string said = gmespd.wait_for(ready);
  ASSERT_NE(said.find(ready), std::string::npos) << said;
  struct stat folder {};
  ASSERT_EQ(stat((folder_ + "/run").c_str(), &folder), 0);
  EXPECT_EQ(folder.st_mode & 07777, 0750u);
  const Outcome status = gmespctl("status");
  EXPECT_EQ(status.status, 0) << status.output;
  EXPECT_NE(status.output.find("net_null"), std::string::npos) << status.output;

  EXPECT_EQ(gmespd.stop(SIGTERM), 0);
  EXPECT_FALSE(std::filesystem::exists(socket_));
  EXPECT_EQ(gmespctl("status").status, 3);
}

TEST_F(GmespdTest, TakesItsPolicyFromTheFileAgain) {
  SKIP_IF_IT_CANNOT_START();
  const std::string file = good_config();
  Gmespd gmespd(file);
  gmespd.wait_for("gmespd: ready");
  EXPECT_EQ(gmespctl("policy list").output.find("ping"), std::string::npos);
  std::ofstream(file, std::ios::app)
      << "[policy]\nown_prefixes = ['192.0.2.1']\nreachable = ['192.0.2.1']\n"
         "[[policy.rule]]\nname = 'ping'\nmatch = 'icmp-echo'\nlocal = ['192.0.2.1']\nrate = 7\n"
         "rate_per_source = 7\n";
  const Outcome done = gmespctl("config reload");
  EXPECT_EQ(done.status, 0);
  EXPECT_EQ(done.output, "1 rules in use\n");
  const std::string list = gmespctl("policy list").output;
  for (const char* words : {"martian_source ", "\nping ", "icmp-echo", "192.0.2.1", "\ndefault ",
                            "own_prefixes: 192.0.2.1\n", "reachable: 192.0.2.1\n"}) {
    EXPECT_NE(list.find(words), std::string::npos) << words << " in\n" << list;
  }
  std::ofstream(file, std::ios::app) << "[ims]\nt1_ms = 500\n";
  const Outcome refused = gmespctl("config reload");
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.output.find("(needs_restart)"), std::string::npos) << refused.output;
  std::ofstream(file) << "role = 'pcscf'\n[policy]\nrule = 1\n";
  const Outcome broken = gmespctl("config reload");
  EXPECT_NE(broken.output.find(file + ":3:8: key 'policy.rule'"), std::string::npos)
      << broken.output;
  EXPECT_EQ(gmespctl("policy list").output, list) << "as before";
  EXPECT_EQ(gmespd.stop(SIGTERM), 0);
}

// What a terminal that closes sends, and service managers to have a configuration read: never the
// end.
TEST_F(GmespdTest, TakesItsPolicyAgainOnSighup) {
  SKIP_IF_IT_CANNOT_START();
  const std::string file = good_config();
  Gmespd gmespd(file);
  gmespd.wait_for("gmespd: ready");
  std::ofstream(file, std::ios::app)
      << "[policy]\n[[policy.rule]]\nname = 'ping'\nmatch = 'icmp-echo'\n";
  struct {
    const char* change;  // added to the file
    std::string said;
  } rows[] = {
      {"rate = 7\nrate_per_source = 7\n", "SIGHUP: 1 rules in use\n"},
      {"", "SIGHUP: 1 rules in use\n"},  // nothing to replace
      {"rate = 8\n",
       "SIGHUP: the policy in use stays: the configuration file is not accepted: " + file},
  };
  for (const auto& row : rows) {
    std::ofstream(file, std::ios::app) << row.change;
    kill(gmespd.pid(), SIGHUP);
    const std::string said = gmespd.wait_for(row.said);
    EXPECT_NE(said.find(row.said), std::string::npos) << said;
    EXPECT_NE(gmespctl("policy list").output.find("\nping "), std::string::npos);
  }
  EXPECT_EQ(gmespd.stop(SIGTERM), 0);
}

TEST_F(GmespdTest, LeavesTheSocketOfAnotherAlone) {
  SKIP_IF_IT_CANNOT_START();
  const std::string file = good_config();
  Gmespd first(file);
  const std::string said = first.wait_for("ready");
  ASSERT_NE(said.find("ready"), std::string::npos) << said;
  const Outcome second = shell(kGmespd + " -c " + file);
  EXPECT_EQ(second.status, 1);
  EXPECT_NE(second.output.find("another gmespd listens here"), std::string::npos) << second.output;
  EXPECT_EQ(gmespctl("sa count").output, "0 in, 0 out\n");
}

// A login shell's soft limit is below what 256 clients and 128 rings use up.
TEST_F(GmespdTest, TakesAsManyDescriptorsAsItMay) {
  SKIP_IF_IT_CANNOT_START();
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit few{256, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  Gmespd gmespd(good_config());
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  gmespd.wait_for("gmespd: ready");
  rlimit its{};
  ASSERT_EQ(prlimit(gmespd.pid(), RLIMIT_NOFILE, nullptr, &its), 0);
  EXPECT_EQ(its.rlim_cur, limit.rlim_max);
  EXPECT_EQ(gmespd.stop(SIGTERM), 0);
}

}  // namespace
}  // namespace gmesp
