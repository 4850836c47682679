// SPDX-License-Identifier: BSD-3-Clause
// Closes the connections of clients where closing may take as long as a client likes: those that
// have descriptors in them, with a thread of its own, that does nothing else. All others are closed
// at once. Only there for kernels that carry descriptors to us (control/client_socket.h).
//
// A signal ends a wait in close(), for a TCP connection that lingers above all, so hurry() keeps
// the thread from ever being behind; what no signal ends, a deleted file of gigabytes, ends itself.
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
  // Every few milliseconds: what is being closed has waited long enough.
  void hurry();

 private:
  struct Work;
  static void close_all(Work& work);

  const int epoll_;
  const std::shared_ptr<Work> work_;  // the thread's too
};

}  // namespace gmesp
