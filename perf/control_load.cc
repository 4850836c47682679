// SPDX-License-Identifier: BSD-3-Clause
#include "perf/control_load.h"

#include <time.h>
#include <x86intrin.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <stdexcept>

#include "dataplane/dpdk/eal.h"

namespace gmesp {
namespace {

constexpr uint16_t kMtu = 1500;
constexpr size_t kIpBytes = 256;
constexpr uint32_t kFirstTrafficUe = 0x800000;
// Inbound SAs from one probe to the next; the worker takes fewer commands in one poll.
constexpr size_t kSasPerProbe = 64;
constexpr size_t kCommandsPerSample = 128;
// What a client that waits for answers has outstanding: below the ring's capacity, so that nothing
// queues up behind it.
constexpr size_t kInFlight = 512;
constexpr size_t kBatch = 32;  // commands between two looks at the answers
constexpr double kPatienceS = 2;

WorkerConfig worker_config(size_t ues) {
  WorkerConfig config;
  config.sa_capacity = ues + RoundTraffic::kPackets;
  config.path.tsc_hz = tsc_hz();
  return config;
}

Policy bench_policy() {
  Policy policy;
  policy.protected_ports.set(kBenchPcscfPort);
  return policy;
}

double seconds_since(uint64_t tsc) {
  return static_cast<double>(__rdtsc() - tsc) / static_cast<double>(tsc_hz());
}

double thread_cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void must_be_done(std::optional<Refusal> refusal) {
  if (refusal) throw std::logic_error(std::string(refusal_info(*refusal).sentence));
}

}  // namespace

ControlLoad::ControlLoad(const Shape& shape)
    : shape_(shape),
      access_({.name = "access", .device = "net_ring0", .mtu = kMtu, .workers = 1}),
      host_({.name = "host", .device = "net_ring1", .mtu = kMtu, .workers = 1}),
      keys_(2 * worker_config(shape.ues).sa_capacity),
      policy_(bench_policy()),
      worker_(worker_config(shape.ues), access_.port(0), host_.port(0), pools_, keys_, policy_,
              steering_, mesh_, *channel_),
      proxies_({channel_.get()}),
      sas_({.capacity = worker_config(shape.ues).sa_capacity}, policy_, steering_, keys_, proxies_),
      traffic_(worker_, *channel_, access_.port(0), host_.port(0)),
      order_(2 * shape.ues) {
  std::iota(order_.begin(), order_.end(), 0);
  std::shuffle(order_.begin(), order_.end(), std::mt19937(1));
  make_probes();
  {
    const AssumeRole role(control_thread);
    install_traffic();
  }
  thread_ = std::thread(&ControlLoad::run_worker, this);
}

ControlLoad::~ControlLoad() { stop(); }

// SAs whose two directions protect the same flow, so that their packets can go round.
void ControlLoad::install_traffic() {
  const AssumeRole worker_role(worker_thread);  // its thread has not begun
  std::vector<Frame> frames;
  for (uint32_t i = 0; i < RoundTraffic::kPackets; ++i) {
    const NewSa in = bench_sa(Direction::in, kFirstTrafficUe + i, shape_.suite);
    NewSa out = bench_sa(Direction::in, kFirstTrafficUe + i, shape_.suite);
    out.direction = Direction::out;
    sas_.add(in, must_be_done);
    sas_.add(out, must_be_done);
    frames.push_back(bench_frame(in.selector, kIpBytes));
  }
  while (proxies_.waiting()) {
    worker_.poll();
    proxies_.poll();
  }
  traffic_.start(frames);
}

void ControlLoad::make_probes() {
  KeyStore keys(1);
  MultiBuffer multi_buffer;
  FramePool pool(8, 2048);
  for (uint32_t ue = kSasPerProbe / 2; ue < shape_.ues; ue += kSasPerProbe) {
    const NewSa sa = bench_sa(Direction::in, ue, shape_.suite);
    const KeySlot slot = keys.store(sa.suite, Direction::out, sa.keys).value();
    probes_.push_back(protect_first(bench_frame(sa.selector, kIpBytes), sa.spi, sa.suite,
                                    keys.at(slot), multi_buffer, pool));
    keys.release(slot, sa.suite);
  }
}

void ControlLoad::run_worker() {
  enter_worker_thread(shape_.worker_cpu);
  {
    const AssumeRole role(worker_thread);
    const uint64_t begin = __rdtsc();
    worker_.prepare();
    prepare_seconds_ = seconds_since(begin);
    traffic_.run();
  }
  leave_worker_thread();
}

void ControlLoad::install_all(Storm& storm) {
  storm.worker.probes = &probes_;
  begin(storm);
  for (size_t i = 0; i < 2 * shape_.ues; ++i) {
    const Direction direction = i % 2 == 0 ? Direction::in : Direction::out;
    sas_.add(bench_sa(direction, static_cast<uint32_t>(i / 2), shape_.suite), done(i, storm));
    make_room(i, storm);
  }
  end(storm);
}

void ControlLoad::delete_all(Storm& storm) {
  begin(storm);
  for (size_t i = 0; i < order_.size(); ++i) {
    const Direction direction = order_[i] % 2 == 0 ? Direction::in : Direction::out;
    sas_.remove(bench_sa_name(direction, order_[i] / 2), done(i, storm));
    make_room(i, storm);
  }
  end(storm);
}

void ControlLoad::rest(Storm& storm, double seconds) {
  begin(storm);
  while (seconds_since(began_tsc_) < seconds) std::this_thread::yield();
  traffic_.end();
}

void ControlLoad::begin(Storm& storm) {
  storm.sas = 2 * shape_.ues;
  // Written and emptied again: the worker's thread is to meet no page fault of the bench's own.
  storm.worker.poll_tsc.assign(size_t{1} << 20, 1);
  storm.worker.poll_tsc.clear();
  storm.worker.first_packet_tsc.assign(probes_.size(), 1);
  storm.worker.first_packet_tsc.clear();
  traffic_.begin(storm.worker);
  began_cpu_s_ = thread_cpu_seconds();
  began_tsc_ = slice_began_tsc_ = __rdtsc();
}

SaManager::Done ControlLoad::done(size_t position, Storm& storm) {
  if (position % kCommandsPerSample != 0) return must_be_done;
  return [&storm, begin = __rdtsc()](std::optional<Refusal> refusal) {
    must_be_done(refusal);
    storm.answered_tsc.push_back(__rdtsc() - begin);
  };
}

void ControlLoad::make_room(size_t position, Storm& storm) {
  if (position % Storm::kSlice == Storm::kSlice - 1) {
    const uint64_t now_tsc = __rdtsc();
    storm.slice_tsc.push_back(now_tsc - slice_began_tsc_);
    slice_began_tsc_ = now_tsc;
  }
  if (position % kBatch != kBatch - 1) return;
  do {
    proxies_.poll();
  } while (proxies_[0].unanswered() > kInFlight - kBatch);
}

void ControlLoad::end(Storm& storm) {
  while (proxies_.waiting()) proxies_.poll();
  storm.seconds = seconds_since(began_tsc_);
  storm.cpu_seconds = thread_cpu_seconds() - began_cpu_s_;
  const uint64_t all_done_tsc = __rdtsc();
  while (storm.worker.probes != nullptr && traffic_.probes_answered() != probes_.size()) {
    proxies_.poll();
    if (seconds_since(all_done_tsc) > kPatienceS) {
      throw std::logic_error("an SA was installed and its packets do not pass");
    }
  }
  traffic_.end();
}

RoundTraffic::Total ControlLoad::stop() {
  traffic_.stop();
  if (thread_.joinable()) thread_.join();
  const AssumeRole role(worker_thread);
  return traffic_.count();
}

}  // namespace gmesp
