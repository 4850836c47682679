// SPDX-License-Identifier: BSD-3-Clause
// What answers the signals that end gmespd while nobody serves yet. Starting can take long, or for
// ever: a virtio_user device in server mode waits for its peer inside the driver, large tables are
// filled page by page. Nothing of that can be asked to stop, so the process ends.
#pragma once

#include <string>
#include <thread>
#include <vector>

#include "control/file_descriptor.h"

namespace gmesp {

// The exit status, and what is said around the signal's name.
struct Ending {
  int status;
  const char* before;
  const char* after;
};

class EarlyStop {
 public:
  // A signal on stop_fd (a signalfd) ends the process as `ending` says. `files` are what may be
  // left behind: those that are not there now are removed then. stop_fd outlives this object.
  // Throws std::runtime_error or std::system_error without a descriptor or thread for it.
  EarlyStop(int stop_fd, const Ending& ending, const std::vector<std::string>& files);
  // From now on stop_fd is the caller's to read; no signal is lost.
  ~EarlyStop();
  EarlyStop(const EarlyStop&) = delete;
  EarlyStop& operator=(const EarlyStop&) = delete;

 private:
  void wait(int stop_fd, Ending ending) const;

  std::vector<std::string> our_files_;
  FileDescriptor done_;
  std::thread thread_;
};

}  // namespace gmesp
