// SPDX-License-Identifier: BSD-3-Clause
// Whether a process keeps its memory to itself: no core file, no reader of the same user.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <string>

namespace gmesp {

// To another process of its user that has no capabilities. Whom the file belongs to tells nothing
// where the user is root.
inline void expect_memory_closed_to_its_user(pid_t process) {
  const std::string folder = "/proc/" + std::to_string(process);
  std::ifstream status(folder + "/status");
  uid_t user = 0;
  gid_t group = 0;
  for (std::string line; std::getline(status, line);) {
    std::istringstream words(line);
    std::string key;
    words >> key;
    if (key == "Uid:") words >> user;
    if (key == "Gid:") words >> group;
  }
  const pid_t reader = fork();
  ASSERT_GE(reader, 0);
  if (reader == 0) {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
    if (geteuid() != user &&
        (setresgid(group, group, group) != 0 || setresuid(user, user, user) != 0))
      _exit(1);
    if (syscall(SYS_capset, &header, none) != 0) _exit(2);
    const int memory = open((folder + "/mem").c_str(), O_RDONLY);
    _exit(memory < 0 && errno == EACCES ? 0 : 3);
  }
  int ended = -1;
  ASSERT_EQ(waitpid(reader, &ended, 0), reader);
  EXPECT_TRUE(WIFEXITED(ended) && WEXITSTATUS(ended) == 0)
      << "another process of its user reads its memory: " << ended;
}

inline void expect_memory_kept(pid_t process) {
  const std::string folder = "/proc/" + std::to_string(process);
  std::ifstream limits(folder + "/limits");
  std::string core;
  for (std::string line; std::getline(limits, line);) {
    if (line.starts_with("Max core file size")) core = line;
  }
  std::istringstream words(core);
  std::string max, c, f, size, soft, hard;
  words >> max >> c >> f >> size >> soft >> hard;
  EXPECT_EQ(soft + " " + hard, "0 0") << core;
  expect_memory_closed_to_its_user(process);
}

}  // namespace gmesp
