// SPDX-License-Identifier: BSD-3-Clause
#include "control/client_socket.h"

#include <sys/socket.h>

#include <cerrno>
#include <string>

#include "control/json_writer.h"

namespace gmesp {
namespace {

// Of Linux 6.16, and of no header yet.
constexpr int kPassRights = 83;

}  // namespace

void refuse_descriptors(int listener) {
  const int off = 0;
  setsockopt(listener, SOL_SOCKET, kPassRights, &off, sizeof off);
}

bool kernel_refuses_descriptors(int listener) {
  int passed = 1;
  socklen_t bytes = sizeof passed;
  return getsockopt(listener, SOL_SOCKET, kPassRights, &passed, &bytes) == 0 && passed == 0;
}

void send_refusal(int socket, Refusal why) {
  const std::string text = refusal_answer(Refused(why));
  send(socket, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

ssize_t ClientSocket::receive(void* record, size_t bytes) const {
  if (closer_) {
    // A look without room for descriptors says that there are some, and leaves them in the kernel.
    // Nothing to look at: nothing is taken either, what comes meanwhile has not been looked at.
    msghdr nothing{};
    if (recvmsg(get(), &nothing, MSG_PEEK | MSG_DONTWAIT) < 0) return -1;
    if ((nothing.msg_flags & MSG_CTRUNC) != 0) {
      errno = EPERM;
      return -1;
    }
  }
  return recv(get(), record, bytes, MSG_DONTWAIT | MSG_TRUNC);
}

}  // namespace gmesp
