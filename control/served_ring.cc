// SPDX-License-Identifier: BSD-3-Clause
#include "control/served_ring.h"

#include <linux/sock_diag.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstring>
#include <numeric>
#include <utility>

#include "control/ring_memory.h"
#include "crypto/key_material.h"

namespace gmesp {
namespace {

using client::AnswerHead;
using client::AnswerKind;
using client::AnswerRecord;
using client::CommandHead;
using client::CommandRecord;

// CK and IK, one behind the other.
constexpr size_t kKeysAt = offsetof(CommandHead, ck);
constexpr size_t kKeyBytes = sizeof CommandHead::ck + sizeof CommandHead::ik;
static_assert(offsetof(CommandHead, ik) == kKeysAt + sizeof CommandHead::ck);

size_t used_bytes(const AnswerHead& head) {
  return sizeof head + std::max<size_t>({head.refused, head.handles * sizeof(uint64_t),
                                         head.mechanisms * sizeof(client::WireMechanism)});
}

}  // namespace

AnswerRecord blank_answer(AnswerKind kind, uint64_t token) {
  AnswerRecord record;
  record.head = {};
  record.head.kind = static_cast<uint8_t>(kind);
  record.head.suite = client::kNoSuite;
  record.head.token = token;
  return record;
}

void wipe_keys(CommandHead& head) {
  wipe(reinterpret_cast<std::byte*>(&head) + kKeysAt, kKeyBytes);
}

bool all_is_read(int socket) {
  uint32_t memory[SK_MEMINFO_VARS] = {};
  socklen_t bytes = sizeof memory;
  return getsockopt(socket, SOL_SOCKET, SO_MEMINFO, memory, &bytes) == 0 &&
         memory[SK_MEMINFO_WMEM_ALLOC] == 0;
}

ServedRing::ServedRing(ClientSocket socket, client::Mapping memory)
    : socket_(std::move(socket)),
      peer_(Peer::of(socket_.get())),
      memory_(std::move(memory)),
      commands_(memory_->commands, memory_.command_slots()),
      answers_(memory_->answers, memory_.answer_slots()),
      free_places_(client::kMaxUnanswered) {
  std::iota(free_places_.begin(), free_places_.end(), uint8_t{0});
}

void ServedRing::wipe_untaken_keys() {
  if (!memory_) return;
  for (size_t i = 0; i < client::kCommandSlots; ++i) {
    wipe(memory_.command_slots().at(i) + kKeysAt, kKeyBytes);
  }
}

void ServedRing::hang_up() { const ClientSocket closed_here = std::move(socket_); }

ClientSocket ServedRing::take_socket() {
  shutdown(socket_.get(), SHUT_RDWR);
  return std::move(socket_);
}

// Not when gmespd itself ends: the client still reads what it was answered.
void ServedRing::give_memory_back() {
  assert(!socket_ && "the client is hung up on before");
  wipe_untaken_keys();
  give_back(std::exchange(memory_, {}));
}

// No bell is sent before: nothing else can be unread.
bool ServedRing::has_taken_memory() {
  has_taken_memory_ = has_taken_memory_ || all_is_read(socket_.get());
  return has_taken_memory_;
}

void ServedRing::hear_hang_up() {
  hung_up_ = true;
  commands_left_ = client::kCommandSlots;
}

// Events stop at kAnswerSlots - kSlotsForCompletions: together no answer is ever without a slot.
bool ServedRing::can_be_served() {
  if (free_places_.empty()) return false;
  const size_t owed = client::kMaxUnanswered - free_places_.size();
  return answers_.used() + owed < client::kAnswerSlots && !answers_.broken();
}

bool ServedRing::waits_for_turn() {
  return commands_left_ != 0 && can_be_served() && commands_.front() != nullptr;
}

bool ServedRing::has_room_for_event() {
  return answers_.used() < client::kAnswerSlots - client::kSlotsForCompletions;
}

bool ServedRing::take(CommandRecord& command) {
  if (!waits_for_turn()) return false;
  std::byte* slot = commands_.front();
  std::memcpy(&command.head, slot, sizeof command.head);
  client::end_of_copy();
  wipe(slot + kKeysAt, kKeyBytes);  // of any kind: who knows what is in there
  const size_t bytes = command.head.bytes;
  if (bytes > sizeof(CommandHead) && bytes <= sizeof command) {
    std::memcpy(command.tail.data(), slot + sizeof(CommandHead), bytes - sizeof(CommandHead));
    client::end_of_copy();
  }
  commands_.pop();
  --commands_left_;
  return true;
}

uint8_t ServedRing::keep(const UnansweredCommand& command) {
  const uint8_t place = free_places_.back();
  free_places_.pop_back();
  unanswered_[place] = command;
  return place;
}

void ServedRing::answer(uint8_t place, const AnswerRecord& record) {
  free_places_.push_back(place);
  push(record);
}

bool ServedRing::tell(const AnswerRecord& event) {
  if (events_lost_ != 0 || !has_room_for_event()) {
    ++events_lost_;
    return false;
  }
  push(event);
  return true;
}

bool ServedRing::mark_overflow() {
  if (events_lost_ == 0 || !has_room_for_event()) return false;
  AnswerRecord record = blank_answer(AnswerKind::overflow, 0);
  record.head.number = static_cast<int64_t>(std::exchange(events_lost_, 0));
  push(record);
  return true;
}

void ServedRing::push(const AnswerRecord& record) {
  std::byte* slot = answers_.slot();
  if (slot == nullptr) return;  // broken: room was there
  std::memcpy(slot, &record, used_bytes(record.head));
  answers_.publish();
  told_ = true;
}

void ServedRing::ring_bell() {
  if (!std::exchange(told_, false) || !has_taken_memory()) return;
  std::atomic_thread_fence(std::memory_order_seq_cst);  // see Link::publish()
  if (memory_->client_asleep.load(std::memory_order_relaxed) == 0) return;
  memory_->client_asleep.store(0, std::memory_order_relaxed);
  const char bell = 0;
  // No room: the client has bells enough. An error: epoll tells.
  send(socket_.get(), &bell, sizeof bell, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void ServedRing::want_bells(bool wanted) {
  memory_->daemon_asleep.store(wanted ? 1 : 0, std::memory_order_relaxed);
}

}  // namespace gmesp
