// SPDX-License-Identifier: BSD-3-Clause
#include "control/client_socket.h"

#include <sys/socket.h>

#include <cerrno>

namespace gmesp {
namespace {

// Of Linux 6.16, and of no header yet.
constexpr int kPassRights = 83;

// A look without room for descriptors says that there are some, and leaves them in the kernel.
bool brings_descriptors(int socket) {
  msghdr nothing{};
  return recvmsg(socket, &nothing, MSG_PEEK | MSG_DONTWAIT) >= 0 &&
         (nothing.msg_flags & MSG_CTRUNC) != 0;
}

}  // namespace

bool refuse_descriptors(int listener) {
  const int off = 0;
  return setsockopt(listener, SOL_SOCKET, kPassRights, &off, sizeof off) == 0;
}

bool refuses_descriptors(int listener) {
  int passed = 1;
  socklen_t bytes = sizeof passed;
  return getsockopt(listener, SOL_SOCKET, kPassRights, &passed, &bytes) == 0 && passed == 0;
}

ssize_t ClientSocket::receive(void* record, size_t bytes) const {
  if (closer_ && brings_descriptors(get())) {
    errno = EPERM;
    return -1;
  }
  return recv(get(), record, bytes, MSG_DONTWAIT | MSG_TRUNC);
}

}  // namespace gmesp
