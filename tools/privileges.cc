// SPDX-License-Identifier: BSD-3-Clause
// Capabilities belong to threads, and DPDK has started some of its own by now: capset() in one
// leaves the others as they are. So each thread is asked by a signal to give up its own, as libc
// does for setuid().
#include "tools/privileges.h"

#include <linux/capability.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

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

}  // namespace

void drop_privileges() {
  ask_other_threads();
  drop_own_capabilities();
  for (const pid_t id : threads()) {
    if (has_capabilities(id)) {
      throw std::runtime_error("thread " + std::to_string(id) +
                               " keeps its capabilities; start gmespd without them");
    }
  }
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  const rlimit nothing{};
  setrlimit(RLIMIT_CORE, &nothing);
}

}  // namespace gmesp
