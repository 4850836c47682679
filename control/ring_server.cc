// SPDX-License-Identifier: BSD-3-Clause
#include "control/ring_server.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "control/ring_calls.h"
#include "control/ring_memory.h"
#include "crypto/key_material.h"

namespace gmesp {
namespace {

using client::AnswerKind;
using client::AnswerRecord;
using client::CommandKind;
using client::Mapping;
using client::SharedHeader;
using client::SharedMemory;

// All bells say the same, and epoll tells of what is left in the next round, so a round needs to
// read few: 128 clients that ring without end take a millisecond of it, and took ten with 64 bells
// of each.
constexpr int kBellsPerTurn = 4;
// The client has gone: epoll says so whatever bells of it are not read yet.
constexpr uint32_t kGone = EPOLLHUP | EPOLLRDHUP | EPOLLERR;

}  // namespace

RingServer::RingServer(int epoll, Registrar& registrar, Role role)
    : epoll_(epoll), registrar_(registrar), role_(role), instance_{} {
  getentropy(instance_.data(), sizeof instance_);
}

SharedHeader RingServer::header() const {
  return {.magic = SharedHeader::kMagic,
          .version = client::kRingVersion,
          .bytes = sizeof(SharedMemory),
          .instance = {instance_[0], instance_[1]},
          .padded_spis = registrar_.config().negotiation.spi_format == SpiFormat::padded,
          .role = static_cast<uint8_t>(role_)};
}

// The oldest: each has its round.
RingServer::Rings::iterator RingServer::first_that_is_over() {
  return std::ranges::find_if(rings_, [](const auto& entry) { return entry.second->is_over(); });
}

// The newest of that process: its others have more to lose.
RingServer::Rings::iterator RingServer::who_makes_room(const Peer& newcomer) {
  const auto over = first_that_is_over();
  if (over != rings_.end()) return over;
  std::vector<Peer> holders;
  for (const auto& [number, ring] : rings_) holders.push_back(ring->peer());
  const std::optional<Peer> giver = who_gives_way(holders, newcomer);
  auto newest = rings_.end();
  for (auto entry = rings_.begin(); entry != rings_.end(); ++entry) {
    const Peer& peer = entry->second->peer();
    if (giver && peer.user == giver->user && peer.process == giver->process) newest = entry;
  }
  return newest;
}

void RingServer::let_go(Rings::iterator entry) {
  ServedRing& ring = *entry->second;
  const Peer& peer = ring.peer();
  if (ring.broken()) {
    ++counts_.thrown_out;
    spdlog::debug("a client of a ring was thrown out: its index cannot be");
  } else if (!ring.is_over()) {
    ++counts_.turned_away;
    spdlog::debug("ring taken from pid {} uid {}: it has most", peer.process, peer.user);
  }
  if (ring.has_taken_memory()) {
    ring.hang_up();
  } else {
    epoll_ctl(epoll_, EPOLL_CTL_DEL, ring.socket().get(), nullptr);
    untaken_.push_back({ring.take_socket(), peer});
  }
  ring.give_memory_back();
  rings_.erase(entry);
}

bool RingServer::may_send_memory(const Peer& newcomer) {
  std::erase_if(untaken_, [](const Untaken& ring) { return all_is_read(ring.socket.get()); });
  size_t all = 0, of_user = 0, of_process = 0;
  const auto count = [&](const Peer& peer) {
    ++all;
    of_user += peer.user == newcomer.user;
    of_process += peer.user == newcomer.user && peer.process == newcomer.process;
  };
  for (const Untaken& ring : untaken_) count(ring.peer);
  for (const auto& [number, ring] : rings_) {
    if (!ring->has_taken_memory()) count(ring->peer());
  }
  const size_t part = of_process == 0 ? 1 : 2;
  return all < kMaxUntaken / part && of_user < kMaxUntakenOfUser / part &&
         of_process < kMaxUntakenOfProcess;
}

void RingServer::adopt(ClientSocket socket) {
  const Peer peer = Peer::of(socket.get());
  const auto turn_away = [&](Refusal why) {
    ++counts_.turned_away;
    send_refusal(socket.get(), why);
  };
  if (!may_send_memory(peer)) return turn_away(Refusal::no_memory);
  const bool full = rings_.size() >= kMaxRings;
  const auto giver = full ? who_makes_room(peer) : rings_.end();
  if (full && giver == rings_.end()) return turn_away(Refusal::too_many_connections);
  FileDescriptor descriptor;
  std::optional<Mapping> memory = make_ring_memory(header(), descriptor);
  const uint32_t number = ++last_number_;
  epoll_event event{EPOLLIN | EPOLLRDHUP, {}};
  event.data.u64 = kTagBit | number;
  if (!memory || epoll_ctl(epoll_, EPOLL_CTL_ADD, socket.get(), &event) != 0 ||
      !send_with(socket.get(), client::kRingAnswer, descriptor.get())) {
    return turn_away(Refusal::no_memory);
  }
  if (full) let_go(giver);  // when nothing fails any more: no place is lost to one that has gone
  spdlog::debug("ring opened: pid {} uid {} gid {}", peer.process, peer.user, peer.group);
  rings_[number] = std::make_unique<ServedRing>(std::move(socket), std::move(*memory));
  ++counts_.opened;
}

// A bell says nothing but that somebody should look, which poll() does; or the client has gone.
void RingServer::on_ready(uint64_t tag, uint32_t events) {
  const auto found = rings_.find(static_cast<uint32_t>(tag));
  if (found == rings_.end()) return;
  ServedRing& ring = *found->second;
  bool gone = (events & kGone) != 0;
  for (int i = 0; i < kBellsPerTurn && !gone; ++i) {
    char bell[1];
    const ssize_t got = ring.socket().receive(bell, sizeof bell);
    if (got > 0 || (got < 0 && errno == EINTR)) continue;
    if (got < 0 && would_block()) return;
    gone = true;
  }
  if (!gone) return;
  ring.hear_hang_up();
  epoll_ctl(epoll_, EPOLL_CTL_DEL, ring.socket().get(), nullptr);
}

bool RingServer::poll() {
  std::vector<Rings::value_type*> waiting;
  FairParts parts;
  for (auto& entry : rings_) {
    ServedRing& ring = *entry.second;
    counts_.overflows += ring.mark_overflow();
    if (!ring.waits_for_turn()) continue;
    waiting.push_back(&entry);
    parts.add(ring.peer());
  }
  for (const auto* entry : waiting) {
    const size_t part = parts.part(kCommandsPerRound, entry->second->peer());
    serve(entry->first, *entry->second, std::clamp(part, size_t{1}, kCommandsPerTurn));
  }
  const auto over = first_that_is_over();
  const bool one_goes = over != rings_.end();
  if (one_goes) let_go(over);
  // Behind all: one client's command is another's event.
  for (const auto& [number, ring] : rings_) ring->ring_bell();
  return !waiting.empty() || one_goes;
}

void RingServer::serve(uint32_t number, ServedRing& ring, size_t turn) {
  for (size_t i = 0; i < turn && ring.take(command_); ++i) run_command(number, ring);
}

void RingServer::run_command(uint32_t number, ServedRing& ring) {
  const bool challenge = command_.head.kind == static_cast<uint8_t>(CommandKind::challenge);
  const uint8_t place = ring.keep(
      {.token = command_.head.token, .handle = command_.head.handle, .challenge = challenge});
  ++counts_.commands;
  AnswerRecord record = blank_answer(AnswerKind::completion, command_.head.token);
  const auto done = [this, number, place](std::optional<Refusal> refusal, size_t count = 0) {
    const AssumeRole role(control_thread);
    on_done(number, place, refusal, count);
  };
  static_assert(sizeof done <= 2 * sizeof(void*), "std::function takes it without allocating");
  bool answered = true;
  try {
    answered = run_ring_command(command_, registrar_, ring.wanted_events(), done, done, record);
  } catch (const Refused& refused) {
    ++counts_.refused;
    refuse(refused.refusal(), record);
  }
  wipe_keys(command_.head);
  if (challenge) wipe_stack();
  if (answered) ring.answer(place, record);  // when it is heard, no key is left
}

// The client may be gone meanwhile; the command has had its effect all the same.
void RingServer::on_done(uint32_t number, uint8_t place, std::optional<Refusal> refusal,
                         size_t count) {
  const auto found = rings_.find(number);
  if (found == rings_.end()) return;
  const UnansweredCommand& command = found->second->unanswered(place);
  AnswerRecord record = blank_answer(AnswerKind::completion, command.token);
  record.head.handle = command.handle;
  record.head.count = static_cast<uint32_t>(count);
  if (refusal) {
    ++counts_.refused;
    refuse(*refusal, record);
  } else if (command.challenge && role_ == Role::ue) {
    // Chosen just now, out of the 401's Security-Server.
    const std::optional<Suite> suite = registrar_.view(SetHandle{command.handle}).suite;
    if (suite) record.head.suite = static_cast<uint8_t>(*suite);
  }
  found->second->answer(place, record);
}

void RingServer::on_event(const SetEvent& event) {
  AnswerRecord record = blank_answer(AnswerKind::event, 0);
  record.head.event = static_cast<uint8_t>(event.kind);
  record.head.state = static_cast<uint8_t>(event.state);
  record.head.handle = static_cast<uint64_t>(event.handle);
  record.head.number = event.when_ms;
  for (const auto& [number, ring] : rings_) {
    if ((ring->wanted_events() >> static_cast<unsigned>(event.kind) & 1) == 0) continue;
    counts_.overflows += ring->mark_overflow();
    counts_.events_lost += !ring->tell(record);
  }
}

bool RingServer::ready_to_wait() {
  asleep_ = true;
  for (const auto& [number, ring] : rings_) ring->want_bells(true);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  for (const auto& [number, ring] : rings_) {
    // One that reads no answers is looked at again with the next tick.
    if (ring->waits_for_turn() || ring->is_over()) return false;
  }
  return true;
}

void RingServer::awake() {
  if (!asleep_) return;  // the line is the client's too: it is not written for nothing
  asleep_ = false;
  for (const auto& [number, ring] : rings_) ring->want_bells(false);
}

}  // namespace gmesp
