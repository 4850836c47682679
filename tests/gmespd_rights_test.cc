// SPDX-License-Identifier: BSD-3-Clause
// What a gmespd that serves may still do: user, capabilities, system calls, core dumps, swap.
#include <grp.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sched.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>

#include "control/client/gmesp.h"
#include "tests/gmespd_process.h"
#include "tests/kept_memory.h"
#include "tests/sanitizers.h"
#include "tests/shell.h"
#include "tests/socket_client.h"

namespace gmesp {
namespace {

class GmespdRightsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { let_leak_sanitizer_be(); }
  void SetUp() override {
    if (status_value("/proc/self/status", "CapEff") == kNoCapability) {
      GTEST_SKIP() << "this process has no rights that gmespd could give up";
    }
    SKIP_IF_IT_CANNOT_START();
    char folder[] = "/tmp/gmespd_rights_test_XXXXXX";
    folder_ = mkdtemp(folder);
    ASSERT_EQ(chmod(folder_.c_str(), 0755), 0);
    socket_ = folder_ + "/run/gmespd.sock";
  }
  ~GmespdRightsTest() override {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  std::string config(const std::string& control,
                     const std::string& access = "net_null0,no-rx=1") const {
    const std::string file = folder_ + "/gmespd.toml";
    std::ofstream(file) << "role = 'pcscf'\n[control]\nsocket = '" << socket_ << "'\n"
                        << control << "\n[workers]\nhugepages = 'never'\ncpus = [" << sched_getcpu()
                        << "]\n[access]\ndevice = '" << access
                        << "'\n"
                           "[host]\ndevice = 'net_null1,no-rx=1'\n[sa]\ncapacity = 100\n";
    return file;
  }
  // The values of a line of /proc/PID/status in all threads; there are two at least.
  std::set<std::string> in_threads(const Gmespd& gmespd, const std::string& key) const {
    std::set<std::string> values;
    size_t threads = 0;
    const std::string tasks = "/proc/" + std::to_string(gmespd.pid()) + "/task";
    for (const auto& task : std::filesystem::directory_iterator(tasks)) {
      values.insert(status_value(task.path() / "status", key));
      ++threads;
    }
    EXPECT_GE(threads, 2u) << "control thread and worker";
    return values;
  }
  // SAs by JSON, a ring with its memory: what goes on after the start.
  void expect_service() const {
    SocketClient client(socket_);
    ASSERT_TRUE(client.connected());
    for (const char* dir : {"in", "out"}) {
      const nlohmann::json sa{{"command", "sa add"}, {"dir", dir},
                              {"spi", 4097},         {"src", "198.51.100.7"},
                              {"dst", "192.0.2.1"},  {"proto", "any"},
                              {"alg", "null"},       {"ealg", "aes-gcm"},
                              {"salt", "01020304"},  {"enc-key", std::string(32, 'a')}};
      EXPECT_EQ(client.ask(sa.dump()).value("done", ""), "added");
    }
    gmesp_client* ring = nullptr;
    const gmesp_options options{.size = sizeof options,
                                .abi_version = GMESP_ABI_VERSION,
                                .path = socket_.c_str(),
                                .events = GMESP_ALL_EVENTS,
                                .timeout_ms = 20000};
    EXPECT_EQ(gmesp_connect(&options, &ring), 0);
    gmesp_report report{};
    report.size = sizeof report;
    EXPECT_EQ(gmesp_reconcile(ring, 0, nullptr, 0, 20000, &report), 0);
    gmesp_close(ring);
    EXPECT_EQ(client.ask(R"({"command":"sa flush"})").value("deleted", 0), 2);
  }
  static constexpr const char* kAsRoot = "serves as uid 0";
  nlohmann::json status() const { return SocketClient(socket_).ask(R"({"command":"status"})"); }

  std::string folder_;
  std::string socket_;
};

TEST_F(GmespdRightsTest, ServesWithoutRightsAndWithFewSystemCallsInEveryThread) {
  Gmespd gmespd(config(""));
  const std::string said = gmespd.wait_for("ready, role");
  ASSERT_NE(said.find("ready, role"), std::string::npos) << said;
  for (const char* key : {"CapEff", "CapPrm"}) {
    EXPECT_EQ(in_threads(gmespd, key), std::set<std::string>{kNoCapability});
  }
  EXPECT_EQ(in_threads(gmespd, "NoNewPrivs"), std::set<std::string>{"1"});
  EXPECT_EQ(in_threads(gmespd, "Seccomp"), std::set<std::string>{"2"});
  expect_service();
  const nlohmann::json told = status();
  EXPECT_EQ(told.value("seccomp", false), true);
  EXPECT_EQ(told.value("user", ""), getpwuid(geteuid())->pw_name);
  EXPECT_EQ(gmespd.stop(SIGTERM), 0);
  EXPECT_FALSE(std::filesystem::exists(socket_));
}

TEST_F(GmespdRightsTest, SystemCallsCanBeLeftAlone) {
  Gmespd gmespd(config("seccomp = false"));
  const std::string said = gmespd.wait_for("ready, role");
  ASSERT_NE(said.find("ready, role"), std::string::npos) << said;
  EXPECT_EQ(in_threads(gmespd, "Seccomp"), std::set<std::string>{"0"});
  EXPECT_EQ(in_threads(gmespd, "NoNewPrivs"), std::set<std::string>{"1"});
  EXPECT_EQ(status().value("seccomp", true), false);
}

TEST_F(GmespdRightsTest, ServesAsAnotherUserInEveryThread) {
  if (geteuid() != 0) GTEST_SKIP() << "becoming another user takes root";
  const passwd* nobody = getpwnam("nobody");
  ASSERT_NE(nobody, nullptr);
  const group* games = getgrnam("games");
  ASSERT_NE(games, nullptr);
  Gmespd gmespd(config("user = 'nobody'\ngroup = 'games'"));
  const std::string said = gmespd.wait_for("ready, role");
  ASSERT_NE(said.find("ready, role"), std::string::npos) << said;
  const std::set<std::string> uid{std::to_string(nobody->pw_uid)};
  EXPECT_EQ(in_threads(gmespd, "Uid"), uid);
  EXPECT_EQ(in_threads(gmespd, "Gid"), std::set<std::string>{std::to_string(nobody->pw_gid)});
  EXPECT_EQ(in_threads(gmespd, "Groups"), std::set<std::string>{""}) << "none besides";
  EXPECT_EQ(in_threads(gmespd, "CapEff"), std::set<std::string>{kNoCapability});
  EXPECT_EQ(in_threads(gmespd, "Seccomp"), std::set<std::string>{"2"});
  struct stat file {};
  ASSERT_EQ(stat(socket_.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, 0660u);
  EXPECT_EQ(file.st_uid, nobody->pw_uid);
  EXPECT_EQ(file.st_gid, games->gr_gid);
  expect_service();
  expect_memory_kept(gmespd.pid());
  EXPECT_EQ(status().value("user", ""), "nobody");
  EXPECT_EQ((said + status()["warnings"].dump()).find(kAsRoot), std::string::npos) << said;
  EXPECT_EQ(gmespd.stop(SIGTERM), 0);
  EXPECT_FALSE(std::filesystem::exists(socket_)) << "in a folder that was made for him";
}

// Without capabilities, uid 0 still owns what is root's.
TEST_F(GmespdRightsTest, WarnsWhenItGoesOnAsRoot) {
  if (geteuid() != 0) GTEST_SKIP() << "only root stays root";
  Gmespd gmespd(config(""));
  const std::string said = gmespd.wait_for("ready, role");
  ASSERT_NE(said.find("ready, role"), std::string::npos) << said;
  EXPECT_NE(said.find(kAsRoot), std::string::npos) << said;
  const nlohmann::json told = status();
  size_t warnings = 0;
  for (const nlohmann::json& warning : told["warnings"]) {
    const std::string text = warning.value("warning", "");
    if (text.find(kAsRoot) == std::string::npos) continue;
    ++warnings;
    EXPECT_EQ(warning.value("code", ""), "start");
    EXPECT_NE(text.find("[control] user"), std::string::npos) << "what mends it: " << text;
  }
  EXPECT_EQ(warnings, 1u);
}

// A folder that was there is somebody else's: the files stay, and the next start replaces them.
TEST_F(GmespdRightsTest, StartsOverSocketsThatAnotherUserCouldNotRemove) {
  if (geteuid() != 0) GTEST_SKIP() << "becoming another user takes root";
  std::filesystem::create_directory(folder_ + "/run");
  const std::string file = folder_ + "/run/device";
  for (const std::string& device :
       {"net_vhost0,iface=" + file, "net_memif0,role=server,socket-abstract=no,socket=" + file}) {
    for (int start = 0; start < 2; ++start) {
      Gmespd gmespd(config("user = 'nobody'", device));
      const std::string said = gmespd.wait_for("ready, role");
      ASSERT_NE(said.find("ready, role"), std::string::npos) << said;
      expect_service();
      EXPECT_EQ(gmespd.stop(SIGTERM), 0);
      EXPECT_TRUE(std::filesystem::exists(socket_));
      EXPECT_TRUE(std::filesystem::exists(file));
    }
  }
}

// A socket on which somebody listens is not ours to remove, nor is a file.
TEST_F(GmespdRightsTest, LeavesADevicesSocketAloneOnWhichSomebodyListens) {
  const std::string file = folder_ + "/device";
  Gmespd first(config("", "net_vhost0,iface=" + file));
  ASSERT_NE(first.wait_for("ready, role").find("ready, role"), std::string::npos);
  const Outcome second = shell(kGmespd + " -c " + config("", "net_vhost0,iface=" + file));
  EXPECT_EQ(second.status, 1);
  EXPECT_NE(second.output.find("somebody listens at " + file), std::string::npos) << second.output;
  EXPECT_TRUE(std::filesystem::exists(file));
  expect_service();
}

TEST_F(GmespdRightsTest, RefusesAUserThatThereIsNot) {
  const std::string file = config("user = 'no-such-user'");
  const Outcome outcome = shell(kGmespd + " --check -c " + file);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.output.find(file + ":4:8: key 'control.user': expected a user of this machine"),
            0u)
      << outcome.output;
}

// Private memory that may be written, and swapped: each mapping by itself, those that were made
// after mlockall() too. Huge pages are never swapped.
std::string unlocked_memory(pid_t process) {
  std::ifstream mappings("/proc/" + std::to_string(process) + "/smaps");
  std::string unlocked, mapping;
  size_t looked_at = 0;
  for (std::string line; std::getline(mappings, line);) {
    std::istringstream words(line);
    std::string first, mode;
    words >> first >> mode;
    if (first.find(':') == std::string::npos) mapping = mode == "rw-p" ? line : "";
    if (first != "VmFlags:" || mapping.empty()) continue;
    ++looked_at;
    line += ' ';
    const bool locked = line.find(" lo ") != std::string::npos;
    if (!locked && line.find(" ht ") == std::string::npos) unlocked += mapping + "\n" + line + "\n";
  }
  EXPECT_GT(looked_at, 10u);
  return unlocked;
}

// No core dump, no reader among the same user's processes; swap: all is locked, or `status` warns.
TEST_F(GmespdRightsTest, KeepsItsMemoryToItself) {
  Gmespd gmespd(config(""));
  const std::string said = gmespd.wait_for("ready, role");
  ASSERT_NE(said.find("ready, role"), std::string::npos) << said;
  expect_memory_kept(gmespd.pid());
  if (kAddressSanitizer) return;  // it makes mlockall() do nothing
  const nlohmann::json told = status();
  if (told.value("memory_locked", false)) {
    EXPECT_EQ(unlocked_memory(gmespd.pid()), "");
    EXPECT_EQ(said.find("may be swapped"), std::string::npos) << said;
  } else {
    EXPECT_NE(said.find("memory may be swapped to disk"), std::string::npos) << said;
    EXPECT_NE(told["warnings"].dump().find("memory may be swapped"), std::string::npos);
  }
}

}  // namespace
}  // namespace gmesp
