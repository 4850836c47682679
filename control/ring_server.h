// SPDX-License-Identifier: BSD-3-Clause
// The rings of libgmesp's clients (DESIGN 4): who is given one, whose turn it is, what is done with
// a command; served_ring.h is one of them. A client may write anything into its memory at any time,
// read nothing, ring without end or die at any instruction: it harms itself only, and its sets live
// on. Nothing here blocks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "control/client/records.h"
#include "control/client_socket.h"
#include "control/fair_share.h"
#include "control/registration/registrar.h"
#include "control/registration/set_event.h"
#include "control/served_ring.h"
#include "dataplane/policy.h"
#include "dataplane/thread_role.h"

namespace gmesp {

struct RingCounts {
  uint64_t opened = 0;
  uint64_t turned_away = 0;  // there were kMaxRings, or no memory, or too many had not taken theirs
  uint64_t commands = 0;
  uint64_t refused = 0;      // of them
  uint64_t events_lost = 0;  // no room: the client does not read
  uint64_t overflows = 0;    // marks in their place
  uint64_t thrown_out = 0;   // clients, for an index that could not be
};

class RingServer {
 public:
  static constexpr size_t kMaxRings = 128;
  // Rings whose descriptor the client has not taken out of its socket, also when the ring is gone
  // since: the kernel counts them against our limit on open files, and what is sent stays sent.
  // libgmesp takes its own at once. The second half of a user's, and of all, is for processes that
  // have none: no few processes keep others out.
  static constexpr size_t kMaxUntaken = 4 * kMaxRings;
  static constexpr size_t kMaxUntakenOfUser = 2 * kMaxRings;
  static constexpr size_t kMaxUntakenOfProcess = 16;
  // Commands of all in a round, before others than rings get their turn: in equal parts for the
  // users who have any, the processes of each and the rings of each, but one of a ring at least.
  static constexpr size_t kCommandsPerRound = 512;
  // And of one ring.
  static constexpr size_t kCommandsPerTurn = 64;
  // Tags of our descriptors in `epoll` have this bit.
  static constexpr uint64_t kTagBit = uint64_t{1} << 63;

  RingServer(int epoll, Registrar& registrar, Role role);
  RingServer(const RingServer&) = delete;
  RingServer& operator=(const RingServer&) = delete;

  // Takes over the connection of a client that has asked for a ring (client::kRingRequest), which
  // epoll does not watch any more, and answers it.
  void adopt(ClientSocket socket) ON(control_thread);
  // What epoll said about one of our descriptors.
  void on_ready(uint64_t tag, uint32_t events) ON(control_thread);
  // Commands out, answers in, bells, and one ring that is over let go: to wipe its memory and give
  // it back takes half a millisecond, in which nobody is served. False: nothing to do.
  bool poll() ON(control_thread);
  // Before a wait in epoll: clients ring from now on. False: there is a command already.
  bool ready_to_wait() ON(control_thread);
  // After it: no more bells.
  void awake() ON(control_thread);
  // To every client that has asked for its kind.
  void on_event(const SetEvent& event) ON(control_thread);

  size_t rings() const { return rings_.size(); }
  const RingCounts& counts() const { return counts_; }

 private:
  struct Untaken {
    ClientSocket socket;
    Peer peer;
  };
  using Rings = std::map<uint32_t, std::unique_ptr<ServedRing>>;
  client::SharedHeader header() const;
  // Whether another descriptor may be sent there.
  bool may_send_memory(const Peer& newcomer) ON(control_thread);
  Rings::iterator first_that_is_over() ON(control_thread);
  // The ring that gives way when all places are taken: one that is over, else one of those that
  // have more than their share. End: there is none.
  Rings::iterator who_makes_room(const Peer& newcomer) ON(control_thread);
  // Its end (ServedRing::hang_up()), and the end of what we have of it.
  void let_go(Rings::iterator entry) ON(control_thread);
  void serve(uint32_t number, ServedRing& ring, size_t turn) ON(control_thread);
  void run_command(uint32_t number, ServedRing& ring) ON(control_thread);
  void on_done(uint32_t number, uint8_t place, std::optional<Refusal> refusal, size_t count)
      ON(control_thread);

  const int epoll_;
  Registrar& registrar_;
  const Role role_;
  std::array<uint64_t, 2> instance_;
  bool asleep_ = false;       // clients may have been told so
  uint32_t last_number_ = 0;  // of a ring; in 2^32 of them none meets an answer of before
  Rings rings_;
  std::vector<Untaken> untaken_;     // of rings that are gone
  client::CommandRecord command_{};  // the one that is being done; its keys are wiped after it
  RingCounts counts_;
};

}  // namespace gmesp
