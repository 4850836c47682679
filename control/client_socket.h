// SPDX-License-Identifier: BSD-3-Clause
// The connection of a client. A client may send descriptors beside a record (SCM_RIGHTS). We want
// none, and who drops the last one waits for what is behind it as long as the client likes: for a
// TCP connection that lingers, for a deleted file of gigabytes. Linux from 6.16 on is asked not to
// carry them. On an older one they are seen before they are taken, the client is thrown out, and
// they are dropped by a thread that may wait (Closer).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <utility>

#include "control/closer.h"
#include "control/file_descriptor.h"
#include "control/refusal.h"

namespace gmesp {

// Of a listener, for all connections to it, where the kernel can.
void refuse_descriptors(int listener);
bool kernel_refuses_descriptors(int listener);

// The client's commands that have no answer are not run: this answers them.
void send_refusal(int socket, Refusal why);

class ClientSocket {
 public:
  ClientSocket() = default;
  // closer: null where the kernel refuses descriptors.
  ClientSocket(FileDescriptor socket, std::shared_ptr<Closer> closer = nullptr)
      : socket_(std::move(socket)), closer_(std::move(closer)) {}
  ClientSocket(ClientSocket&&) noexcept = default;
  ClientSocket& operator=(ClientSocket&& other) noexcept {
    std::swap(socket_, other.socket_);
    std::swap(closer_, other.closer_);
    return *this;
  }
  ~ClientSocket() {
    if (socket_ && closer_) closer_->take(std::move(socket_));
  }

  int get() const { return socket_.get(); }
  explicit operator bool() const { return static_cast<bool>(socket_); }

  // recv() that does not wait and says how long the record was, however little was read of it.
  // EPERM: there are descriptors beside it, and it was left where it is.
  ssize_t receive(void* record, size_t bytes) const;

 private:
  FileDescriptor socket_;
  std::shared_ptr<Closer> closer_;
};

}  // namespace gmesp
