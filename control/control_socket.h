// SPDX-License-Identifier: BSD-3-Clause
// The Unix SOCK_SEQPACKET socket: one JSON object per record, a request or an answer. A client has
// one operation in flight and one answer unread; what it sends meanwhile waits in the kernel, so
// answers come in order and a slow, silent, lying or dead client costs nobody else anything. One
// that monitors gets events between answers, and is served on. Nothing here blocks.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/client_socket.h"
#include "control/command_rules.h"
#include "control/commands.h"
#include "control/event_hub.h"
#include "control/fair_share.h"
#include "control/file_descriptor.h"
#include "control/monitor.h"
#include "control/turns.h"
#include "dataplane/thread_role.h"

namespace gmesp {

class ControlSocket {
 public:
  static constexpr size_t kMaxConnections = 256;
  // A client that leaves an answer unread for so long is disconnected.
  static constexpr std::chrono::seconds kPatience{10};
  // At kMaxConnections, a client that has been idle for so long may lose its place to a new one.
  static constexpr std::chrono::seconds kIdle{1};
  // Clients that monitor: they are never idle, so others need a limit to keep their places. Shared
  // out as connections are.
  static constexpr size_t kMaxMonitors = 32;
  // What new clients, and again what all others together, may take of a round of the control thread
  // before rings, workers and deadlines are looked at: some commands walk tens of thousands of SAs.
  // One command, or one client, more is begun.
  static constexpr std::chrono::milliseconds kRound{1};
  // Tags of our descriptors in `epoll` are kFirstTag and above.
  static constexpr uint64_t kFirstTag = 2;

  // listener: of listen_on(path). Owner and group of the file say who may be a client.
  ControlSocket(FileDescriptor listener, const std::string& path, int epoll, Commands& commands,
                EventHub& events);
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  // What epoll said about one of our descriptors: its client waits for its turn.
  void on_ready(uint64_t tag, uint32_t events) ON(control_thread);
  // Clients in turn, for kRound. False: none waits.
  bool serve_waiting() ON(control_thread);
  bool somebody_waits() const { return !turns_.empty(); }
  // What has happened, to those that monitor.
  void send_events();
  // Takes the connection of a client that asks for a ring (client::kRingRequest); without a handler
  // that is an unknown command.
  using RingHandler = std::function<void(ClientSocket)>;
  void on_ring(RingHandler handler) { on_ring_ = std::move(handler); }
  // Every second or so.
  void disconnect_stalled(std::chrono::steady_clock::time_point now);

  size_t connections() const { return connections_.size(); }

 private:
  struct Connection {
    ClientSocket fd;
    Peer peer;
    uint32_t interest = 0;  // what epoll watches
    bool in_flight = false;
    bool broken = false;
    bool wants_ring = false;
    bool waits_for_turn = false;
    std::string unsent;  // an answer that the client's buffer has no room for
    std::unique_ptr<Monitor> monitor;
    std::chrono::steady_clock::time_point quiet_since{};  // the last answer, taken or not

    // Loses more than its place when it is disconnected.
    bool waits() const { return in_flight || !unsent.empty() || monitor; }
  };

  using Connections = std::unordered_map<uint64_t, Connection>;
  void accept_clients();
  // With the descriptor that was kept back. False: that is gone too.
  bool accept_without_descriptors();
  // there_is_room: or another client loses its place.
  void add_client(ClientSocket fd, bool there_is_room);
  void keep_one_descriptor();
  void stop_listening();
  // By the file's owner and group as they are now, whatever its mode and however it was passed on.
  bool may_connect(int fd, const Peer& peer) const;
  // Turns somebody away: of those that have more than the newcomer the client idle longest, or one
  // of the greediest; else the newcomer's own idle one. Who has most lives off nobody's pauses.
  // False: there is none.
  bool make_room(const Peer& newcomer);
  // The same among those that monitor: the newest of those that have more than the newcomer.
  bool make_room_to_monitor(const Peer& newcomer);
  void disconnect_for_another(uint64_t tag);
  template <typename Counts>
  uint64_t idle_longest(Counts&& counts) const;
  uint64_t of_greediest(std::span<const Peer> holders, const Peer& newcomer) const;
  void wait_for_turn(uint64_t tag, Connection& connection);
  void forget(Connections::iterator entry);
  // Reads and runs records until the client must wait, or others must be served.
  void serve(uint64_t tag, std::chrono::steady_clock::time_point end) ON(control_thread);
  // False: nothing to read now, or the client is gone.
  bool read_record(uint64_t tag, Connection& connection) ON(control_thread);
  void hand_over(uint64_t tag) ON(control_thread);
  void answer(uint64_t tag, const std::string& text);
  void send_answer(Connection& connection, const std::string& text);
  void begin_monitor(EventKinds kinds);
  void on_event(const Event& event);
  // As many as the client's buffer takes, behind its answers.
  void send_events(Connection& connection);
  static uint32_t interest_of(const Connection& connection);
  void watch(uint64_t tag, Connection& connection, uint32_t interest);

  std::string path_;
  // Of our file at path_: another daemon may have put its own there since.
  dev_t device_ = 0;
  ino_t inode_ = 0;
  uid_t owner_ = 0;
  gid_t group_ = 0;
  int epoll_;
  Commands& commands_;
  FileDescriptor listener_;
  std::shared_ptr<Closer> closer_;  // null: the kernel refuses descriptors
  RingHandler on_ring_;
  FileDescriptor spare_;   // given up for a client that comes when there is no other descriptor
  bool listening_ = true;  // false: out of descriptors, for the moment
  uint64_t next_tag_ = kFirstTag + 1;
  Connections connections_;
  Turns turns_;  // of connections
  static constexpr uint64_t kNobody = 0;
  uint64_t serving_ = kNobody;      // whose records serve() is reading
  std::vector<uint64_t> monitors_;  // connections that monitor; some may be gone
  std::array<char, kMaxRecordBytes + RequestReader::kPadding> record_{};
};

}  // namespace gmesp
