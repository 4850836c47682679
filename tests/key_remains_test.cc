// SPDX-License-Identifier: BSD-3-Clause
// What the memory of a real gmespd holds of keys, searched from outside: with SAs and sets of every
// algorithm all of them are found, under traffic; when a delete is acknowledged nothing is left, of
// the keys, their text, or what they are expanded to. Refused commands leave nothing either.
#include <gtest/gtest.h>
#include <mntent.h>

#include <set>
#include <string>
#include <vector>

#include "control/client/gmesp.h"
#include "tests/key_lab.h"
#include "tests/ring_client.h"

namespace gmesp {
namespace {

class KeyRemainsTest : public KeyLab {};

// PUB-09
TEST_F(KeyRemainsTest, NothingIsLeftOfSasThatWereDeletedUnderTraffic) {
  SocketClient client(socket_);
  for (const nlohmann::json& sa : sas_) {
    const auto answer = client.ask(sa.dump());
    ASSERT_EQ(answer.value("done", ""), "added") << answer;
    expect_expanded_only(find(of_sas_));
  }
  for (const nlohmann::json& sa : sas_) {
    nlohmann::json show{{"command", "sa show"}, {"dir", sa["dir"]}, {"spi", sa["spi"]}};
    nlohmann::json shown = nlohmann::json::object();
    for (int i = 0; i < 2000 && shown.value("packets", 0) < 8; ++i) {
      shown = client.ask(show.dump());
      usleep(1000);
    }
    EXPECT_GE(shown.value("packets", 0), 8) << "it carries traffic: " << shown;
  }
  const Secrets::Found found = find(of_sas_);
  for (const SuiteInfo& info : kSuites) {
    EXPECT_TRUE(found.contains(suite_name(info.suite) + " expanded")) << "the search is blind";
  }
  expect_expanded_only(found);
  for (const nlohmann::json& sa : sas_) {
    nlohmann::json gone{{"command", "sa delete"}, {"dir", sa["dir"]}, {"spi", sa["spi"]}};
    EXPECT_EQ(client.ask(gone.dump()).value("done", ""), "deleted");
  }
  expect_nothing(of_sas_, "all SAs are deleted");
}

// One set of every algorithm, by the ring and by JSON.
TEST_F(KeyRemainsTest, NothingIsLeftOfSetsThatWereDeleted) {
  gmesp_client* ring = nullptr;
  const gmesp_options options{.size = sizeof options,
                              .abi_version = GMESP_ABI_VERSION,
                              .path = socket_.c_str(),
                              .events = GMESP_ALL_EVENTS,
                              .timeout_ms = kWaitMs};
  ASSERT_EQ(gmesp_connect(&options, &ring), 0);
  SocketClient client(socket_);
  Secrets secrets;
  std::vector<uint64_t> ring_handles;
  std::vector<std::string> handles;
  for (const SuiteInfo& info : kSuites) {
    const auto number = static_cast<int>(info.suite) + 1;
    const std::string header = "ipsec-3gpp;alg=" + std::string(name(info.integrity)) +
                               ";ealg=" + std::string(name(info.encryption)) +
                               ";spi-c=2147483649;spi-s=2147483650;port-c=40001;port-s=40002";
    const auto keys_of = [&](const std::string& whose) {
      std::pair<Bytes, Bytes> keys{random_bytes(16), random_bytes(16)};
      const std::string name = suite_name(info.suite) + " of " + whose;
      add_key(secrets, name + ", CK", keys.first);
      add_key(secrets, name + ", IK", keys.second);
      add_esp_keys(secrets, name, info.suite,
                   expand(info.suite, ImsKey(keys.first), ImsKey(keys.second)));
      return keys;
    };
    {
      const std::string ue = "10.1.0." + std::to_string(number), impi = ue + "@ims";
      const char* const impus[] = {impi.c_str()};
      gmesp_register_call call{};
      call.size = sizeof call;
      call.ue = ue.c_str();
      call.pcscf = "192.0.2.1";
      call.impi = impi.c_str();
      call.impus = impus;
      call.impu_count = 1;
      call.security_client = header.c_str();
      gmesp_report report{};
      report.size = sizeof report;
      ASSERT_EQ(gmesp_register(ring, &call, kWaitMs, &report), 0) << header;
      const auto [ck, ik] = keys_of("the ring");
      ring_handles.push_back(report.handle);
      ASSERT_EQ(gmesp_challenge(ring, ring_handles.back(), ck.data(), ik.data(), nullptr, kWaitMs,
                                nullptr),
                0);
    }
    const std::string ue = "10.2.0." + std::to_string(number);
    const auto offer = client.ask(nlohmann::json{
        {"command", "ue register"},
        {"ue", ue},
        {"pcscf", "192.0.2.1"},
        {"impi", ue + "@ims"},
        {"security-client", header}}.dump());
    handles.push_back(offer.value("handle", ""));
    const auto [ck, ik] = keys_of("the socket");
    const auto challenged = client.ask(nlohmann::json{
        {"command", "ue challenge"},
        {"handle", handles.back()},
        {"ck", hex(ck)},
        {"ik", hex(ik, true)}}.dump());
    ASSERT_EQ(challenged.value("done", ""), "challenged") << offer << challenged;
    expect_expanded_only(find(secrets));
  }
  const Secrets::Found found = find(secrets);
  for (const SuiteInfo& info : kSuites) {
    for (const char* whose : {" of the ring", " of the socket"}) {
      EXPECT_TRUE(found.contains(suite_name(info.suite) + whose + " expanded"));
    }
  }
  for (const auto& [name, place] : found) {
    // A CK or IK is a round key of its own expansion; as text, or in front of a hash, it is
    // nowhere.
    EXPECT_EQ(name.find("text"), std::string::npos) << place;
    EXPECT_EQ(name.find("TEXT"), std::string::npos) << place;
    EXPECT_EQ(name.find("pad"), std::string::npos) << name << " in " << place;
  }
  for (const uint64_t handle : ring_handles) {
    EXPECT_EQ(gmesp_delete(ring, handle, GMESP_AT_ONCE, kWaitMs, nullptr), 0);
  }
  for (const std::string& handle : handles) {
    const auto gone = client.ask(
        nlohmann::json{{"command", "ue delete"}, {"handle", handle}, {"now", true}}.dump());
    EXPECT_EQ(gone.value("done", ""), "deleted") << gone;
  }
  expect_nothing(secrets, "all sets are deleted, the ring is open");
  gmesp_close(ring);
  expect_nothing(secrets, "the ring is closed");
}

// Commands that are refused: at every place where a key can be by mistake.
TEST_F(KeyRemainsTest, NothingIsLeftOfRefusedCommands) {
  SocketClient client(socket_);
  Secrets secrets;
  const std::vector<std::string> refused = refused_records(secrets);
  // After each: the next one would overwrite what is left on the stack.
  for (const std::string& record : refused) {
    const auto answer = client.ask(record);
    EXPECT_TRUE(answer.contains("code")) << answer;
    expect_nothing(secrets, "refused: " + answer.dump());
  }
}

// A client that writes its ring by hand: no such command, no such handle.
TEST_F(KeyRemainsTest, NothingIsLeftOfRefusedRecordsOfARing) {
  SocketClient opener(socket_);
  ASSERT_TRUE(opener.send(std::string(client::kRingRequest)));
  RingClient ring(opener.take());
  ASSERT_TRUE(ring.connected());
  Secrets secrets;
  uint64_t token = 0;
  for (const uint8_t kind : {uint8_t{1}, uint8_t{0}, uint8_t{6}, uint8_t{200}}) {
    client::CommandRecord record{};
    record.head.bytes = sizeof record.head;
    record.head.kind = kind;
    record.head.token = ++token;
    const Bytes ck = random_bytes(16), ik = random_bytes(16);
    std::copy(ck.begin(), ck.end(), record.head.ck);
    std::copy(ik.begin(), ik.end(), record.head.ik);
    add_key(secrets, "CK of kind " + std::to_string(kind), ck);
    add_key(secrets, "IK of kind " + std::to_string(kind), ik);
    ASSERT_TRUE(ring.put(record));
    ring.ring();
    std::optional<client::AnswerRecord> answer;
    for (int i = 0; i < kWaitMs && !(answer = ring.get()); ++i) usleep(1000);
    ASSERT_TRUE(answer);
    EXPECT_NE(answer->head.refused, 0);
    expect_nothing(secrets, "refused");
  }
}

class HugePagesTest : public KeyLab {
 protected:
  HugePagesTest() { hugepages_ = "auto"; }
  static std::set<std::string> hugepage_files() {
    std::set<std::string> files;
    FILE* mounts = setmntent("/proc/self/mounts", "r");
    while (const mntent* mount = getmntent(mounts)) {
      if (std::string_view(mount->mnt_type) != "hugetlbfs") continue;
      for (const auto& entry : std::filesystem::directory_iterator(mount->mnt_dir)) {
        files.insert(entry.path());
      }
    }
    endmntent(mounts);
    return files;
  }
};

// Killed, it cannot clean up: so nothing it has may have a name. Memory without one is the kernel's
// again with the last process that has it, and zeroes for the next.
TEST_F(HugePagesTest, NothingHasANameThatWouldOutliveAKill) {
  SocketClient client(socket_);
  if (!client.ask(R"({"command":"status"})").value("hugepages", false)) {
    GTEST_SKIP() << "this machine has no free hugepages";
  }
  for (const nlohmann::json& sa : sas_) {
    ASSERT_EQ(client.ask(sa.dump()).value("done", ""), "added");
  }
  std::ifstream maps("/proc/" + std::to_string(gmespd_->pid()) + "/maps");
  size_t shared = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("rw-s") == std::string::npos) continue;
    ++shared;
    EXPECT_TRUE(line.ends_with("(deleted)") || line.find(" /dev/") != std::string::npos ||
                line.ends_with("anon_inode:[io_uring]"))
        << line;
  }
  EXPECT_GT(shared, 0u) << "its hugepages are shared memory";
  const std::set<std::string> before = hugepage_files();
  gmespd_->stop(SIGKILL);
  EXPECT_EQ(hugepage_files(), before);
  for (const std::string& file : before) {
    EXPECT_EQ(file.find("rtemap"), std::string::npos) << file << ": DPDK's name for its pages";
  }
}

}  // namespace
}  // namespace gmesp
