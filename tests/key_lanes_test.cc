// SPDX-License-Identifier: BSD-3-Clause
// What a worker's memory holds of keys that were used and released, on each code path of IPsec-MB:
// its managers' lanes and jobs, and the stack. A process of its own is searched from outside.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "crypto/key_store.h"
#include "crypto/multi_buffer.h"
#include "tests/key_forms.h"

namespace gmesp {
namespace {

constexpr size_t kPackets = 40;  // of each suite: more than lanes
constexpr size_t kKeyBytes = 24 + 24 + 4;

struct Pipe {
  Pipe() { EXPECT_EQ(pipe(ends), 0); }
  void tell(const void* bytes, size_t count) {
    EXPECT_EQ(write(ends[1], bytes, count), static_cast<ssize_t>(count));
  }
  bool hear(void* bytes, size_t count) {
    return read(ends[0], bytes, count) == static_cast<ssize_t>(count);
  }
  int ends[2];
};

EspKeys keys_of(const SuiteInfo& info, std::span<const uint8_t> bytes) {
  return {Key(bytes.subspan(0, info.auth_key_bytes)), Key(bytes.subspan(24, info.enc_key_bytes)),
          Key(bytes.subspan(48, info.salt_bytes))};
}

// The searched one. It learns the keys after it was made, and wipes what a control thread wipes;
// what packets leave behind it leaves.
class Used {
 public:
  Used(InstructionSet set, Pipe& in, Pipe& out)
      : in_(in), out_(out), store_(16, set), crypto_(set) {}

  [[noreturn]] void run() {
    for (const SuiteInfo& info : kSuites) store(info);
    wipe_stack();
    say();
    for (const size_t count : {kPackets, size_t{1}, size_t{3}, size_t{17}}) use(count);
    say();
    for (const SuiteInfo& info : kSuites) {
      for (auto* slots : {&out_slots_, &in_slots_}) {
        store_.release((*slots)[static_cast<size_t>(info.suite)], info.suite);
      }
    }
    say();
    _exit(0);
  }

 private:
  void store(const SuiteInfo& info) {
    std::array<uint8_t, kKeyBytes> bytes;
    if (!in_.hear(bytes.data(), bytes.size())) _exit(1);
    const EspKeys keys = keys_of(info, bytes);
    out_slots_[static_cast<size_t>(info.suite)] = *store_.store(info.suite, Direction::out, keys);
    in_slots_[static_cast<size_t>(info.suite)] = *store_.store(info.suite, Direction::in, keys);
    wipe(bytes.data(), bytes.size());
  }
  // Tells, and waits to be told.
  void say() {
    char byte = 0;
    out_.tell(&byte, 1);
    if (!in_.hear(&byte, 1)) _exit(1);
  }
  // Of all suites at once, in lengths that leave lanes at different times.
  void use(size_t count) {
    std::vector<EspJob> jobs;
    for (const SuiteInfo& info : kSuites) {
      for (size_t i = 0; i < count; ++i) {
        const size_t bytes = esp_front_bytes(info) + info.icv_bytes +
                             size_t{info.alignment_bytes} * (1 + (i * 7) % 40);
        packets_[jobs.size()].assign(bytes, static_cast<uint8_t>(i));
        jobs.push_back({.key = store_.at(out_slots_[static_cast<size_t>(info.suite)]),
                        .esp = packets_[jobs.size()].data(),
                        .esp_bytes = static_cast<uint16_t>(bytes),
                        .suite = info.suite,
                        .good = false});
      }
    }
    run_all(jobs, &MultiBuffer::encrypt_and_sign);
    for (EspJob& job : jobs) job.key = store_.at(in_slots_[static_cast<size_t>(job.suite)]);
    run_all(jobs, &MultiBuffer::verify_and_decrypt);
  }
  void run_all(std::span<EspJob> jobs, void (MultiBuffer::*work)(std::span<EspJob>)) {
    for (size_t first = 0; first < jobs.size(); first += MultiBuffer::kMaxJobs) {
      const size_t count = std::min(jobs.size() - first, MultiBuffer::kMaxJobs);
      (crypto_.*work)(jobs.subspan(first, count));
    }
    for (const EspJob& job : jobs) {
      if (!job.good) _exit(2);
    }
  }

  Pipe& in_;
  Pipe& out_;
  KeyStore store_;
  MultiBuffer crypto_;
  std::array<KeySlot, kSuiteCount> out_slots_{}, in_slots_{};
  std::array<std::vector<uint8_t>, kSuiteCount * kPackets> packets_;
};

class KeyLanesTest : public testing::TestWithParam<InstructionSet> {
 protected:
  void SetUp() override {
    SKIP_IF_MEMORY_IS_NOT_OURS();
    try {
      make_manager(GetParam());
    } catch (const std::runtime_error& error) {
      GTEST_SKIP() << error.what();
    }
    child_ = fork();
    if (child_ == 0) Used(GetParam(), to_child_, from_child_).run();
  }
  ~KeyLanesTest() override {
    if (child_ <= 0) return;
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  bool wait_for_child() {
    char byte;
    close_once();
    return from_child_.hear(&byte, 1);
  }
  void go_on() { to_child_.tell("", 1); }
  Secrets::Found found(const Secrets& secrets) const {
    Secrets::Found found;
    for_each_writable_part(child_, [&](std::string_view memory, const std::string& place) {
      secrets.find_in(memory, place, found);
    });
    return found;
  }

  Pipe to_child_, from_child_;
  pid_t child_ = -1;

 private:
  void close_once() {
    if (from_child_.ends[1] >= 0) close(from_child_.ends[1]);
    from_child_.ends[1] = -1;
  }
};

TEST_P(KeyLanesTest, HoldNothingOfKeysThatWereReleased) {
  Secrets secrets;
  for (const SuiteInfo& info : kSuites) {
    const Bytes bytes = random_bytes(kKeyBytes);
    add_esp_keys(secrets, suite_name(info.suite), info.suite, keys_of(info, bytes), GetParam());
    to_child_.tell(bytes.data(), bytes.size());
  }
  ASSERT_TRUE(wait_for_child()) << "keys are stored";
  const Secrets::Found stored = found(secrets);
  for (const SuiteInfo& info : kSuites) {
    EXPECT_TRUE(stored.contains(suite_name(info.suite) + " expanded")) << "the search is blind";
  }
  go_on();
  ASSERT_TRUE(wait_for_child()) << "keys were used";
  go_on();
  ASSERT_TRUE(wait_for_child()) << "keys were released";
  for (const auto& [name, place] : found(secrets)) ADD_FAILURE() << name << " in " << place;
}

std::string name_of(const testing::TestParamInfo<InstructionSet>& row) {
  constexpr const char* kNames[] = {"best", "sse", "avx2", "avx512"};
  return kNames[row.index];
}

INSTANTIATE_TEST_SUITE_P(CodePaths, KeyLanesTest,
                         testing::Values(InstructionSet::best, InstructionSet::sse,
                                         InstructionSet::avx2, InstructionSet::avx512),
                         name_of);

}  // namespace
}  // namespace gmesp
