// SPDX-License-Identifier: BSD-3-Clause
// The gmespd binary as a process of a test's own: started, listened to, looked at, ended.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iostream>
#include <string>
#include <utility>

#include "control/file_descriptor.h"
#include "tests/process_status.h"
#include "tests/sanitizers.h"
#include "tests/shell.h"

namespace gmesp {

inline const std::string kGmespd = GMESP_GMESPD;

// ThreadSanitizer has a thread of its own that blocks every signal and keeps its capabilities:
// gmespd rightly refuses to serve beside it.
#define SKIP_IF_IT_CANNOT_START() \
  if (kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer's own thread keeps capabilities"

// A gmespd on its way or running, with both its streams.
class Gmespd {
 public:
  explicit Gmespd(const std::string& file, const char* option = nullptr) {
    int ends[2];
    if (pipe(ends) != 0) return;
    output_ = FileDescriptor(ends[0]);
    const FileDescriptor its_end(ends[1]);
    pid_ = fork();
    if (pid_ != 0) return;
    dup2(its_end.get(), STDOUT_FILENO);
    dup2(its_end.get(), STDERR_FILENO);
    execl(kGmespd.c_str(), "gmespd", "-c", file.c_str(), option, nullptr);
    _exit(127);
  }
  ~Gmespd() {
    if (pid_ > 0) kill(pid_, SIGKILL);
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
  }
  Gmespd(const Gmespd&) = delete;
  Gmespd& operator=(const Gmespd&) = delete;

  pid_t pid() const { return pid_; }

  // What it has said when this is among it; or all it said before it ended or the time was up.
  std::string wait_for(const std::string& words) {
    constexpr int kPatienceMs = 30000;
    std::string said = std::exchange(quoted_, "");
    pollfd wait{output_.get(), POLLIN, 0};
    while (said.find(words) == std::string::npos && poll(&wait, 1, kPatienceMs) == 1) {
      char buffer[4096];
      const ssize_t got = read(output_.get(), buffer, sizeof buffer);
      if (got <= 0) break;
      said.append(buffer, static_cast<size_t>(got));
    }
    return said;
  }

  // -1: it did not end by itself. Of one that fails, stderr has its last words.
  int stop(int signal) {
    kill(pid_, signal);
    const int status = wait_for_end();
    if (status != 0) {
      quoted_ = last_words();
      std::cerr << "gmespd: exit status " << status << '\n' << quoted_;
    }
    return status;
  }

 private:
  int wait_for_end() {
    for (int i = 0; i < 1000; ++i) {
      int status = 0;
      if (waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
      }
      usleep(10'000);
    }
    return -1;
  }
  std::string last_words() {
    std::string said;
    char buffer[4096];
    for (pollfd wait{output_.get(), POLLIN, 0}; poll(&wait, 1, 0) == 1;) {
      const ssize_t got = read(output_.get(), buffer, sizeof buffer);
      if (got <= 0) break;
      said.append(buffer, static_cast<size_t>(got));
    }
    return said;
  }

  FileDescriptor output_;
  std::string quoted_;  // what stop() has read and nobody has waited for
  pid_t pid_ = -1;
};

inline constexpr const char* kNoCapability = "0000000000000000";

}  // namespace gmesp
