// SPDX-License-Identifier: BSD-3-Clause
// A client of the rings that does whatever the input says: records right, wrong and raw, bytes of
// its shared memory changed at any time, indices that cannot be, bells, silence, hanging up.
// gmespd's end takes no harm, a refused record changes nothing, and the neighbour is served.
#include <memory>
#include <string>

#include "tests/fuzz/control.h"
#include "tests/ring_client.h"

namespace gmesp {
namespace {

using client::AnswerRecord;
using client::CommandKind;
using client::CommandRecord;

class Fuzzer {
 public:
  explicit Fuzzer(Role role) ON(control_thread) : control_(role), liar_(connect()) {}

  void step(FuzzInput& input) ON(control_thread) {
    switch (input.byte() % 10) {
      case 0:
        return put(raw(input));
      case 1:
      case 2:
        return put(shaped(input));
      case 3:
        return put(register_record(++token_, input.byte() % 4));
      case 4:
        return put(challenge_record(++token_, handle(input), input.byte()));
      case 5:
        return lie(input);
      case 6:
        return poke(input);
      case 7:
        control_.now += std::chrono::milliseconds(input.number32() % 700000000);
        return control_.settle();
      case 8:
        return behave(input);
      default:
        return alone(shaped(input));
    }
  }
  void end() ON(control_thread) {
    control_.settle();
    take_answers();
    ask_neighbour();
    liar_->hang_up();
    control_.settle();
    CHECK(control_.rings.rings() <= more_.size());
  }

 private:
  std::unique_ptr<RingClient> connect() ON(control_thread) {
    SocketPair pair = socket_pair();
    control_.rings.adopt(std::move(pair.servers));
    return std::make_unique<RingClient>(std::move(pair.ours));
  }

  void put(const CommandRecord& record) {
    liar_->put(record);  // full: so it is
  }
  // One whose answer can be told from all others.
  void alone(const CommandRecord& record) ON(control_thread) {
    control_.settle();
    take_answers();
    const ControlState before = control_.state();
    const size_t commands = control_.rings.counts().commands;
    put(record);
    control_.settle();
    const std::optional<AnswerRecord> answer = liar_->get();
    if (!answer || control_.rings.counts().commands != commands + 1) return;  // it lied before
    judge(*answer);
    const auto kind = CommandKind{record.head.kind};
    // These may end a set although they are refused (INT-66, INT-67).
    const bool may_end = kind == CommandKind::challenge || kind == CommandKind::response;
    if (answer->head.refused != 0 && !may_end) CHECK(control_.state() == before);
  }

  uint64_t handle(FuzzInput& input) {
    const uint8_t which = input.byte();
    return handles_.empty() || which == 0 ? which : handles_[which % handles_.size()];
  }
  static CommandRecord raw(FuzzInput& input) {
    CommandRecord record{};
    const std::vector<uint8_t> bytes = input.piece();
    if (!bytes.empty()) {
      std::memcpy(&record, bytes.data(), std::min(bytes.size(), sizeof record));
    }
    return record;
  }
  // Every member of the head from the input, but within reach of what is right.
  CommandRecord shaped(FuzzInput& input) {
    CommandRecord record = RecordMaker(CommandKind{input.byte()}, ++token_, handle(input)).record;
    client::CommandHead& head = record.head;
    head.flags = input.byte();
    head.option = input.byte();
    head.identities = input.byte();
    head.first = input.byte();
    head.second = input.byte();
    head.handles = input.byte();
    head.number = input.number32();
    head.ue_port = input.number16();
    head.pcscf_port = input.number16();
    head.grace_ms = input.number16();
    const CommandRecord from = register_record(0, input.byte() % 4);
    std::memcpy(head.ue, from.head.ue, sizeof head.ue);
    std::memcpy(head.pcscf, from.head.pcscf, sizeof head.pcscf);
    if ((head.flags & client::kHasContact) != 0) {
      std::memcpy(head.contact, head.ue, sizeof head.ue);
    }
    const std::vector<uint8_t> tail = input.piece();
    if (!tail.empty()) {
      std::memcpy(record.tail.data(), tail.data(), std::min(tail.size(), record.tail.size()));
    }
    head.bytes += static_cast<uint32_t>(tail.size());
    return record;
  }

  void lie(FuzzInput& input) {
    client::SharedMemory& memory = liar_->memory();
    std::atomic<uint64_t>* const indices[] = {&memory.commands.produced, &memory.commands.consumed,
                                              &memory.answers.produced, &memory.answers.consumed};
    auto& index = *indices[input.byte() % 4];
    // Near the truth, or anywhere.
    const auto by = static_cast<int8_t>(input.byte());
    index.store(by == 0 ? uint64_t{input.number32()} << 32 | input.number32()
                        : index.load() + static_cast<uint64_t>(by));
  }
  void poke(FuzzInput& input) {
    // Beyond the indices, which lie() is for: they are atomics here too.
    const size_t from = offsetof(client::SharedMemory, command_slots);
    const size_t at = from + input.number32() % (sizeof(client::SharedMemory) - from);
    const std::vector<uint8_t> bytes = input.piece();
    const size_t count = std::min(bytes.size(), sizeof(client::SharedMemory) - at);
    if (count != 0) {
      std::memcpy(reinterpret_cast<std::byte*>(&liar_->memory()) + at, bytes.data(), count);
    }
  }
  void behave(FuzzInput& input) ON(control_thread) {
    switch (input.byte() % 7) {
      case 0:
        return control_.round();
      case 1:
        return liar_->ring();
      case 2:
        liar_->memory().client_asleep.store(1);
        return;
      case 3:
        control_.rings.ready_to_wait();
        return control_.rings.awake();
      case 4:
        control_.settle();
        return take_answers();
      case 5:
        return liar_->hang_up();
      default:
        if (more_.size() == 4) return;
        more_.push_back(std::exchange(liar_, connect()));
        return;
    }
  }

  void take_answers() {
    while (const std::optional<AnswerRecord> answer = liar_->get()) judge(*answer);
  }
  // What the client itself may have overwritten is not held against gmespd, except its bounds.
  void judge(const AnswerRecord& answer) {
    if (answer.head.handle != 0 && handles_.size() < 64) handles_.push_back(answer.head.handle);
  }
  // Somebody else is served as if nothing had been.
  void ask_neighbour() ON(control_thread) {
    const std::unique_ptr<RingClient> neighbour = connect();
    CHECK(neighbour->put(RecordMaker(CommandKind::refresh, 77, 99).record));
    control_.settle();
    const std::optional<AnswerRecord> answer = neighbour->get();
    CHECK(answer && answer->head.token == 77);
    const std::string code(reinterpret_cast<const char*>(answer->tail.data()),
                           answer->head.refused);
    CHECK(code == "unknown_handle" || code == "out_of_range");
    CHECK(!neighbour->get());
    neighbour->hang_up();
  }

  FuzzControl control_;
  std::unique_ptr<RingClient> liar_;
  std::vector<std::unique_ptr<RingClient>> more_;  // connected, and silent from then on
  std::vector<uint64_t> handles_;
  uint64_t token_ = 0;
};

}  // namespace

void run(FuzzInput input) {
  const AssumeRole role(control_thread);
  Fuzzer fuzzer(input.byte() % 2 == 0 ? Role::pcscf : Role::ue);
  for (int steps = 0; !input.empty() && steps < 200; ++steps) fuzzer.step(input);
  fuzzer.end();
}

}  // namespace gmesp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz_one(data, size);
}
