// SPDX-License-Identifier: BSD-3-Clause
// A client of the rings that may do what libgmesp never would: it writes its shared memory by hand.
#pragma once

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/client/mapping.h"
#include "control/client/records.h"
#include "control/client/shared_ring.h"
#include "control/file_descriptor.h"
#include "control/ring_memory.h"
#include "dataplane/address.h"

namespace gmesp {

struct SocketPair {
  FileDescriptor ours;
  FileDescriptor servers;
};
inline SocketPair socket_pair() {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) return {};
  return {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

// One record, and the descriptor beside it, if any.
inline FileDescriptor receive_with(int socket, std::string& record) {
  char text[256];
  iovec part{text, sizeof text};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (got > 0) record.assign(text, static_cast<size_t>(got));
  const cmsghdr* rights = CMSG_FIRSTHDR(&message);
  int file = -1;
  if (got > 0 && rights != nullptr) std::memcpy(&file, CMSG_DATA(rights), sizeof file);
  return FileDescriptor(file);
}

// As another process has them, which has gone: the kernel knows pairs by who has made them.
inline std::vector<SocketPair> socket_pairs_of_another(size_t count) {
  const SocketPair channel = socket_pair();
  const pid_t child = fork();
  if (child == 0) {
    for (size_t i = 0; i < count; ++i) {
      const SocketPair pair = socket_pair();
      if (!send_with(channel.servers.get(), "x", pair.ours.get()) ||
          !send_with(channel.servers.get(), "x", pair.servers.get())) {
        _exit(1);
      }
    }
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  std::vector<SocketPair> pairs(count);
  std::string record;
  for (SocketPair& pair : pairs) {
    pair.ours = receive_with(channel.ours.get(), record);
    pair.servers = receive_with(channel.ours.get(), record);
  }
  return pairs;
}

class RingClient {
 public:
  // socket: a connection that RingServer::adopt() has answered.
  explicit RingClient(FileDescriptor socket)
      : socket_(std::move(socket)),
        memory_file_(receive_with(socket_.get(), text_)),
        memory_(memory_file_.get()) {
    if (!memory_) return;
    commands.emplace(memory_->commands, memory_.command_slots());
    answers.emplace(memory_->answers, memory_.answer_slots());
  }
  bool connected() const { return static_cast<bool>(memory_); }
  const std::string& text() const { return text_; }
  int socket() const { return socket_.get(); }
  int memory_file() const { return memory_file_.get(); }
  client::SharedMemory& memory() { return *memory_.get(); }
  void hang_up() { socket_ = FileDescriptor(); }

  bool put(const client::CommandRecord& record) {
    std::byte* slot = commands->slot();
    if (slot == nullptr) return false;
    std::memcpy(slot, &record, sizeof record);
    commands->publish();
    return true;
  }
  std::optional<client::AnswerRecord> get() {
    const std::byte* slot = answers->front();
    if (slot == nullptr) return std::nullopt;
    client::AnswerRecord record;
    std::memcpy(&record, slot, sizeof record);
    answers->pop();
    return record;
  }
  // Bells that wait to be read; nothing: the server has hung up.
  std::optional<int> bells() {
    for (int count = 0;; ++count) {
      char bell[8];
      const ssize_t got = recv(socket_.get(), bell, sizeof bell, MSG_DONTWAIT);
      if (got == 0) return std::nullopt;
      if (got < 0) return count;
    }
  }
  void ring() { send(socket_.get(), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL); }

  std::optional<client::RingProducer> commands;
  std::optional<client::RingConsumer> answers;

 private:
  FileDescriptor socket_;
  std::string text_;
  FileDescriptor memory_file_;
  client::Mapping memory_;
};

// Records as libgmesp would write them, to be spoiled.
class RecordMaker {
 public:
  RecordMaker(client::CommandKind kind, uint64_t token, uint64_t handle = 0) {
    record.head.bytes = sizeof record.head;
    record.head.kind = static_cast<uint8_t>(kind);
    record.head.token = token;
    record.head.handle = handle;
  }
  RecordMaker& append(const void* bytes, size_t count) {
    std::memcpy(reinterpret_cast<std::byte*>(&record) + record.head.bytes, bytes, count);
    record.head.bytes += static_cast<uint32_t>(count);
    return *this;
  }
  RecordMaker& identity(const std::string& text) {
    const auto bytes = static_cast<uint8_t>(text.size());
    ++record.head.identities;
    return append(&bytes, 1).append(text.data(), text.size());
  }
  RecordMaker& mechanism(const SecurityMechanism& mechanism) {
    const client::WireMechanism wire = client::to_wire(mechanism);
    ++record.head.first;
    record.head.flags |= client::kHasFirst;
    return append(&wire, sizeof wire);
  }

  client::CommandRecord record{};
};

inline client::CommandRecord register_record(uint64_t token, uint32_t ue) {
  RecordMaker maker(client::CommandKind::registered, token);
  const uint8_t address[4] = {10, static_cast<uint8_t>(ue >> 16), static_cast<uint8_t>(ue >> 8),
                              static_cast<uint8_t>(ue)};
  const uint8_t pcscf[4] = {192, 0, 2, 1};
  std::memcpy(maker.record.head.ue, Address::v4(address).bytes.data(), 16);
  std::memcpy(maker.record.head.pcscf, Address::v4(pcscf).bytes.data(), 16);
  const std::string number = std::to_string(ue);
  maker.mechanism({.integrity = IntegrityAlgorithm::hmac_sha_1_96,
                   .encryption = EncryptionAlgorithm::aes_cbc,
                   .port_c = 40001,
                   .port_s = 40002,
                   .spi_c = 0x80000001,
                   .spi_s = 0x80000002});
  return maker.identity("ue" + number + "@ims").identity("sip:ue" + number + "@ims").record;
}

inline client::CommandRecord challenge_record(uint64_t token, uint64_t handle, uint32_t key) {
  RecordMaker maker(client::CommandKind::challenge, token, handle);
  for (uint8_t i = 0; i < 16; ++i) {
    maker.record.head.ck[i] =
        static_cast<uint8_t>(key >> (i % 4 * 8)) ^ static_cast<uint8_t>(i * 37);
    maker.record.head.ik[i] = static_cast<uint8_t>(~maker.record.head.ck[i]);
  }
  return maker.record;
}

}  // namespace gmesp
