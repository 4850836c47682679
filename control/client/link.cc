// SPDX-License-Identifier: BSD-3-Clause
#include "control/client/link.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "control/client/gmesp.h"

namespace gmesp::client {
namespace {

constexpr int kBellsAtOnce = 64;

// How long is left of timeout_ms.
class Deadline {
 public:
  explicit Deadline(int timeout_ms) : end_(timeout_ms < 0 ? -1 : now_ms() + timeout_ms) {}
  int left() const {
    return end_ < 0 ? -1 : static_cast<int>(std::max<int64_t>(0, end_ - now_ms()));
  }

 private:
  int64_t end_;
};

int error_of_connect() {
  switch (errno) {
    case EACCES:
    case EPERM:
      return GMESP_EPERMISSION;
    case ENOMEM:
    case ENOBUFS:
      return GMESP_EMEMORY;
    default:
      return GMESP_ENO_ENGINE;
  }
}

FileDescriptor connect_to(const std::string& path, const Deadline& deadline) {
  sockaddr_un address{};
  if (path.empty() || path.size() >= sizeof address.sun_path) throw Failure{GMESP_EARGUMENT};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  FileDescriptor fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) throw Failure{GMESP_EMEMORY};
  // EAGAIN: more clients are waiting than gmespd has accepted. There is nothing to poll for.
  while (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EINTR) continue;
    if (errno != EAGAIN) throw Failure{error_of_connect()};
    if (deadline.left() == 0) throw Failure{GMESP_ETIMEOUT};
    poll(nullptr, 0, 1);
  }
  return fd;
}

struct Answer {
  std::string text;
  FileDescriptor memory;
};

Answer receive_answer(int fd) {
  Answer answer;
  char text[1024];
  iovec part{text, sizeof text};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  // A reset is told once, before what still waits to be read.
  if (got < 0 && errno == ECONNRESET) got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  if (got <= 0) throw Failure{GMESP_EDISCONNECTED};
  answer.text.assign(text, static_cast<size_t>(got));
  const cmsghdr* part_of_control = CMSG_FIRSTHDR(&message);
  if (part_of_control != nullptr && part_of_control->cmsg_level == SOL_SOCKET &&
      part_of_control->cmsg_type == SCM_RIGHTS &&
      part_of_control->cmsg_len == CMSG_LEN(sizeof(int))) {
    int memory = -1;
    std::memcpy(&memory, CMSG_DATA(part_of_control), sizeof memory);
    answer.memory = FileDescriptor(memory);
  }
  return answer;
}

// gmespd refuses a ring like any command; one that does not know this request is older or newer.
[[noreturn]] void fail_by(const std::string& text) {
  const auto says = [&](const char* code) { return text.find(code) != std::string::npos; };
  if (says("\"too_many_connections\"")) throw Failure{GMESP_ETOO_MANY};
  if (says("\"not_permitted\"")) throw Failure{GMESP_EPERMISSION};
  if (says("\"no_memory\"")) throw Failure{GMESP_EMEMORY};
  throw Failure{says("\"unknown_command\"") ? GMESP_EVERSION : GMESP_EPROTOCOL};
}

// Of what cannot be: gmespd lies, or it has hung up and taken the memory's contents back.
int error_of(int fd, int lie) {
  pollfd state{fd, POLLRDHUP, 0};
  return poll(&state, 1, 0) == 1 ? GMESP_EDISCONNECTED : lie;
}

Mapping ask_for_memory(int fd, const Deadline& deadline) {
  // A gmespd that has hung up may have said why: receive_answer() finds out.
  if (send(fd, kRingRequest.data(), kRingRequest.size(), MSG_NOSIGNAL) < 0 && errno != EPIPE &&
      errno != ECONNRESET) {
    throw Failure{GMESP_EDISCONNECTED};
  }
  if (!wait_for(fd, POLLIN, deadline.left())) throw Failure{GMESP_ETIMEOUT};
  const Answer answer = receive_answer(fd);
  if (!answer.memory) fail_by(answer.text);
  // Unsealed memory could be cut off under our feet.
  const int seals = fcntl(answer.memory.get(), F_GET_SEALS);
  struct stat file {};
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(answer.memory.get(), &file) != 0) {
    throw Failure{GMESP_EPROTOCOL};
  }
  if (file.st_size != sizeof(SharedMemory)) throw Failure{GMESP_EVERSION};
  Mapping memory(answer.memory.get());
  if (!memory) throw Failure{GMESP_EMEMORY};
  const SharedHeader& header = memory->header;
  if (header.magic != SharedHeader::kMagic || header.version != kRingVersion ||
      header.bytes != sizeof(SharedMemory)) {
    throw Failure{error_of(fd, GMESP_EVERSION)};
  }
  return memory;
}

Mapping connected_memory(FileDescriptor& socket, const std::string& path, int timeout_ms) {
  const Deadline deadline(timeout_ms);
  socket = connect_to(path, deadline);
  return ask_for_memory(socket.get(), deadline);
}

}  // namespace

int64_t now_ms() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1000000;
}

bool wait_for(int fd, short events, int timeout_ms) {
  const Deadline deadline(timeout_ms);
  while (true) {
    pollfd wait{fd, events, 0};
    const int ready = poll(&wait, 1, deadline.left());
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) throw Failure{GMESP_EMEMORY};
  }
}

Link::Link(const std::string& path, int timeout_ms)
    : memory_(connected_memory(socket_, path, timeout_ms)),
      header_(memory_->header),
      commands_(memory_->commands, memory_.command_slots()),
      answers_(memory_->answers, memory_.answer_slots()) {}

// Children of a fork have the descriptor too: to close ours would not be the connection's end.
Link::~Link() {
  if (memory_) shutdown(socket_.get(), SHUT_RDWR);
}

CommandRecord* Link::slot() {
  std::byte* slot = commands_.slot();
  if (commands_.broken()) throw Failure{why()};
  return reinterpret_cast<CommandRecord*>(slot);
}

void Link::publish() {
  commands_.publish();
  // Between our record and gmespd's flag, as between its flag and its last look: one of us sees the
  // other.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (memory_->daemon_asleep.load(std::memory_order_relaxed) == 0) return;
  memory_->daemon_asleep.store(0, std::memory_order_relaxed);
  // No room: bells enough. Nobody there: ready_to_wait() finds that out.
  const char bell = 0;
  send(socket_.get(), &bell, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool Link::take(AnswerRecord& record) {
  const std::byte* slot = answers_.front();
  if (answers_.broken()) throw Failure{why()};
  if (slot == nullptr) return false;
  std::memcpy(&record, slot, sizeof record);
  end_of_copy();
  // Memory is taken back from its first byte on: a record that was cut short has no header either.
  if (memory_->header.magic != SharedHeader::kMagic) throw Failure{why()};
  answers_.pop();
  return true;
}

int Link::why() const { return error_of(socket_.get(), GMESP_EPROTOCOL); }

bool Link::ready_to_wait() {
  for (int i = 0; i < kBellsAtOnce; ++i) {
    char bell[1];
    const ssize_t got = recv(socket_.get(), bell, sizeof bell, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (got <= 0) throw Failure{GMESP_EDISCONNECTED};
  }
  memory_->client_asleep.store(1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return answers_.front() == nullptr;
}

}  // namespace gmesp::client
