// SPDX-License-Identifier: BSD-3-Clause
// gmespd's end of one client's ring (DESIGN 4): commands out of it, a place for each until it is
// answered, answers and events into it, its bell. Whose turn it is, and what a command means, is
// the RingServer's. A client may write anything into the memory at any time: see
// client/shared_ring.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "control/client/mapping.h"
#include "control/client/records.h"
#include "control/client/shared_ring.h"
#include "control/client_socket.h"
#include "control/fair_share.h"

namespace gmesp {

// What an answer needs to know of its command.
struct UnansweredCommand {
  uint64_t token = 0;
  uint64_t handle = 0;
  bool challenge = false;
};

// An answer that says nothing yet. Its tail is not initialised: only what the head counts is sent.
client::AnswerRecord blank_answer(client::AnswerKind kind, uint64_t token);

// CK and IK, whatever kind of command it is.
void wipe_keys(client::CommandHead& head);

// Whether the client has taken out of its socket all that was sent to it: looking (MSG_PEEK) is not
// taking.
bool all_is_read(int socket);

class ServedRing {
 public:
  ServedRing(ClientSocket socket, client::Mapping memory);
  ~ServedRing() { wipe_untaken_keys(); }
  ServedRing(const ServedRing&) = delete;
  ServedRing& operator=(const ServedRing&) = delete;

  const Peer& peer() const { return peer_; }
  const ClientSocket& socket() const { return socket_; }
  // The ring's end, in this order: one of the first two, then the third. A client that reads zeros
  // in its memory finds that it was hung up on. Nothing but peer() is of use after.
  void hang_up();
  // Hangs up as well, and leaves what the client has not taken out of the socket there.
  [[nodiscard]] ClientSocket take_socket();
  void give_memory_back();
  // The client has told an index that cannot be.
  bool broken() const { return commands_.broken() || answers_.broken(); }
  // Whether the client has taken the memory's descriptor.
  bool has_taken_memory();

  // The client has closed its end, or is to go for what it has sent along
  // (ClientSocket::receive()): a ring full of commands, which it may have submitted before, is all
  // that is still taken. That is all of libgmesp's: it never has more unanswered than there are
  // places for answers. Of a client that goes on, the rest is dropped.
  void hear_hang_up();
  bool hung_up() const { return hung_up_; }

  // Whether there is a command, and a place for its answer.
  bool waits_for_turn();
  // Nothing is left to be done for it: whoever wants its place can have it.
  bool is_over() { return broken() || (hung_up_ && !waits_for_turn()); }
  // The oldest command, as it was when it was read, once. Its keys are in `command` alone then.
  // False: there is none, or no place for its answer.
  bool take(client::CommandRecord& command);
  // A place for its answer. Precondition: take() has just said true.
  uint8_t keep(const UnansweredCommand& command);
  const UnansweredCommand& unanswered(uint8_t place) const { return unanswered_[place]; }
  void answer(uint8_t place, const client::AnswerRecord& record);

  // Kinds of events that the client wants, a bit each.
  uint32_t& wanted_events() { return wanted_events_; }
  // False: no room, the client does not read; the event is lost.
  bool tell(const client::AnswerRecord& event);
  // In the place of the events that were lost: before any later one. False: there are none, or
  // still no room.
  bool mark_overflow();

  // To a client that sleeps, when something was put in for it since the last bell.
  void ring_bell();
  // Whether the client has to ring for its commands to be seen.
  void want_bells(bool wanted);

 private:
  // Whether another command's answer has a place.
  bool can_be_served();
  bool has_room_for_event();
  // Of commands that were not taken.
  void wipe_untaken_keys();
  void push(const client::AnswerRecord& record);

  ClientSocket socket_;
  Peer peer_;
  client::Mapping memory_;
  client::RingConsumer commands_;
  client::RingProducer answers_;
  std::array<UnansweredCommand, client::kMaxUnanswered> unanswered_;
  std::vector<uint8_t> free_places_;  // of unanswered_
  uint32_t wanted_events_ = 0;
  uint64_t events_lost_ = 0;  // since the last mark
  bool told_ = false;         // something since the last bell
  bool has_taken_memory_ = false;
  bool hung_up_ = false;
  size_t commands_left_ = SIZE_MAX;  // few when it has hung up: it may publish on all the same
};

}  // namespace gmesp
