// SPDX-License-Identifier: BSD-3-Clause
// What MultiBuffer costs for a packet: every suite, both directions, 64, 256 and 1400 bytes of ESP
// payload, 1, 8 and 32 packets in a batch, each packet of another SA. The keys stay in the cache
// (32 SAs); with many SAs keys are cold: see path_bench.cc.
#include <benchmark/benchmark.h>
#include <x86intrin.h>

#include <algorithm>
#include <string>
#include <vector>

#include "crypto/key_store.h"
#include "crypto/multi_buffer.h"

namespace gmesp {
namespace {

constexpr size_t kMaxBatch = 32;

Key pattern_key(size_t bytes, size_t seed) {
  std::array<uint8_t, Key::kMaxBytes> key;
  for (size_t i = 0; i < bytes; ++i) key[i] = static_cast<uint8_t>(seed * 29 + i * 7 + 1);
  return Key(std::span(key).first(bytes));
}

// Jobs with a packet and an SA each.
class Packets {
 public:
  Packets(KeyStore& store, Suite suite, Direction direction, size_t payload_bytes, size_t count) {
    const SuiteInfo& info = suite_info(suite);
    const size_t blocks = (payload_bytes + info.alignment_bytes - 1) / info.alignment_bytes;
    const size_t esp_bytes = esp_front_bytes(info) + blocks * info.alignment_bytes + info.icv_bytes;
    for (size_t i = 0; i < count; ++i) {
      const EspKeys keys{pattern_key(info.auth_key_bytes, i), pattern_key(info.enc_key_bytes, i),
                         pattern_key(info.salt_bytes, i)};
      bytes_.emplace_back(esp_bytes, static_cast<uint8_t>(i));
      jobs_.push_back({store.at(*store.store(suite, direction, keys)), bytes_.back().data(),
                       static_cast<uint16_t>(esp_bytes), suite, false});
    }
  }
  std::span<EspJob> jobs() { return jobs_; }
  // Back to the bytes of other packets of the same lengths and keys.
  void restore(const Packets& original) {
    for (size_t i = 0; i < bytes_.size(); ++i) {
      std::copy(original.bytes_[i].begin(), original.bytes_[i].end(), bytes_[i].begin());
    }
  }

 private:
  std::vector<std::vector<uint8_t>> bytes_;
  std::vector<EspJob> jobs_;
};

bool all_good(std::span<const EspJob> jobs) {
  return std::all_of(jobs.begin(), jobs.end(), [](const EspJob& job) { return job.good; });
}

void report(benchmark::State& state, uint64_t cycles, size_t batch) {
  const auto packets = state.iterations() * static_cast<int64_t>(batch);
  state.SetItemsProcessed(packets);
  state.counters["tsc/packet"] = static_cast<double>(cycles) / static_cast<double>(packets);
}

void outbound(benchmark::State& state, Suite suite) {
  const auto payload_bytes = static_cast<size_t>(state.range(0));
  const auto batch = static_cast<size_t>(state.range(1));
  KeyStore store(kMaxBatch);
  MultiBuffer multi_buffer;
  Packets packets(store, suite, Direction::out, payload_bytes, batch);
  uint64_t cycles = 0;
  for ([[maybe_unused]] auto _ : state) {
    const uint64_t begin = __rdtsc();
    multi_buffer.encrypt_and_sign(packets.jobs());
    cycles += __rdtsc() - begin;
  }
  if (!all_good(packets.jobs())) state.SkipWithError("not protected");
  report(state, cycles, batch);
}

// Decrypting in place makes a packet useless for the next round: a copy that is not in "tsc/packet"
// brings it back; the time column has it.
void inbound(benchmark::State& state, Suite suite) {
  const auto payload_bytes = static_cast<size_t>(state.range(0));
  const auto batch = static_cast<size_t>(state.range(1));
  KeyStore store(2 * kMaxBatch);
  MultiBuffer multi_buffer;
  Packets original(store, suite, Direction::out, payload_bytes, batch);
  multi_buffer.encrypt_and_sign(original.jobs());
  Packets packets(store, suite, Direction::in, payload_bytes, batch);
  uint64_t cycles = 0;
  bool good = true;
  for ([[maybe_unused]] auto _ : state) {
    packets.restore(original);
    const uint64_t begin = __rdtsc();
    multi_buffer.verify_and_decrypt(packets.jobs());
    cycles += __rdtsc() - begin;
    good = good && all_good(packets.jobs());
  }
  if (!good) state.SkipWithError("not verified");
  report(state, cycles, batch);
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const SuiteInfo& info : kSuites) {
    const std::string pair =
        std::string(name(info.integrity)) + '+' + std::string(name(info.encryption));
    for (const bool out : {true, false}) {
      const Suite suite = info.suite;
      benchmark::RegisterBenchmark((std::string(out ? "out/" : "in/") + pair).c_str(),
                                   [suite, out](benchmark::State& state) {
                                     out ? outbound(state, suite) : inbound(state, suite);
                                   })
          ->ArgNames({"bytes", "batch"})
          ->ArgsProduct({{64, 256, 1400}, {1, 8, 32}});
    }
  }
  return true;
}();

}  // namespace
}  // namespace gmesp
