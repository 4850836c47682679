// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker.h"

#include <time.h>
#include <x86intrin.h>

#include <algorithm>
#include <random>
#include <stdexcept>
#include <variant>

#include "dataplane/path_mtu.h"

namespace gmesp {

namespace {

constexpr uint64_t kPollsPerPublish = 64;
constexpr uint64_t kSpinNs = 50'000;  // a busy moment's next packet finds the core awake
constexpr long kSleepNs = 50'000;

uint64_t random_seed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

uint64_t tsc_of_ns(uint64_t ns, uint64_t hz) { return ns * (hz / 1'000'000) / 1'000; }
uint64_t ns_of_tsc(uint64_t tsc, uint64_t hz) {
  return tsc / hz * 1'000'000'000 + tsc % hz * 1'000'000'000 / hz;
}

}  // namespace

bool Worker::poll() {
  const uint64_t now_tsc = __rdtsc();
  size_t work = apply_commands(now_tsc);

  work += access_.receive(burst_, drops_, counters_.access);
  inbound_.run(burst_, now_tsc);
  finish(burst_, inbound_.oversize(), SteerTo::host_transmit, SteerTo::access_transmit);

  work += host_.receive(burst_, drops_, counters_.host);
  outbound_.run(burst_, now_tsc);
  finish(burst_, outbound_.oversize(), SteerTo::access_transmit, SteerTo::host_transmit);

  if (steerer_.has_others()) work += serve_steered(now_tsc);
  inbound_.expire(now_tsc);
  outbound_.expire(now_tsc);
  deliver_events();

  ++counters_.polls;
  if (work == 0) ++counters_.polls_empty;
  if (counters_.polls % kPollsPerPublish == 0) publish_counters();
  return work != 0;
}

void Worker::run() {
  while (!channel_.stop.load(std::memory_order_relaxed)) {
    if (poll()) {
      idle_since_tsc_ = 0;
    } else {
      idle();
    }
  }
  publish_counters();
}

Worker::Worker(const WorkerConfig& config, Port access, Port host, PacketPools& pools,
               const KeyStore& keys, const Policy& policy, const Steering& steering,
               SteeringMesh& mesh, WorkerChannel& channel)
    : config_(config),
      channel_(channel),
      drops_(counters_, channel.audit, config.path.tsc_hz),
      access_(access),
      host_(host),
      multi_buffer_(config.instruction_set),
      sad_(config.sa_capacity),
      spd_(config.sa_capacity, random_seed()),
      protected_ports_(policy, mesh.learned_ports(), config.path.tsc_hz),
      steerer_(config.number, steering, mesh, drops_, config.path.tsc_hz),
      rate_limits_(config.path.tsc_hz, steering.workers(), random_seed()),
      cleartext_(policy, protected_ports_, spd_, steerer_, rate_limits_, counters_),
      inbound_({config.path, keys, multi_buffer_, cleartext_, spd_, steerer_, pools, drops_,
                random_seed()},
               sad_),
      outbound_({config.path, keys, multi_buffer_, cleartext_, spd_, steerer_, pools, drops_,
                 random_seed()}) {
  if (const std::string failure = multi_buffer_.self_test(); !failure.empty()) {
    throw std::runtime_error("crypto self-test failed, refusing to run: " + failure);
  }
  drops_.set_audit(config.audit);
}

void Worker::prepare() {
  sad_.populate();
  spd_.populate();
  rate_limits_.populate();
  inbound_.populate();
  outbound_.populate();
}

size_t Worker::apply_commands(uint64_t now_tsc) {
  const size_t count = channel_.commands.pop(commands_.data(), commands_.size());
  const std::span<const SaCommand> commands(commands_.data(), count);
  prefetch_for(commands);
  // Not std::visit: clang does not carry the thread's role into a lambda.
  for (const SaCommand& command : commands) {
    if (const auto* in = std::get_if<InstallInbound>(&command)) {
      apply(*in);
    } else if (const auto* out = std::get_if<InstallOutbound>(&command)) {
      apply(*out);
    } else if (const auto* promote = std::get_if<PromoteSa>(&command)) {
      apply(*promote);
    } else if (const auto* remove = std::get_if<DeleteSa>(&command)) {
      apply(*remove, now_tsc);
    } else if (const auto* query = std::get_if<QuerySa>(&command)) {
      apply(*query, now_tsc);
    } else if (const auto* use = std::get_if<UsePolicy>(&command)) {
      apply(*use);
    } else if (const auto* audit = std::get_if<SetAudit>(&command)) {
      apply(*audit);
    }
  }
  return count;
}

// Of a million SAs, those of a storm's commands are in no cache: all their lines are on the way
// before the first command waits for one. A delete or promotion learns its bucket from the SA
// itself.
void Worker::prefetch_for(std::span<const SaCommand> commands) const {
  for (const SaCommand& command : commands) {
    if (const auto* in = std::get_if<InstallInbound>(&command)) {
      sad_.prefetch_install(*in);
    } else if (const auto* out = std::get_if<InstallOutbound>(&command)) {
      spd_.prefetch_install(*out);
    } else if (const auto* remove = std::get_if<DeleteSa>(&command)) {
      prefetch_place(remove->direction, remove->index);
    } else if (const auto* promote = std::get_if<PromoteSa>(&command)) {
      prefetch_place(promote->direction, promote->index);
    }
  }
  for (const SaCommand& command : commands) {
    if (const auto* remove = std::get_if<DeleteSa>(&command)) {
      remove->direction == Direction::in ? sad_.prefetch_remove(remove->index)
                                         : spd_.prefetch_remove(remove->index);
    } else if (const auto* promote = std::get_if<PromoteSa>(&command)) {
      if (promote->direction == Direction::out) spd_.prefetch_remove(promote->index);
    }
  }
}

void Worker::prefetch_place(Direction direction, SaIndex index) const {
  direction == Direction::in ? sad_.prefetch_place(index) : spd_.prefetch_place(index);
}

void Worker::apply(const InstallInbound& command) {
  if (const auto error = sad_.install(command)) {
    return answer(Rejected{Direction::in, command.index, *error});
  }
  protected_ports_.add(command.selector.destination_port);
  protected_ports_.add(command.alternate.destination);
  answer(Installed{Direction::in, command.index});
}

void Worker::apply(const InstallOutbound& command) {
  if (const auto error = spd_.install(command)) {
    return answer(Rejected{Direction::out, command.index, *error});
  }
  protected_ports_.add(command.selector.source_port);
  protected_ports_.add(command.alternate.source);
  answer(Installed{Direction::out, command.index});
}

// The ring keeps the order: what was told of the SA before this answer happened before.
void Worker::apply(const PromoteSa& command) {
  if (command.direction == Direction::in) {
    sad_.sas().rearm_first_use(command.index);
  } else {
    spd_.prefer(command.index);
  }
  answer(Promoted{command.direction, command.index});
}

// No packet is in flight here: a burst goes through all its stages within one poll.
void Worker::apply(const DeleteSa& command, uint64_t now_tsc) {
  if (command.direction == Direction::in) {
    const InboundSa& sa = sad_.sas()[command.index];
    protected_ports_.remove(sa.selector.destination_port, now_tsc);
    protected_ports_.remove(sad_.sas().record(sa).alternate.destination, now_tsc);
    sad_.remove(command.index);
  } else {
    const OutboundSa& sa = spd_.sas()[command.index];
    protected_ports_.remove(sa.selector.source_port, now_tsc);
    protected_ports_.remove(spd_.sas().record(sa).alternate.source, now_tsc);
    spd_.remove(command.index);
  }
  answer(Deleted{command.direction, command.index});
}

void Worker::apply(const QuerySa& command, uint64_t now_tsc) {
  const bool in = command.direction == Direction::in;
  const SaRecord& record = in ? sad_.sas().record(sad_.sas()[command.index])
                              : spd_.sas().record(spd_.sas()[command.index]);
  SaStatus status;
  status.direction = command.direction;
  status.index = command.index;
  status.sequence =
      in ? sad_.sas()[command.index].window.highest() : spd_.sas()[command.index].last_sent;
  status.packets = record.packets;
  status.bytes = record.bytes;
  const uint64_t idle_tsc = now_tsc - std::min(now_tsc, record.last_used_tsc);  // clocks jump
  status.idle_ns =
      record.last_used_tsc == 0 ? UINT64_MAX : ns_of_tsc(idle_tsc, config_.path.tsc_hz);
  status.replayed = record.replayed;
  status.icv_failures = record.icv_failures;
  status.selector_mismatches = record.selector_mismatches;
  if (!in) {
    OutboundSa& sa = spd_.sas()[command.index];
    forget_old_path_mtu(spd_, sa, now_tsc);
    status.path_mtu = sa.path_mtu;
  }
  answer(status);
}

// Who hears the answer reads counters of the new rules, not of those before them. The policy of the
// start stays: protected ports and their hold time are not taken from another.
void Worker::apply(const UsePolicy& command) {
  cleartext_.use(*command.policy);
  publish_counters();
  answer(SettingInUse{command.number});
}

void Worker::apply(const SetAudit& command) {
  drops_.set_audit(command.setting);
  answer(SettingInUse{command.number});
}

// There is room: the control thread never has more than kCommands unanswered (command.h).
void Worker::answer(const SaEvent& event) { channel_.events.push(event); }

void Worker::deliver_events() {
  const auto deliver_of = [this](Direction direction) {
    return [this, direction](SaIndex index, SaEventKind kind) {
      // Half of the ring is for answers.
      if (channel_.events.write_available() <= WorkerChannel::kCommands) return false;
      return channel_.events.push(SaStateEvent{direction, index, kind});
    };
  };
  const bool all_in = sad_.sas().deliver_events(deliver_of(Direction::in));
  const bool all_out = spd_.sas().deliver_events(deliver_of(Direction::out));
  if (!all_in || !all_out) ++counters_.events_delayed;
}

size_t Worker::serve_steered(uint64_t now_tsc) {
  const size_t received = steerer_.receive(steered_);
  if (received == 0) return 0;
  Burst& inbound = steered_[static_cast<size_t>(SteerTo::inbound)];
  inbound_.run_owned(inbound, now_tsc);
  finish(inbound, inbound_.oversize(), SteerTo::host_transmit, SteerTo::access_transmit);
  Burst& outbound = steered_[static_cast<size_t>(SteerTo::outbound)];
  outbound_.run_owned(outbound, now_tsc);
  finish(outbound, outbound_.oversize(), SteerTo::access_transmit, SteerTo::host_transmit);
  for (const SteerTo to : {SteerTo::host_transmit, SteerTo::access_transmit}) {
    drops_.enter(to == SteerTo::host_transmit ? Direction::in : Direction::out, now_tsc);
    transmit(steered_[static_cast<size_t>(to)], to);
  }
  return received;
}

// What a path has left: its burst, then the fragments of what was too large, and answers.
void Worker::finish(Burst& burst, Oversize& oversize, SteerTo to, SteerTo back) {
  do {
    transmit(burst, to);
  } while (oversize.next_fragments(burst));
  if (!oversize.answers().empty()) transmit(oversize.answers(), back);
}

// Worker 0, which gets what others cannot transmit, has a queue on every port.
void Worker::transmit(Burst& burst, SteerTo to) {
  const bool host = to == SteerTo::host_transmit;
  Port& port = host ? host_ : access_;
  if (!port.can_transmit()) return steerer_.to_transmitter(burst, to);
  port.transmit(burst, drops_, host ? counters_.host : counters_.access);
}

void Worker::publish_counters() { channel_.counters.publish(counters_); }

// The one place where a worker may make a system call.
void Worker::idle() {
  const uint64_t now_tsc = __rdtsc();
  if (idle_since_tsc_ == 0) {
    idle_since_tsc_ = now_tsc;
    publish_counters();
  }
  _mm_pause();
  if (config_.idle == Idle::poll) return;
  if (now_tsc - idle_since_tsc_ < tsc_of_ns(kSpinNs, config_.path.tsc_hz)) return;
  const timespec moment{0, kSleepNs};
  nanosleep(&moment, nullptr);
}

}  // namespace gmesp
