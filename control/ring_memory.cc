// SPDX-License-Identifier: BSD-3-Clause
#include "control/ring_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace gmesp {

using client::Mapping;
using client::SharedHeader;
using client::SharedMemory;

// Its size is sealed, or the client could cut it off under our feet (SIGBUS). All of it is there
// from the beginning: no later access waits for memory. (Holes that a client punches come back as
// zero pages.)
std::optional<Mapping> make_ring_memory(const SharedHeader& header, FileDescriptor& descriptor) {
  descriptor = FileDescriptor(memfd_create("gmesp-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!descriptor || ftruncate(descriptor.get(), sizeof(SharedMemory)) != 0 ||
      posix_fallocate(descriptor.get(), 0, sizeof(SharedMemory)) != 0 ||
      fcntl(descriptor.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return std::nullopt;
  }
  Mapping memory(descriptor.get());
  if (!memory) return std::nullopt;
  memory->header = header;
  return memory;
}

void give_back(const Mapping& memory) {
  // Locked pages are not removed. (Sanitizers let mlock2() be, but have munlock() do nothing.)
  syscall(SYS_munlock, memory.get(), sizeof(SharedMemory));
  madvise(memory.get(), sizeof(SharedMemory), MADV_REMOVE);
}

bool send_with(int socket, std::string_view text, int descriptor) {
  iovec part{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof descriptor)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
  return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

}  // namespace gmesp
