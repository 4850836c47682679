// SPDX-License-Identifier: BSD-3-Clause
// Batches for the tests of crypto/: a store, jobs and their packets, each packet between guard
// bytes, so that a write beyond its ends shows.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "crypto/key_store.h"
#include "crypto/multi_buffer.h"
#include "tests/reference_esp.h"

namespace gmesp {

using reference::Bytes;

inline Bytes counting_bytes(size_t size, size_t seed) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + seed * 29 + (i >> 8));
  return bytes;
}

inline EspKeys counting_keys(Suite suite, size_t seed) {
  const SuiteInfo& info = suite_info(suite);
  return {Key(counting_bytes(info.auth_key_bytes, seed)),
          Key(counting_bytes(info.enc_key_bytes, seed + 1)),
          Key(counting_bytes(info.salt_bytes, seed + 2))};
}

// A plain packet of so many bytes of payload; everything in it depends on the seed.
inline Bytes counting_packet(Suite suite, size_t payload_bytes, size_t seed) {
  return reference::plain(suite, 0x10000u + static_cast<uint32_t>(seed),
                          static_cast<uint32_t>(seed * 3 + 1),
                          counting_bytes(suite_info(suite).iv_bytes, seed + 5),
                          counting_bytes(payload_bytes, seed), 17);
}

class CryptoBatch {
 public:
  explicit CryptoBatch(InstructionSet instruction_set) : store_(1024, instruction_set) {}

  // The packet as it is; an outbound one gets room for the ICV.
  void add(Suite suite, Direction direction, const EspKeys& keys, Bytes packet) {
    if (direction == Direction::out) packet.resize(packet.size() + suite_info(suite).icv_bytes);
    const KeySlot slot = store_.store(suite, direction, keys).value();
    slots_.push_back(slot);
    Bytes guarded(kGuardBytes, kGuard);
    guarded.insert(guarded.end(), packet.begin(), packet.end());
    guarded.resize(guarded.size() + kGuardBytes, kGuard);
    packets_.push_back(std::move(guarded));
    jobs_.push_back({store_.at(slot), packets_.back().data() + kGuardBytes,
                     static_cast<uint16_t>(packet.size()), suite, false});
  }

  void release_keys() {
    for (size_t i = 0; i < jobs_.size(); ++i) store_.release(slots_[i], jobs_[i].suite);
    slots_.clear();
  }

  std::span<EspJob> jobs() { return jobs_; }

  // The ESP part, after a look at the guards.
  Bytes packet(size_t index) const {
    const Bytes& guarded = packets_[index];
    const auto is_guard = [](uint8_t byte) { return byte == kGuard; };
    EXPECT_TRUE(std::all_of(guarded.begin(), guarded.begin() + kGuardBytes, is_guard) &&
                std::all_of(guarded.end() - kGuardBytes, guarded.end(), is_guard))
        << "written beyond the packet, job " << index;
    return Bytes(guarded.begin() + kGuardBytes, guarded.end() - kGuardBytes);
  }

  // What is in front of the ICV.
  Bytes covered(size_t index) const {
    Bytes bytes = packet(index);
    bytes.resize(bytes.size() - suite_info(jobs_[index].suite).icv_bytes);
    return bytes;
  }

 private:
  static constexpr std::ptrdiff_t kGuardBytes = 64;
  static constexpr uint8_t kGuard = 0xa5;

  KeyStore store_;
  std::vector<KeySlot> slots_;
  std::vector<Bytes> packets_;
  std::vector<EspJob> jobs_;
};

inline bool cpu_has(InstructionSet instruction_set) {
  switch (instruction_set) {
    case InstructionSet::avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512cd");
    case InstructionSet::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
    default:
      return true;
  }
}

// Tests that run once on each code path; those that the CPU lacks are skipped visibly.
class OnEveryInstructionSet : public testing::TestWithParam<InstructionSet> {
 protected:
  void SetUp() override {
    if (!cpu_has(GetParam())) GTEST_SKIP() << "this CPU lacks the instruction set";
  }
};

inline std::string instruction_set_label(const testing::TestParamInfo<InstructionSet>& info) {
  constexpr const char* kLabels[] = {"Best", "Sse", "Avx2", "Avx512"};
  return kLabels[static_cast<size_t>(info.param)];
}

inline std::string suite_label(Suite suite) {
  const SuiteInfo& info = suite_info(suite);
  return std::string(name(info.integrity)) + " with " + std::string(name(info.encryption));
}

}  // namespace gmesp
