// SPDX-License-Identifier: BSD-3-Clause
// Closes the connections of clients where closing may take as long as a client likes: with a thread
// of its own, that does nothing else. Only there for kernels that carry descriptors to us
// (control/client_socket.h).
#pragma once

#include <memory>

#include "control/file_descriptor.h"

namespace gmesp {

class Closer {
 public:
  // epoll: watches what is closed, up to then.
  explicit Closer(int epoll);
  // Does not wait for the thread, which ends when it has closed what it has.
  ~Closer();
  Closer(const Closer&) = delete;
  Closer& operator=(const Closer&) = delete;

  // The other end hears at once that nothing more comes.
  void take(FileDescriptor connection);

 private:
  struct Work;
  static void close_all(Work& work);

  const int epoll_;
  const std::shared_ptr<Work> work_;  // the thread's too
};

}  // namespace gmesp
