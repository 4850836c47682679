// SPDX-License-Identifier: BSD-3-Clause
#include "control/ring_server.h"

#include <linux/sock_diag.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <utility>

#include "control/ring_calls.h"
#include "control/ring_memory.h"
#include "crypto/key_material.h"

namespace gmesp {
namespace {

using client::AnswerHead;
using client::AnswerKind;
using client::AnswerRecord;
using client::CommandHead;
using client::Mapping;
using client::SharedHeader;
using client::SharedMemory;

constexpr int kBellsPerTurn = 64;

// CK and IK, one behind the other.
constexpr size_t kKeyBytes = sizeof CommandHead::ck + sizeof CommandHead::ik;
static_assert(offsetof(CommandHead, ik) == offsetof(CommandHead, ck) + sizeof CommandHead::ck);

bool has_keys(const CommandHead& head) {
  return head.kind == static_cast<uint8_t>(client::CommandKind::challenge);
}

AnswerRecord blank(AnswerKind kind, uint64_t token) {
  AnswerRecord record;  // the tail is what the head says of it
  record.head = {};
  record.head.kind = static_cast<uint8_t>(kind);
  record.head.suite = client::kNoSuite;
  record.head.token = token;
  return record;
}

size_t used_bytes(const AnswerHead& head) {
  return sizeof head + std::max<size_t>({head.refused, head.handles * sizeof(uint64_t),
                                         head.mechanisms * sizeof(client::WireMechanism)});
}

// Whether the client has taken out of its socket all that was sent to it: looking (MSG_PEEK) is not
// taking.
bool all_is_read(int socket) {
  uint32_t memory[SK_MEMINFO_VARS] = {};
  socklen_t bytes = sizeof memory;
  return getsockopt(socket, SOL_SOCKET, SO_MEMINFO, memory, &bytes) == 0 &&
         memory[SK_MEMINFO_WMEM_ALLOC] == 0;
}

}  // namespace

RingServer::RingServer(int epoll, Registrar& registrar, Role role)
    : epoll_(epoll), registrar_(registrar), role_(role), instance_{} {
  getentropy(instance_.data(), sizeof instance_);
}

RingServer::Client::Client(ClientSocket socket_of, Mapping memory_of)
    : socket(std::move(socket_of)),
      peer(Peer::of(socket.get())),
      memory(std::move(memory_of)),
      commands(memory->commands, memory.command_slots()),
      answers(memory->answers, memory.answer_slots()),
      free_places(client::kMaxUnanswered) {
  std::iota(free_places.begin(), free_places.end(), uint8_t{0});
}

void RingServer::Client::wipe_keys() {
  if (!memory) return;
  for (size_t i = 0; i < client::kCommandSlots; ++i) {
    wipe(memory.command_slots().at(i) + offsetof(CommandHead, ck), kKeyBytes);
  }
}

// Not when gmespd itself ends: the client still reads what it was answered.
void RingServer::Client::give_memory_back() {
  wipe_keys();
  give_back(std::exchange(memory, {}));
}

// No bell is sent before: nothing else can be unread.
bool RingServer::Client::has_taken_memory() {
  taken = taken || all_is_read(socket.get());
  return taken;
}

// Events stop at kAnswerSlots - kSlotsForCompletions: together no answer is ever without a slot.
bool RingServer::Client::can_be_served() {
  if (free_places.empty()) return false;
  const size_t owed = client::kMaxUnanswered - free_places.size();
  return answers.used() + owed < client::kAnswerSlots && !answers.broken();
}

bool RingServer::Client::has_room_for_event() {
  return answers.used() < client::kAnswerSlots - client::kSlotsForCompletions;
}

SharedHeader RingServer::header() const {
  return {.magic = SharedHeader::kMagic,
          .version = client::kRingVersion,
          .bytes = sizeof(SharedMemory),
          .instance = {instance_[0], instance_[1]},
          .padded_spis = registrar_.config().negotiation.spi_format == SpiFormat::padded,
          .role = static_cast<uint8_t>(role_)};
}

// The newest of that process: its others have more to lose.
bool RingServer::make_room(const Peer& newcomer) {
  std::vector<Peer> holders;
  for (const auto& [number, client] : clients_) holders.push_back(client->peer);
  const std::optional<Peer> giver = who_gives_way(holders, newcomer);
  auto newest = clients_.end();
  for (auto entry = clients_.begin(); entry != clients_.end(); ++entry) {
    const Peer& peer = entry->second->peer;
    if (!giver || peer.user != giver->user || peer.process != giver->process) continue;
    if (newest == clients_.end() || entry->first > newest->first) newest = entry;
  }
  if (newest == clients_.end()) return false;
  spdlog::debug("ring taken from pid {} uid {}: it has most", giver->process, giver->user);
  let_go(newest);
  ++counts_.turned_away;
  return true;
}

void RingServer::let_go(Clients::iterator entry) {
  Client& client = *entry->second;
  if (client.has_taken_memory()) {
    client.socket = ClientSocket();
  } else {
    epoll_ctl(epoll_, EPOLL_CTL_DEL, client.socket.get(), nullptr);
    shutdown(client.socket.get(), SHUT_RDWR);
    untaken_.push_back({std::move(client.socket), client.peer});
  }
  client.give_memory_back();
  clients_.erase(entry);
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
  for (const auto& [number, client] : clients_) {
    if (!client->has_taken_memory()) count(client->peer);
  }
  const size_t part = of_process == 0 ? 1 : 2;
  return all < kMaxUntaken / part && of_user < kMaxUntakenOfUser / part &&
         of_process < kMaxUntakenOfProcess;
}

void RingServer::adopt(ClientSocket socket) {
  const Peer peer = Peer::of(socket.get());
  if (!may_send_memory(peer)) {
    ++counts_.turned_away;
    return send_refusal(socket.get(), Refusal::no_memory);
  }
  if (clients_.size() >= kMaxRings && !make_room(peer)) {
    ++counts_.turned_away;
    return send_refusal(socket.get(), Refusal::too_many_connections);
  }
  FileDescriptor descriptor;
  std::optional<Mapping> memory = make_ring_memory(header(), descriptor);
  if (!memory) {
    ++counts_.turned_away;
    return send_refusal(socket.get(), Refusal::no_memory);
  }
  spdlog::debug("ring opened: pid {} uid {} gid {}", peer.process, peer.user, peer.group);
  const uint32_t number = ++last_number_;
  epoll_event event{EPOLLIN, {}};
  event.data.u64 = kTagBit | number;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, socket.get(), &event) != 0 ||
      !send_with(socket.get(), client::kRingAnswer, descriptor.get())) {
    ++counts_.turned_away;
    return send_refusal(socket.get(), Refusal::no_memory);
  }
  clients_[number] = std::make_unique<Client>(std::move(socket), std::move(*memory));
  ++counts_.opened;
}

// A bell says nothing but that somebody should look, which poll() does; or the client has gone.
void RingServer::on_ready(uint64_t tag) {
  const auto found = clients_.find(static_cast<uint32_t>(tag));
  if (found == clients_.end()) return;
  for (int i = 0; i < kBellsPerTurn; ++i) {
    char bell[1];
    const ssize_t got = found->second->socket.receive(bell, sizeof bell);
    if (got > 0 || (got < 0 && errno == EINTR)) continue;
    if (got == 0 || !would_block()) hear_hang_up(*found->second);
    return;
  }
}

// What libgmesp had submitted before is done: it never has more unanswered than can_be_served()
// takes. Of a client that does otherwise, or goes on, the rest goes with it.
void RingServer::hear_hang_up(Client& client) {
  client.hung_up = true;
  client.commands_left = client::kCommandSlots;
  epoll_ctl(epoll_, EPOLL_CTL_DEL, client.socket.get(), nullptr);
}

bool RingServer::poll() {
  bool progress = false;
  for (auto next = clients_.begin(); next != clients_.end();) {
    const auto entry = next++;
    Client& client = *entry->second;
    const bool served = serve(entry->first, client);
    progress |= served;
    if (client.broken()) {
      ++counts_.thrown_out;
      spdlog::debug("a client of a ring was thrown out: its index cannot be");
    }
    if (client.broken() || (client.hung_up && !served)) let_go(entry);
  }
  // Behind all: one client's command is another's event.
  for (const auto& [number, client] : clients_) {
    if (client->told) ring_bell(*client);
  }
  return progress;
}

bool RingServer::serve(uint32_t number, Client& client) {
  mark_overflow(client);
  bool progress = false;
  const size_t turn =
      std::min({kCommandsPerTurn, kCommandsPerRound / clients_.size(), client.commands_left});
  for (size_t i = 0; i < turn && client.can_be_served(); ++i) {
    std::byte* slot = client.commands.front();
    if (slot == nullptr) break;
    std::memcpy(&command_.head, slot, sizeof command_.head);
    client::end_of_copy();
    wipe(slot + offsetof(CommandHead, ck), kKeyBytes);  // of any kind: who knows what is in there
    const size_t bytes = command_.head.bytes;
    if (bytes > sizeof(CommandHead) && bytes <= sizeof command_) {
      std::memcpy(command_.tail.data(), slot + sizeof(CommandHead), bytes - sizeof(CommandHead));
      client::end_of_copy();
    }
    client.commands.pop();
    --client.commands_left;
    run_command(number, client);
    progress = true;
  }
  return progress;
}

void RingServer::run_command(uint32_t number, Client& client) {
  const uint8_t place = client.free_places.back();
  client.free_places.pop_back();
  client.in_flight[place] = {.token = command_.head.token,
                             .handle = command_.head.handle,
                             .challenge = has_keys(command_.head)};
  ++counts_.commands;
  AnswerRecord record = blank(AnswerKind::completion, command_.head.token);
  const auto done = [this, number, place](std::optional<Refusal> refusal) {
    const AssumeRole role(control_thread);
    on_done(number, place, refusal);
  };
  static_assert(sizeof done <= 2 * sizeof(void*), "std::function takes it without allocating");
  bool answered = true;
  try {
    answered = run_ring_command(command_, registrar_, client.events, done, record);
  } catch (const Refused& refused) {
    ++counts_.refused;
    refuse(refused.refusal(), record);
  }
  wipe(command_.head.ck, kKeyBytes);
  if (has_keys(command_.head)) wipe_stack();
  if (answered) answer(client, place, record);  // when it is heard, no key is left
}

// The client may be gone meanwhile; the command has had its effect all the same.
void RingServer::on_done(uint32_t number, uint8_t place, std::optional<Refusal> refusal) {
  const auto found = clients_.find(number);
  if (found == clients_.end()) return;
  const InFlight& command = found->second->in_flight[place];
  AnswerRecord record = blank(AnswerKind::completion, command.token);
  record.head.handle = command.handle;
  if (refusal) {
    ++counts_.refused;
    refuse(*refusal, record);
  } else if (command.challenge && role_ == Role::ue) {
    // Chosen just now, out of the 401's Security-Server.
    const std::optional<Suite> suite = registrar_.view(SetHandle{command.handle}).suite;
    if (suite) record.head.suite = static_cast<uint8_t>(*suite);
  }
  answer(*found->second, place, record);
}

void RingServer::answer(Client& client, uint8_t place, AnswerRecord& record) {
  client.free_places.push_back(place);
  push(client, record);
}

void RingServer::on_event(const SetEvent& event) {
  for (const auto& [number, client] : clients_) {
    if ((client->events >> static_cast<unsigned>(event.kind) & 1) == 0) continue;
    mark_overflow(*client);
    if (client->lost != 0 || !client->has_room_for_event()) {
      ++client->lost;
      ++counts_.events_lost;
      continue;
    }
    AnswerRecord record = blank(AnswerKind::event, 0);
    record.head.event = static_cast<uint8_t>(event.kind);
    record.head.state = static_cast<uint8_t>(event.state);
    record.head.handle = static_cast<uint64_t>(event.handle);
    record.head.number = event.when_ms;
    push(*client, record);
  }
}

// In the place of the events that did not fit: before any later one.
void RingServer::mark_overflow(Client& client) {
  if (client.lost == 0 || !client.has_room_for_event()) return;
  AnswerRecord record = blank(AnswerKind::overflow, 0);
  record.head.number = static_cast<int64_t>(std::exchange(client.lost, 0));
  push(client, record);
  ++counts_.overflows;
}

void RingServer::push(Client& client, const AnswerRecord& record) {
  std::byte* slot = client.answers.slot();
  if (slot == nullptr) return;  // broken: room was there
  std::memcpy(slot, &record, used_bytes(record.head));
  client.answers.publish();
  client.told = true;
}

void RingServer::ring_bell(Client& client) {
  client.told = false;
  if (!client.has_taken_memory()) return;
  std::atomic_thread_fence(std::memory_order_seq_cst);  // see Link::publish()
  if (client.memory->client_asleep.load(std::memory_order_relaxed) == 0) return;
  client.memory->client_asleep.store(0, std::memory_order_relaxed);
  const char bell = 0;
  // No room: the client has bells enough. An error: epoll tells.
  send(client.socket.get(), &bell, sizeof bell, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool RingServer::ready_to_wait() {
  asleep_ = true;
  for (const auto& [number, client] : clients_) {
    client->memory->daemon_asleep.store(1, std::memory_order_relaxed);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  for (const auto& [number, client] : clients_) {
    // One that reads no answers is looked at again with the next tick.
    const bool has_command = client->can_be_served() && client->commands.front() != nullptr;
    if (has_command || client->broken()) return false;
  }
  return true;
}

void RingServer::awake() {
  if (!asleep_) return;  // the line is the client's too: it is not written for nothing
  asleep_ = false;
  for (const auto& [number, client] : clients_) {
    client->memory->daemon_asleep.store(0, std::memory_order_relaxed);
  }
}

}  // namespace gmesp
