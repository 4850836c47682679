// SPDX-License-Identifier: BSD-3-Clause
// libgmesp and a gmespd of later: what it says that this library cannot know reaches the caller.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>

#include "control/client/gmesp.hpp"
#include "control/client/mapping.h"
#include "control/client/records.h"
#include "control/file_descriptor.h"

namespace gmesp {
namespace {

constexpr std::string_view kCode = "refused_tomorrow";

// Serves one connection: every command is refused with kCode.
class NewerEngine {
 public:
  explicit NewerEngine(const std::string& path) : path_(path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    unlink(path.c_str());
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener_.get(), 1), 0);
    thread_ = std::thread([this] { run(); });
  }
  ~NewerEngine() {
    thread_.join();
    unlink(path_.c_str());
  }

 private:
  void run() {
    const FileDescriptor socket(accept(listener_.get(), nullptr, nullptr));
    char record[256];
    if (recv(socket.get(), record, sizeof record, 0) <= 0) return;
    const FileDescriptor file(memfd_create("ring", MFD_ALLOW_SEALING));
    if (ftruncate(file.get(), sizeof(client::SharedMemory)) != 0) return;
    fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK);
    const client::Mapping memory(file.get());
    memory->header.magic = client::SharedHeader::kMagic;
    memory->header.version = client::kRingVersion;
    memory->header.bytes = sizeof(client::SharedMemory);
    send_memory(socket.get(), file.get());
    client::RingConsumer commands(memory->commands, memory.command_slots());
    client::RingProducer answers(memory->answers, memory.answer_slots());
    pollfd hung_up{socket.get(), POLLIN, 0};
    while (poll(&hung_up, 1, 1) == 0) {
      if (const std::byte* slot = commands.front()) {
        refuse(slot, answers.slot());
        commands.pop();
        answers.publish();
        send(socket.get(), "", 1, MSG_NOSIGNAL);
      }
    }
  }
  static void refuse(const std::byte* from, std::byte* to) {
    client::CommandHead command;
    std::memcpy(&command, from, sizeof command);
    client::AnswerRecord answer{};
    answer.head.token = command.token;
    answer.head.refused = kCode.size();
    std::memcpy(answer.tail.data(), kCode.data(), kCode.size());
    std::memcpy(to, &answer, sizeof answer);
  }
  static void send_memory(int socket, int file) {
    std::string text(client::kRingAnswer);
    iovec part{text.data(), text.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof file)] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    *rights = {
        .cmsg_len = CMSG_LEN(sizeof file), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    std::memcpy(CMSG_DATA(rights), &file, sizeof file);
    EXPECT_GT(sendmsg(socket, &message, 0), 0);
  }

  std::string path_;
  FileDescriptor listener_{::socket(AF_UNIX, SOCK_SEQPACKET, 0)};
  std::thread thread_;
};

TEST(NewerEngine, ItsCodesReachTheCaller) {
  const NewerEngine engine("/tmp/gmesp-newer-" + std::to_string(getpid()) + ".sock");
  Client client("/tmp/gmesp-newer-" + std::to_string(getpid()) + ".sock");
  Report report{};
  report.size = sizeof report;
  const int error = gmesp_refresh(client.get(), 1, 60, 10000, &report);
  EXPECT_GT(error, 0);
  EXPECT_EQ(report.code, kCode);
  EXPECT_STREQ(gmesp_error_code(error), "unknown");
  try {
    client.refresh(1, 60);
    ADD_FAILURE() << "not refused";
  } catch (const Error& refused) {
    EXPECT_EQ(refused.code(), kCode);
    EXPECT_EQ(refused.number(), error);
  }
}

}  // namespace
}  // namespace gmesp
