// SPDX-License-Identifier: BSD-3-Clause
// A ring of one worker counts when rings of the other cover it: on a machine with other work the
// second thread may be waiting for its CPU, and the first would be measured alone.
#include "perf/side_by_side.h"

#include <pthread.h>
#include <sched.h>
#include <x86intrin.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <stdexcept>
#include <thread>

namespace gmesp {
namespace {

enum class Work { path, crypto };

struct TimedRing {
  uint64_t begin_tsc;
  uint64_t end_tsc;
  PathLoad::Cycles cycles;

  uint64_t duration() const { return end_tsc - begin_tsc; }
};
using Rings = std::vector<TimedRing>;

void pin(unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0) {
    throw std::runtime_error("CPU " + std::to_string(cpu) + " is not ours");
  }
}

// Each load on a thread and CPU of its own; all begin when the last is there.
std::vector<Rings> run(const std::vector<PathLoad*>& loads, const std::vector<unsigned>& cpus,
                       Work work, size_t count) {
  std::vector<Rings> rings(loads.size());
  std::vector<std::exception_ptr> failures(loads.size());
  std::atomic<size_t> missing{loads.size()};
  const auto run_one = [&](size_t i) {
    Rings mine;  // not beside the other thread's
    mine.reserve(count);
    try {
      pin(cpus.at(i));
      for (--missing; missing != 0;) _mm_pause();
      for (size_t ring = 0; ring < count; ++ring) {
        const uint64_t begin = __rdtsc();
        const PathLoad::Cycles cycles =
            work == Work::path ? loads[i]->run_path() : loads[i]->run_crypto();
        mine.push_back({begin, __rdtsc(), cycles});
      }
    } catch (...) {
      failures[i] = std::current_exception();
    }
    rings[i] = std::move(mine);
  };
  std::vector<std::thread> threads;
  for (size_t i = 0; i < loads.size(); ++i) threads.emplace_back(run_one, i);
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  return rings;
}

uint64_t median_duration(const Rings& rings) {
  std::vector<uint64_t> durations;
  for (const TimedRing& ring : rings) durations.push_back(ring.duration());
  std::nth_element(durations.begin(), durations.begin() + durations.size() / 2, durations.end());
  return durations[durations.size() / 2];
}

// How much of the ring the other worker was at work, by its rings that nothing interrupted.
bool is_covered(const TimedRing& ring, const Rings& others, uint64_t undisturbed) {
  const auto first = std::partition_point(
      others.begin(), others.end(),
      [&ring](const TimedRing& other) { return other.end_tsc <= ring.begin_tsc; });
  uint64_t covered = 0;
  for (auto other = first; other != others.end() && other->begin_tsc < ring.end_tsc; ++other) {
    if (other->duration() > undisturbed) continue;
    covered += std::min(ring.end_tsc, other->end_tsc) - std::max(ring.begin_tsc, other->begin_tsc);
  }
  return covered * 10 >= ring.duration() * 9;
}

// Rings of one kind of work, alone and in company.
struct Kind {
  Work work;
  Samples alone;
  std::array<Samples, 2> together;
  size_t rings_together = 0;

  void measure(PathLoad& one, const std::vector<PathLoad*>& two, const std::vector<unsigned>& cpus,
               size_t count) {
    const std::vector<Rings> by_one = run({&one}, cpus, work, count);
    for (const TimedRing& ring : by_one[0]) alone.add(ring.cycles);
    const std::vector<Rings> rings = run(two, cpus, work, count);
    for (size_t i = 0; i < 2; ++i) {
      const Rings& others = rings[1 - i];
      const uint64_t undisturbed = median_duration(others) * 3 / 2;
      for (const TimedRing& ring : rings[i]) {
        if (is_covered(ring, others, undisturbed)) together[i].add(ring.cycles);
      }
      rings_together += count;
    }
  }

  double gain(std::vector<uint64_t> Samples::*way) {
    double gain = 0;
    for (Samples& samples : together) {
      if ((samples.*way).empty()) {
        throw std::runtime_error("the two workers never ran together; is the machine busy?");
      }
      gain += spread_of_rings(alone.*way).quartile / spread_of_rings(samples.*way).quartile;
    }
    return gain;
  }
};

}  // namespace

Gains measure_gains(PathLoad& alone, std::vector<PathLoad*> together,
                    const std::vector<unsigned>& cpus, size_t rings) {
  constexpr size_t kTurn = 64;  // rings; long beside the start of a thread
  Kind path{.work = Work::path, .alone = {}, .together = {}};
  Kind crypto{.work = Work::crypto, .alone = {}, .together = {}};
  for (size_t done = 0; done < rings; done += kTurn) {
    path.measure(alone, together, cpus, kTurn);
    crypto.measure(alone, together, cpus, kTurn);
  }
  const auto counted = path.together[0].in.size() + path.together[1].in.size() +
                       crypto.together[0].in.size() + crypto.together[1].in.size();
  return {.in = {path.gain(&Samples::in), crypto.gain(&Samples::in)},
          .out = {path.gain(&Samples::out), crypto.gain(&Samples::out)},
          .share_counted = static_cast<double>(counted) /
                           static_cast<double>(path.rings_together + crypto.rings_together)};
}

}  // namespace gmesp
