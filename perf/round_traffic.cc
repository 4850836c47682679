// SPDX-License-Identifier: BSD-3-Clause
#include "perf/round_traffic.h"

#include <sys/resource.h>
#include <x86intrin.h>

#include <span>
#include <stdexcept>
#include <thread>

#include "dataplane/classify.h"
#include "dataplane/esp.h"

namespace gmesp {
namespace {

uint64_t thread_page_faults() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return static_cast<uint64_t>(usage.ru_minflt + usage.ru_majflt);
}

}  // namespace

RoundTraffic::RoundTraffic(Worker& worker, WorkerChannel& channel, Port access, Port host)
    : worker_(worker), channel_(channel), access_(access), host_(host) {}

void RoundTraffic::start(const std::vector<Frame>& frames) {
  if (frames.size() != kPackets) throw std::logic_error("so many frames are one round");
  for (const Frame& frame : frames) inject(host_, frame);
  worker_.poll();  // the host port's packets are ESP on the access wire now
  accepted_ = accepted_probes();
  if (accepted_ != 0) throw std::logic_error("not every packet of the round was protected");
}

void RoundTraffic::run() {
  StormRecord* record = nullptr;
  while (!stop_.load(std::memory_order_relaxed)) {
    StormRecord* const wanted = wanted_.load(std::memory_order_acquire);
    if (wanted != record) switch_to(record = wanted);
    round(record);
  }
}

void RoundTraffic::switch_to(StormRecord* record) {
  StormRecord* const last = current_.load(std::memory_order_relaxed);
  if (last != nullptr) last->page_faults = thread_page_faults() - page_faults_before_;
  answered_ = 0;
  tries_ = 0;
  page_faults_before_ = thread_page_faults();
  current_.store(record, std::memory_order_release);
}

void RoundTraffic::round(StormRecord* record) {
  const size_t probe = answered_.load(std::memory_order_relaxed);
  const bool probing =
      record != nullptr && record->probes != nullptr && probe < record->probes->size();
  if (probing) inject(access_, (*record->probes)[probe]);
  const uint64_t begin = __rdtsc();
  worker_.poll();
  const uint64_t taken = __rdtsc() - begin;
  if (record == nullptr) return;
  record->poll_tsc.push_back(taken);
  if (!probing) return;
  ++tries_;
  const uint64_t accepted = accepted_probes();
  if (accepted == accepted_) return;
  if (tries_ == 1) ++record->unclear;
  record->first_packet_tsc.push_back(taken);
  accepted_ = accepted;
  tries_ = 0;
  answered_.store(probe + 1, std::memory_order_relaxed);
}

void RoundTraffic::end() {
  wanted_ = nullptr;
  while (current_.load(std::memory_order_acquire) != nullptr) std::this_thread::yield();
}

// Between polls every packet of the round is on the access wire: made ESP once more often than
// verified. Probes are verified only.
uint64_t RoundTraffic::accepted_probes() {
  worker_.publish_counters();
  const Counters counters = channel_.counters.read();
  return counters.protected_in + kPackets - counters.protected_out;
}

void RoundTraffic::inject(Port& port, const Frame& frame) {
  Burst burst;
  burst.push(pool_.packet(frame));
  port.transmit(burst, wire_drops_, wire_);
}

RoundTraffic::Total RoundTraffic::count() {
  worker_.publish_counters();
  Burst burst;
  access_.receive(burst, wire_drops_, wire_);
  const size_t left = burst.size();
  burst.clear();
  host_.receive(burst, wire_drops_, wire_);
  if (left > kPackets || !burst.empty()) throw std::logic_error("packets that nobody sent");
  const uint64_t sent = channel_.counters.read().protected_out;
  return {sent, sent - (kPackets - left)};
}

Frame protect_first(const Frame& plain, Spi spi, Suite suite, const uint8_t* key,
                    MultiBuffer& multi_buffer, FramePool& pool) {
  Packet packet = pool.packet(plain);
  if (!classify(packet).is_pass()) throw std::logic_error("a frame was not understood");
  add_esp(packet, suite_info(suite), spi, SequenceNumber{1});
  EspJob job{key, packet.payload(), packet.payload_bytes(), suite, false};
  multi_buffer.encrypt_and_sign({&job, 1});
  Frame frame(packet.data, packet.data + packet.length);
  release(packet);
  if (!job.good) throw std::logic_error("a frame was not protected");
  return frame;
}

}  // namespace gmesp
