// SPDX-License-Identifier: BSD-3-Clause
// Capabilities belong to threads, and DPDK has started some of its own by now: capset() in one
// leaves the others as they are. So each thread is asked by a signal to give up its own, as libc
// does for setuid().
#include "tools/privileges.h"

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "tools/core_dumps.h"

namespace gmesp {
namespace {

sem_t threads_done;

// Only calls that a signal handler may make.
void drop_own_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  syscall(SYS_capset, &header, none);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

void on_signal(int) {
  const int interrupted = errno;
  drop_own_capabilities();
  sem_post(&threads_done);
  errno = interrupted;
}

std::vector<pid_t> threads() {
  std::vector<pid_t> ids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    ids.push_back(static_cast<pid_t>(std::stol(entry.path().filename())));
  }
  return ids;
}

void ask_other_threads() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGRTMIN, &action, nullptr);
  sem_init(&threads_done, 0, 0);
  size_t asked = 0;
  for (const pid_t id : threads()) {
    if (id != gettid() && tgkill(getpid(), id, SIGRTMIN) == 0) ++asked;
  }
  timespec deadline{};
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += 2;
  while (asked > 0 && sem_timedwait(&threads_done, &deadline) == 0) --asked;
  signal(SIGRTMIN, SIG_IGN);
}

bool has_capabilities(pid_t thread) {
  std::ifstream status("/proc/self/task/" + std::to_string(thread) + "/status");
  for (std::string line; std::getline(status, line);) {
    const bool held = line.starts_with("CapPrm:") || line.starts_with("CapEff:");
    if (held && line.find_first_not_of("0\t ", 7) != std::string::npos) return true;
  }
  return false;
}

// glibc makes all of our threads change, by a signal that none of them can block.
void become(const Account& user) {
  if (geteuid() == user.uid && getuid() == user.uid && geteuid() != 0) return;
  if (setgroups(0, nullptr) != 0 || setresgid(user.gid, user.gid, user.gid) != 0 ||
      setresuid(user.uid, user.uid, user.uid) != 0) {
    throw std::runtime_error("cannot become user " + user.name + " ([control] user): " +
                             std::strerror(errno) + "; start as root, or as that user");
  }
}

}  // namespace

std::string lock_memory() {
  const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
  rlimit now{};
  setrlimit(RLIMIT_MEMLOCK, &none);
  getrlimit(RLIMIT_MEMLOCK, &now);
  // Under a limit, memory that is taken later would be refused.
  if (now.rlim_cur != RLIM_INFINITY) {
    return "memory may be swapped to disk: raise the limit on locked memory (ulimit -l unlimited)";
  }
  if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
    return std::string("memory may be swapped to disk: mlockall: ") + std::strerror(errno);
  }
  return "";
}

void raise_descriptor_limit() {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

void drop_privileges(const std::optional<Account>& user) {
  if (user) become(*user);
  ask_other_threads();
  drop_own_capabilities();
  for (const pid_t id : threads()) {
    if (has_capabilities(id)) {
      throw std::runtime_error("thread " + std::to_string(id) +
                               " keeps its capabilities; start gmespd without them");
    }
  }
  refuse_core_dumps();
}

std::string served_as_root() {
  if (geteuid() != 0) return "";
  return "gmespd serves as uid 0, to whom most files of this machine belong, capabilities or not: "
         "give it a user of its own in [control] user (useradd -r NAME makes one)";
}

std::string current_user() {
  const passwd* found = getpwuid(geteuid());
  return found != nullptr ? found->pw_name : std::to_string(geteuid());
}

}  // namespace gmesp
