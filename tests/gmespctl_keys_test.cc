// SPDX-License-Identifier: BSD-3-Clause
// What gmespctl has in its memory of the keys that it was given, once it has sent them.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "control/file_descriptor.h"
#include "control/listener.h"
#include "tests/control_client.h"
#include "tests/kept_memory.h"
#include "tests/shell.h"

namespace gmesp {
namespace {

constexpr int kWaitMs = 20000;
// In two halves: the memory of a child that was forked from us holds what we hold.
const std::string kHalves[] = {"5ec7e75ec7e75ec7", "e7ab01cd23ef4567"};
const char* const kMark = "0x1122334455667788";

std::string all_of(const std::string& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

// What the process can write, but for the stack: the dynamic linker saves vector registers there,
// in which strings are copied, and no program reaches that. The arguments are looked at by
// themselves.
std::string memory_of(pid_t process) {
  const std::string folder = "/proc/" + std::to_string(process);
  std::ifstream maps(folder + "/maps"), memory(folder + "/mem");
  std::string text;
  for (std::string line; std::getline(maps, line);) {
    unsigned long from = 0, to = 0;
    char mode[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &from, &to, mode) != 3 || mode[1] != 'w') continue;
    if (line.ends_with("[stack]") || to - from > 64 << 20) continue;  // or a sanitizer's shadow
    std::string part(to - from, '\0');
    memory.clear();
    memory.seekg(static_cast<std::streamoff>(from));
    memory.read(part.data(), static_cast<std::streamsize>(part.size()));
    text += part;
  }
  return text;
}

// A gmespd that never answers: gmespctl waits with what it still has.
class GmespctlKeysTest : public testing::Test {
 protected:
  ~GmespctlKeysTest() override {
    if (process_ > 0) {
      kill(process_, SIGKILL);
      waitpid(process_, nullptr, 0);
    }
    unlink(path_.c_str());
    unlink(file_.c_str());
  }
  // Returns when the request has come.
  void run(std::vector<std::string> words) {
    words.insert(words.begin(), {program_, "-s", path_});
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    process_ = fork();
    ASSERT_GE(process_, 0);
    if (process_ == 0) {
      if (uid_ != 0 && setresuid(uid_, uid_, uid_) != 0) _exit(126);
      execv(program_.c_str(), arguments.data());
      _exit(127);
    }
    pollfd wait{listener_.get(), POLLIN, 0};
    ASSERT_EQ(poll(&wait, 1, kWaitMs), 1);
    client_ = FileDescriptor(accept(listener_.get(), nullptr, nullptr));
    wait = {client_.get(), POLLIN, 0};
    ASSERT_EQ(poll(&wait, 1, kWaitMs), 1);
    std::string record(65536, '\0');
    const ssize_t got = recv(client_.get(), record.data(), record.size(), 0);
    record.resize(static_cast<size_t>(got));
    EXPECT_NE(record.find(key()), std::string::npos) << "it was sent";
    wait_until_it_sleeps();
  }
  static std::string key() { return kHalves[0] + kHalves[1]; }
  void wait_until_it_sleeps() const {
    const std::string file = "/proc/" + std::to_string(process_) + "/stat";
    for (int i = 0; i < kWaitMs && all_of(file).find(") S ") == std::string::npos; ++i) {
      usleep(1000);
    }
  }
  void expect_no_key() const {
    if (geteuid() != 0) GTEST_SKIP() << "reading its memory takes CAP_SYS_PTRACE";
    const std::string folder = "/proc/" + std::to_string(process_);
    EXPECT_EQ(all_of(folder + "/cmdline").find(kHalves[0]), std::string::npos);
    const std::string memory = memory_of(process_);
    EXPECT_NE(memory.find(path_), std::string::npos) << "its memory was read";
    for (const std::string& half : kHalves) EXPECT_EQ(memory.find(half), std::string::npos);
  }

  std::string program_ = GMESP_GMESPCTL;
  uid_t uid_ = 0;  // of gmespctl; 0: ours
  std::string path_ = socket_path("ctl-keys.sock");
  std::string file_ = socket_path("ctl-keys.file");
  FileDescriptor listener_ = listen_on(path_, "");
  FileDescriptor client_;
  pid_t process_ = -1;
};

TEST_F(GmespctlKeysTest, HasNoneOfItsArgumentsLeft) {
  run({"ue", "challenge", "handle", kMark, "ck", key(), "ik", key()});
  expect_no_key();
}

TEST_F(GmespctlKeysTest, HasNoneOfAKeyFileLeft) {
  std::ofstream(file_) << key() << "\n";
  run({"ue", "challenge", "handle", kMark, "ck", "@" + file_, "ik", "@" + file_});
  expect_no_key();
}

// A line that is no command does not keep its key either.
TEST_F(GmespctlKeysTest, HasNoneOfItsInputLeft) {
  std::ofstream(file_) << "ue challenge ck " << key() << " " << key() << "\n"
                       << "ue challenge handle " << kMark << " ck " << key() << " ik " << key()
                       << "\n";
  run({"-f", file_});
  expect_no_key();
}

// Root may read any memory, so another user runs it where we are root: a copy, which he can reach.
TEST_F(GmespctlKeysTest, KeepsItsMemoryToItself) {
  const std::string copy = socket_path("ctl-keys.copy");
  if (geteuid() == 0) {
    ASSERT_EQ(shell("install -m 755 " + program_ + " " + copy).status, 0);
    ASSERT_EQ(shell("chmod 666 " + path_).status, 0);
    program_ = copy;
    uid_ = 65534;
  }
  run({"ue", "challenge", "handle", kMark, "ck", key(), "ik", key()});
  expect_memory_kept(process_);
  unlink(copy.c_str());
}

}  // namespace
}  // namespace gmesp
