// SPDX-License-Identifier: BSD-3-Clause
#include "tools/early_stop.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace gmesp {
namespace {

bool is_there(const std::string& file) {
  struct stat status {};
  return lstat(file.c_str(), &status) == 0;
}

// Not stdio: the thread that starts everything may hold its lock.
void say(const std::string& words) {
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, words.data(), words.size());
}

}  // namespace

EarlyStop::EarlyStop(int stop_fd, const Ending& ending, const std::vector<std::string>& files)
    : done_(eventfd(0, EFD_CLOEXEC)) {
  if (!done_) throw std::runtime_error("no descriptor for signals: ulimit -n 256");
  for (const std::string& file : files) {
    if (!is_there(file)) our_files_.push_back(file);
  }
  thread_ = std::thread(&EarlyStop::wait, this, stop_fd, ending);
}

EarlyStop::~EarlyStop() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(done_.get(), &one, sizeof one);
  thread_.join();
}

// No key is in memory yet that exit handlers would have to wipe, and they would wait for the
// drivers.
void EarlyStop::wait(int stop_fd, Ending ending) const {
  pollfd ends[] = {{stop_fd, POLLIN, 0}, {done_.get(), POLLIN, 0}};
  while (poll(ends, 2, -1) < 0) {
  }
  if (ends[1].revents != 0) return;
  signalfd_siginfo info{};
  if (read(stop_fd, &info, sizeof info) != sizeof info) return;
  for (const std::string& file : our_files_) unlink(file.c_str());
  const char* name = sigabbrev_np(static_cast<int>(info.ssi_signo));
  say(std::string("gmespd: ") + ending.before + " SIG" + (name != nullptr ? name : "?") +
      ending.after + "\n");
  _exit(ending.status);
}

}  // namespace gmesp
