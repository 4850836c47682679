// SPDX-License-Identifier: BSD-3-Clause
// libgmesp as SIP servers use it, against a control thread with real workers.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "control/client/gmesp.h"
#include "control/refusal.h"
#include "tests/control_client.h"
#include "tests/shell.h"

namespace gmesp {
namespace {

constexpr int kWaitMs = 20000;
constexpr const char* kHeader =
    "ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc;spi-c=2147483649;spi-s=2147483650;port-c=40001;"
    "port-s=40002";

struct Report : gmesp_report {
  Report() : gmesp_report{} { size = sizeof(gmesp_report); }
};

std::string error_code(int error) { return gmesp_error_code(error); }

struct Keys {
  explicit Keys(uint32_t n) {
    for (uint8_t i = 0; i < 16; ++i) {
      ck[i] = static_cast<uint8_t>(n >> (i % 4 * 8)) ^ static_cast<uint8_t>(i * 37);
      ik[i] = static_cast<uint8_t>(ck[i] ^ 0x55);
    }
  }
  uint8_t ck[16];
  uint8_t ik[16];
};

class Client {
 public:
  explicit Client(const std::string& path, uint32_t events = 0) {
    const gmesp_options options{.size = sizeof options,
                                .abi_version = GMESP_ABI_VERSION,
                                .path = path.c_str(),
                                .events = events,
                                .timeout_ms = kWaitMs};
    error = gmesp_connect(&options, &client_);
  }
  ~Client() { gmesp_close(client_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  gmesp_client* get() const { return client_; }

  // The call of one UE's first REGISTER; good until the next one.
  const gmesp_register_call& call(uint32_t ue) {
    address_ = "10." + std::to_string(ue >> 16 & 255) + "." + std::to_string(ue >> 8 & 255) + "." +
               std::to_string(ue & 255);
    impi_ = "ue" + std::to_string(ue) + "@ims";
    impu_ = "sip:" + impi_;
    impus_[0] = impu_.c_str();
    call_ = {};
    call_.size = sizeof call_;
    call_.ue = address_.c_str();
    call_.pcscf = "192.0.2.1";
    call_.impi = impi_.c_str();
    call_.impus = impus_;
    call_.impu_count = 1;
    call_.security_client = kHeader;
    return call_;
  }
  // 0: refused.
  uint64_t registered(uint32_t ue, Report* report = nullptr) {
    Report own;
    Report& into = report != nullptr ? *report : own;
    EXPECT_EQ(error_code(gmesp_register(client_, &call(ue), kWaitMs, &into)), "ok");
    return into.handle;
  }
  int challenge(uint64_t handle, uint32_t key) {
    const Keys keys(key);
    return gmesp_challenge(client_, handle, keys.ck, keys.ik, nullptr, kWaitMs, nullptr);
  }
  uint64_t temporary(uint32_t ue) {
    const uint64_t handle = registered(ue);
    EXPECT_EQ(error_code(challenge(handle, ue)), "ok");
    return handle;
  }
  // 0: something was refused.
  uint64_t established(uint32_t ue) {
    Report offer;
    const uint64_t handle = registered(ue, &offer);
    const std::string server = offer.security;
    const bool done =
        challenge(handle, ue) == 0 &&
        gmesp_response(client_, handle, server.c_str(), kHeader, kWaitMs, nullptr) == 0 &&
        gmesp_ok(client_, handle, 3600, nullptr, 0, kWaitMs, nullptr) == 0;
    return done ? handle : 0;
  }

  int error = 0;

 private:
  gmesp_client* client_ = nullptr;
  gmesp_register_call call_{};
  std::string address_, impi_, impu_;
  const char* impus_[1] = {};
};

class GmespClientTest : public testing::Test {
 protected:
  void start() { running_ = std::make_unique<RunningControl>(path_, RigConfig{.capacity = 8192}); }
  void stop() { running_.reset(); }
  void SetUp() override { start(); }

  std::string path_ = socket_path("ring.sock");
  std::unique_ptr<RunningControl> running_;
};

// INT-44, INT-49a: and whose packet it was.
TEST_F(GmespClientTest, DoesTheLifeOfARegistration) {
  Client client(path_, GMESP_ALL_EVENTS);
  ASSERT_EQ(error_code(client.error), "ok");
  Report offer;
  const uint64_t handle = client.registered(1, &offer);
  EXPECT_EQ(offer.kind, static_cast<uint32_t>(GMESP_COMPLETION));
  EXPECT_STREQ(offer.alg, "hmac-sha-1-96");
  EXPECT_STREQ(offer.ealg, "aes-cbc");
  const std::string server = offer.security;
  EXPECT_NE(server.find("ipsec-3gpp"), std::string::npos) << server;
  EXPECT_NE(server.find("port-s=5063"), std::string::npos) << server;
  EXPECT_EQ(error_code(client.challenge(handle, 1)), "ok");
  Report report;
  EXPECT_EQ(gmesp_response(client.get(), handle, server.c_str(), kHeader, kWaitMs, &report), 0);
  EXPECT_EQ(report.encrypted, 1u);
  const char* more[] = {"sip:ue1@ims", "tel:+4912345"};
  EXPECT_EQ(gmesp_ok(client.get(), handle, 600000, more, 2, kWaitMs, nullptr), 0);
  EXPECT_EQ(gmesp_refresh(client.get(), handle, 600000, kWaitMs, nullptr), 0);
  gmesp_check_call check{.size = sizeof check,
                         .ue_port = 40001,
                         .pcscf_port = 5063,
                         .ue = "10.0.0.1",
                         .impi = "ue1@ims",
                         .impu = "tel:+4912345",
                         .contact = "10.0.0.1"};
  EXPECT_EQ(gmesp_check(client.get(), &check, kWaitMs, &report), 0);
  EXPECT_EQ(report.handle, handle);
  check.impu = "sip:somebody@ims";
  EXPECT_EQ(error_code(gmesp_check(client.get(), &check, kWaitMs, &report)), "unknown_impu");
  EXPECT_STREQ(report.code, "unknown_impu");
  check.impu = "sip:ue1@ims";
  check.contact = "10.0.0.2";
  EXPECT_EQ(error_code(gmesp_check(client.get(), &check, kWaitMs, nullptr)), "contact_differs");
  EXPECT_EQ(gmesp_delete(client.get(), handle, GMESP_AT_ONCE, kWaitMs, nullptr), 0);
  std::set<uint32_t> kinds;
  while (gmesp_poll(client.get(), &report) == 1) {
    kinds.insert(report.kind);
    EXPECT_EQ(report.handle, handle);
  }
  EXPECT_TRUE(kinds.contains(GMESP_EVENT_DELETED));
  EXPECT_EQ(error_code(gmesp_refresh(client.get(), handle, 1, kWaitMs, nullptr)), "unknown_handle");
}

// The headers that one end's engine writes are those that the other's reads (INT-52, INT-55).
TEST_F(GmespClientTest, ServesBothEndsOfGm) {
  const std::string ue_path = socket_path("ue.sock");
  const RunningControl ue_engine(ue_path, RigConfig{.role = Role::ue});
  Client ue(ue_path), pcscf(path_);
  Report report;
  gmesp_register_call call = ue.call(1);
  call.security_client = nullptr;
  ASSERT_EQ(error_code(gmesp_register(ue.get(), &call, kWaitMs, &report)), "ok");
  const uint64_t ue_handle = report.handle;
  const std::string client_header = report.security;
  EXPECT_STREQ(report.alg, "") << "not chosen yet";
  EXPECT_EQ(error_code(gmesp_register(pcscf.get(), &call, kWaitMs, nullptr)), "not_for_role");
  call.security_client = client_header.c_str();
  ASSERT_EQ(error_code(gmesp_register(pcscf.get(), &call, kWaitMs, &report)), "ok");
  const uint64_t pcscf_handle = report.handle;
  const std::string server_header = report.security, ealg = report.ealg;
  EXPECT_EQ(error_code(pcscf.challenge(pcscf_handle, 1)), "ok");
  const Keys keys(1);
  ASSERT_EQ(error_code(gmesp_challenge(ue.get(), ue_handle, keys.ck, keys.ik, server_header.c_str(),
                                       kWaitMs, &report)),
            "ok");
  EXPECT_EQ(report.ealg, ealg);
  EXPECT_EQ(error_code(gmesp_response(pcscf.get(), pcscf_handle, server_header.c_str(),
                                      client_header.c_str(), kWaitMs, nullptr)),
            "ok");
  EXPECT_EQ(gmesp_ok(pcscf.get(), pcscf_handle, 3600, nullptr, 0, kWaitMs, nullptr), 0);
  EXPECT_EQ(gmesp_ok(ue.get(), ue_handle, 3600, nullptr, 0, kWaitMs, nullptr), 0);
}

TEST_F(GmespClientTest, NamesItsErrors) {
  EXPECT_EQ(error_code(Client(path_ + "x").error), "no_engine");
  EXPECT_EQ(error_code(Client(std::string(300, 'x')).error), "bad_argument");
  gmesp_client* none = nullptr;
  gmesp_options options{.size = sizeof options,
                        .abi_version = GMESP_ABI_VERSION + 1,
                        .path = path_.c_str(),
                        .events = 0,
                        .timeout_ms = kWaitMs};
  EXPECT_EQ(error_code(gmesp_connect(&options, &none)), "version");
  EXPECT_EQ(error_code(gmesp_connect(nullptr, &none)), "bad_argument");
  EXPECT_EQ(none, nullptr);
  for (const RefusalInfo& info : kRefusalInfo) {
    const int number = static_cast<int>(info.refusal) + 1;
    EXPECT_EQ(gmesp_error_code(number), info.code);
    EXPECT_EQ(gmesp_error_text(number), info.sentence);
  }
  EXPECT_EQ(error_code(-1000), "unknown");
  EXPECT_EQ(error_code(1000), "unknown");
}

// Nothing is sent then.
TEST_F(GmespClientTest, JudgesArgumentsBeforeTheyTravel) {
  Client client(path_);
  gmesp_client* c = client.get();
  const auto refused = [&](auto&& change) {
    gmesp_register_call call = client.call(1);
    change(call);
    return error_code(gmesp_submit_register(c, &call, nullptr));
  };
  EXPECT_EQ(refused([](auto& call) { call.ue = "10.0.0"; }), "invalid_value");
  EXPECT_EQ(refused([](auto& call) { call.ue = nullptr; }), "bad_argument");
  EXPECT_EQ(refused([](auto& call) { call.impi = nullptr; }), "bad_argument");
  EXPECT_EQ(refused([](auto& call) { call.impi = ""; }), "too_many_identities");
  const std::string longest(255, 'a'), longer(256, 'a');
  EXPECT_EQ(refused([&](auto& call) { call.impi = longer.c_str(); }), "too_many_identities");
  EXPECT_EQ(refused([&](auto& call) { call.impi = longest.c_str(); }), "ok");
  const std::vector<const char*> nine(9, longest.c_str());
  EXPECT_EQ(refused([&](auto& call) { call.impus = nine.data(), call.impu_count = 9; }),
            "too_many_identities");
  EXPECT_EQ(refused([](auto& call) { call.impus = nullptr; }), "bad_argument");
  EXPECT_EQ(refused([](auto& call) { call.selector = 3; }), "bad_argument");
  EXPECT_EQ(refused([](auto& call) { call.security_client = "ipsec-3gpp;;"; }),
            "bad_security_header");
  EXPECT_EQ(refused([](auto& call) { call.security_client = "tls"; }), "unacceptable_proposal");
  EXPECT_EQ(refused([](auto& call) { call.size = 2; }), "bad_argument");
  EXPECT_EQ(error_code(gmesp_submit_register(c, nullptr, nullptr)), "bad_argument");
  EXPECT_EQ(error_code(gmesp_submit_register(nullptr, &client.call(1), nullptr)), "bad_argument");
  EXPECT_EQ(error_code(gmesp_submit_fail(c, 1, 6, nullptr)), "bad_argument");
  EXPECT_EQ(error_code(gmesp_submit_delete(c, 1, 4, nullptr)), "bad_argument");
  EXPECT_EQ(error_code(gmesp_submit_challenge(c, 1, nullptr, nullptr, nullptr, nullptr)),
            "bad_argument");
  EXPECT_EQ(error_code(gmesp_submit_reconcile(c, 0, nullptr, 65, nullptr)), "bad_argument");
  Report report;
  report.size = 3;
  EXPECT_EQ(error_code(gmesp_poll(c, &report)), "bad_argument");
}

// The most of everything fits into one record, and comes back.
TEST_F(GmespClientTest, TakesTheLargestRegister) {
  Client client(path_);
  std::string header, server;
  for (int i = 0; i < 24; ++i) header += std::string(i == 0 ? "" : ",") + kHeader;
  const std::string longest(255, 'a');
  const std::vector<const char*> eight(8, longest.c_str());
  gmesp_register_call call = client.call(1);
  call.security_client = header.c_str();
  call.security_verify = header.c_str();
  call.impi = longest.c_str();
  call.impus = eight.data();
  call.impu_count = 8;
  call.contact = call.ue;
  Report report;
  EXPECT_EQ(error_code(gmesp_register(client.get(), &call, kWaitMs, &report)), "ok");
  EXPECT_NE(report.handle, 0u);
}

// Callers built with an older gmesp.h have shorter structs; with a newer one, longer ones.
TEST_F(GmespClientTest, UnderstandsCallersOfOtherVersions) {
  Client client(path_);
  struct Longer {
    gmesp_register_call call;
    uint64_t future;
  } longer{client.call(1), 0};
  longer.call.size = sizeof longer;
  EXPECT_EQ(gmesp_register(client.get(), &longer.call, kWaitMs, nullptr), 0);
  longer.future = 1;
  EXPECT_EQ(error_code(gmesp_register(client.get(), &longer.call, kWaitMs, nullptr)), "version");
  struct {
    gmesp_report report;
    uint64_t behind;
  } shorter{{}, 77};
  shorter.report.size = offsetof(gmesp_report, error);
  shorter.report.error = 99;
  EXPECT_EQ(gmesp_register(client.get(), &client.call(2), kWaitMs, &shorter.report), 0);
  EXPECT_NE(shorter.report.handle, 0u);
  EXPECT_EQ(shorter.report.error, 99) << "not the caller's member";
  shorter.report.size = sizeof shorter;
  EXPECT_EQ(gmesp_register(client.get(), &client.call(3), kWaitMs, &shorter.report), 0);
  EXPECT_EQ(shorter.behind, 0u) << "what the library does not know is zero";
}

TEST_F(GmespClientTest, HasAnEndOfUnansweredCommands) {
  Client client(path_);
  std::set<uint64_t> tokens;
  uint64_t token = 0;
  for (int i = 0; i < 256; ++i) {
    ASSERT_EQ(error_code(gmesp_submit_refresh(client.get(), 99, 1, &token)), "ok") << i;
    tokens.insert(token);
  }
  EXPECT_EQ(tokens.size(), 256u);
  EXPECT_EQ(error_code(gmesp_submit_refresh(client.get(), 99, 1, &token)), "ring_full");
  EXPECT_EQ(error_code(gmesp_refresh(client.get(), 99, 1, kWaitMs, nullptr)), "ring_full");
  Report report;
  while (!tokens.empty()) {
    ASSERT_EQ(gmesp_wait(client.get(), kWaitMs, &report), 1);
    EXPECT_EQ(error_code(report.error), "unknown_handle");
    EXPECT_EQ(tokens.erase(report.token), 1u);
  }
  EXPECT_EQ(error_code(gmesp_submit_refresh(client.get(), 99, 1, &token)), "ok");
}

// A blocking call keeps what is not its answer.
TEST_F(GmespClientTest, KeepsReportsThatArriveMeanwhile) {
  Client client(path_, GMESP_EVENT_BIT(GMESP_EVENT_DELETED));
  const uint64_t handle = client.temporary(1);
  uint64_t first = 0, second = 0;
  ASSERT_EQ(gmesp_submit_refresh(client.get(), 99, 1, &first), 0);
  ASSERT_EQ(gmesp_submit_delete(client.get(), handle, GMESP_AT_ONCE, &second), 0);
  client.temporary(2);
  std::set<uint64_t> tokens;
  bool deleted = false;
  Report report;
  while (tokens.size() < 2 || !deleted) {
    ASSERT_EQ(gmesp_wait(client.get(), kWaitMs, &report), 1);
    if (report.kind == GMESP_COMPLETION) tokens.insert(report.token);
    deleted |= report.kind == GMESP_EVENT_DELETED && report.handle == handle;
  }
  EXPECT_EQ(tokens, (std::set{first, second}));
}

// The descriptor is readable whenever something waits and poll() has answered 0 before: with both
// sides falling asleep after every command, no wake-up is lost.
TEST_F(GmespClientTest, WakesWhoWaitsOnItsDescriptor) {
  Client client(path_);
  Report report;
  for (int i = 0; i < 3000; ++i) {
    ASSERT_EQ(gmesp_poll(client.get(), &report), 0);
    ASSERT_EQ(gmesp_submit_refresh(client.get(), 99, 1, nullptr), 0);
    if (i % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(i % 50));
    int got = 0;
    while (got == 0) {
      pollfd wait{gmesp_fd(client.get()), POLLIN, 0};
      ASSERT_EQ(poll(&wait, 1, kWaitMs), 1) << "lost wake-up in round " << i;
      got = gmesp_poll(client.get(), &report);
    }
    ASSERT_EQ(got, 1);
  }
}

// The tick of the control thread would hide a bell that is not rung: it looks every 10 ms.
TEST_F(GmespClientTest, WakesASleepingEngineWithinMicroseconds) {
  Client client(path_);
  std::vector<double> ms;
  for (int i = 0; i < 100; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    const auto begin = std::chrono::steady_clock::now();
    gmesp_refresh(client.get(), 99, 1, kWaitMs, nullptr);
    ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
                     .count());
  }
  std::sort(ms.begin(), ms.end());
  EXPECT_LT(ms[ms.size() / 2], 3) << "median: it did not wait for the tick";
}

TEST_F(GmespClientTest, DoesNotServeAChildOfItsProcess) {
  Client client(path_, GMESP_ALL_EVENTS);
  client.temporary(1);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Report report;
    bool right = gmesp_poll(client.get(), &report) == GMESP_EFORKED;
    right &= gmesp_submit_refresh(client.get(), 1, 1, nullptr) == GMESP_EFORKED;
    right &= gmesp_wait(client.get(), 0, &report) == GMESP_EFORKED;
    right &= gmesp_reconnect(client.get(), 0) == GMESP_EFORKED;
    right &= gmesp_refresh(client.get(), 1, 1, 0, nullptr) == GMESP_EFORKED;
    gmesp_close(client.get());
    Client own(path_);
    right &= own.error == 0 && own.registered(7) != 0;
    _exit(right ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  client.temporary(2);
}

// R16
TEST_F(GmespClientTest, SaysThatTheEngineHasStartedAgain) {
  Client client(path_, GMESP_EVENT_BIT(GMESP_EVENT_AUTHENTICATION_TIMEOUT));
  const uint64_t handle = client.temporary(1);
  stop();
  uint64_t token = 0;
  EXPECT_EQ(gmesp_submit_refresh(client.get(), handle, 1, &token), 0) << "not known yet";
  Report report;
  int got = gmesp_poll(client.get(), &report);
  while (got == 1) got = gmesp_poll(client.get(), &report);
  EXPECT_EQ(error_code(got), "disconnected");
  EXPECT_EQ(error_code(gmesp_submit_refresh(client.get(), handle, 1, nullptr)), "disconnected");
  EXPECT_EQ(error_code(gmesp_refresh(client.get(), 1, 1, kWaitMs, nullptr)), "disconnected");
  EXPECT_EQ(error_code(gmesp_reconnect(client.get(), 100)), "no_engine");
  start();
  ASSERT_EQ(error_code(gmesp_reconnect(client.get(), kWaitMs)), "ok");
  ASSERT_EQ(gmesp_poll(client.get(), &report), 1);
  EXPECT_EQ(report.kind, static_cast<uint32_t>(GMESP_COMPLETION));
  EXPECT_EQ(report.token, token);
  EXPECT_EQ(error_code(report.error), "disconnected");
  ASSERT_EQ(gmesp_poll(client.get(), &report), 1);
  EXPECT_EQ(report.kind, static_cast<uint32_t>(GMESP_EVENT_ENGINE_RESTARTED));

  const uint64_t there = client.temporary(2);
  const uint64_t orphan = client.temporary(3);
  const uint64_t believed[] = {handle + 1000, there};
  ASSERT_EQ(gmesp_reconcile(client.get(), 0, believed, 2, kWaitMs, &report), 0);
  ASSERT_EQ(report.count, 1u);
  EXPECT_EQ(report.missing[0], handle + 1000);
  ASSERT_EQ(gmesp_finish_reconcile(client.get(), report.session, 1, kWaitMs, &report), 0);
  EXPECT_EQ(report.count, 1u) << "the orphan";
  ASSERT_EQ(gmesp_wait(client.get(), kWaitMs, &report), 1) << "subscribed again by reconnect";
  EXPECT_EQ(report.handle, orphan);
}

TEST_F(GmespClientTest, MarksEventsLostWhileItStaysConnected) {
  Client client(path_);
  ASSERT_EQ(gmesp_reconnect(client.get(), kWaitMs), 0);
  Report report;
  ASSERT_EQ(gmesp_poll(client.get(), &report), 1);
  EXPECT_EQ(report.kind, static_cast<uint32_t>(GMESP_EVENT_OVERFLOW)) << "the same gmespd";
}

// Events for a client that sleeps through all of them, while another works on.
TEST_F(GmespClientTest, AStormOfEventsBlocksNobody) {
  Client sleeper(path_, GMESP_EVENT_BIT(GMESP_EVENT_DELETED));
  Client worker(path_);
  constexpr uint64_t kSets = 900;
  for (uint32_t ue = 0; ue < kSets; ++ue) {
    const uint64_t handle = worker.temporary(ue);
    ASSERT_EQ(gmesp_delete(worker.get(), handle, GMESP_AT_ONCE, kWaitMs, nullptr), 0);
  }
  uint64_t heard = 0, lost = 0;
  Report report;
  while (heard + lost < kSets) {
    ASSERT_EQ(gmesp_wait(sleeper.get(), kWaitMs, &report), 1);
    report.kind == GMESP_EVENT_OVERFLOW ? lost += report.count : ++heard;
  }
  EXPECT_EQ(heard + lost, kSets);
  EXPECT_GT(lost, 0u);
}

TEST_F(GmespClientTest, ServesManyConnectionsAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> done{0};
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Client client(path_);
      for (uint32_t i = 0; i < 100; ++i) {
        done += client.established(t * 1000 + i) != 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, 400);
}

// SIP servers that die at any instruction: the engine serves on and their sets are there.
TEST_F(GmespClientTest, OutlivesClientsThatAreKilled) {
  std::mt19937 random(11);
  for (uint32_t life = 0; life < 40; ++life) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      Client client(path_, GMESP_ALL_EVENTS);
      for (uint32_t ue = life * 100;; ++ue) {
        const Keys keys(ue);
        Report report;
        gmesp_register(client.get(), &client.call(ue), kWaitMs, &report);
        gmesp_submit_challenge(client.get(), report.handle, keys.ck, keys.ik, nullptr, nullptr);
        if (ue % 8 == 0) {
          while (gmesp_poll(client.get(), &report) == 1) {
          }
        }
        if (ue == life * 100 + 40) ue = life * 100;
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 6000));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  Client client(path_);
  ASSERT_EQ(error_code(client.error), "ok");
  EXPECT_NE(client.established(1u << 20), 0u);
  Report report;
  ASSERT_EQ(gmesp_reconcile(client.get(), 0, nullptr, 0, kWaitMs, &report), 0);
  ASSERT_EQ(gmesp_finish_reconcile(client.get(), report.session, 100000, kWaitMs, &report), 0);
  EXPECT_GT(report.count, 1u) << "sets of the dead";
}

// A program without the sanitizer's own start cannot load a library that was built with one.
bool library_fits_other_programs() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;
#else
  return true;
#endif
}

std::string block_of_readme(const std::string& language) {
  std::ifstream readme(GMESP_CLIENT_FOLDER "/README.md");
  std::string line, text;
  while (std::getline(readme, line) && line != "```" + language) {
  }
  while (std::getline(readme, line) && line != "```") text += line + "\n";
  return text;
}

TEST_F(GmespClientTest, RunsTheExampleInC) {
  if (!library_fits_other_programs()) GTEST_SKIP() << "built with a sanitizer";
  const std::string source = socket_path("example.c"), program = socket_path("example");
  std::ofstream(source) << block_of_readme("c");
  const Outcome built =
      shell("cc -std=c11 -Wall -Wextra -Werror -pedantic -I" GMESP_CLIENT_FOLDER " " + source +
            " " GMESP_CLIENT_LIBRARY " -o " + program);
  EXPECT_EQ(built.status, 0) << built.output;
  const Outcome ran =
      shell("LD_LIBRARY_PATH=$(dirname " GMESP_CLIENT_LIBRARY ") " + program + " " + path_);
  EXPECT_EQ(ran.status, 0) << ran.output;
  EXPECT_NE(ran.output.find("401 may leave\nok\n"), std::string::npos) << ran.output;
  unlink(source.c_str());
  unlink(program.c_str());
}

// Nothing of ours but the installed headers, and an older standard.
TEST_F(GmespClientTest, HasACppFaceThatFits) {
  if (!library_fits_other_programs()) GTEST_SKIP() << "built with a sanitizer";
  const std::string source = socket_path("face.cc"), program = socket_path("face");
  std::ofstream(source) << R"(
#include <gmesp.hpp>
#include <iostream>
int main(int, char** argv) {
  gmesp::Client client(argv[1], GMESP_ALL_EVENTS);
  const char* impus[] = {"sip:cpp@ims"};
  gmesp_register_call call{};
  call.ue = "10.8.0.1", call.pcscf = "192.0.2.1", call.impi = "cpp@ims", call.impus = impus, call.impu_count = 1;
  call.security_client = "ipsec-3gpp;alg=hmac-sha-1-96;ealg=null;spi-c=11;spi-s=12;port-c=40001;port-s=40002";
  const gmesp::Report offer = client.registered(call);
  const std::string server = offer.security;
  const uint8_t ck[16] = {7}, ik[16] = {8};
  client.challenge(offer.handle, ck, ik);
  client.response(offer.handle, server.c_str(), call.security_client);
  client.ok(offer.handle, 3600, {"sip:cpp@ims", "tel:2"});
  client.refresh(offer.handle, 3600);
  gmesp_check_call check{};
  check.ue = call.ue, check.ue_port = 40001, check.impi = call.impi, check.impu = "tel:2";
  std::cout << (client.check_flow(check).handle == offer.handle) << "\n";
  try {
    client.fail(offer.handle, GMESP_FAIL_OTHER);
  } catch (const gmesp::Error& error) {
    std::cout << error.code() << "\n";
  }
  gmesp::Client other = std::move(client);
  other.remove(offer.handle, GMESP_AT_ONCE);
  while (const auto report = other.wait(gmesp::Client::Milliseconds(1000))) {
    if (report->kind == GMESP_EVENT_DELETED) break;
  }
  other.subscribe(0);
  other.reconnect();
  std::cout << (other.fd() > 0) << (other.poll()->kind == GMESP_EVENT_OVERFLOW) << !other.poll() << "\n";
}
)";
  const Outcome built = shell("c++ -std=c++17 -Wall -Wextra -Werror -I" GMESP_CLIENT_FOLDER " " +
                              source + " " GMESP_CLIENT_LIBRARY " -o " + program);
  EXPECT_EQ(built.status, 0) << built.output;
  const Outcome ran =
      shell("LD_LIBRARY_PATH=$(dirname " GMESP_CLIENT_LIBRARY ") " + program + " " + path_);
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.output, "1\nwrong_state\n111\n");
  unlink(source.c_str());
  unlink(program.c_str());
}

TEST_F(GmespClientTest, RunsTheExampleInPython) {
  if (!library_fits_other_programs()) GTEST_SKIP() << "built with a sanitizer";
  const std::string source = socket_path("example.py");
  std::ofstream(source) << block_of_readme("python");
  const Outcome ran = shell("GMESP_LIBRARY=" GMESP_CLIENT_LIBRARY
                            " PYTHONDONTWRITEBYTECODE=1 "
                            "PYTHONPATH=" GMESP_CLIENT_FOLDER " python3 " +
                            source + " " + path_);
  EXPECT_EQ(ran.status, 0) << ran.output;
  EXPECT_NE(ran.output.find("401 may leave\nunknown_handle\ndeleted\n"), std::string::npos)
      << ran.output;
  unlink(source.c_str());
}

// The structs of gmesp.py are those of gmesp.h, and every function that it calls is there.
TEST_F(GmespClientTest, HasAPythonFaceThatFits) {
  if (!library_fits_other_programs()) GTEST_SKIP() << "built with a sanitizer";
  const std::string source = socket_path("face.py");
  std::ofstream(source) << R"(
import ctypes, sys, gmesp
header = "ipsec-3gpp;alg=hmac-sha-1-96;ealg=null;spi-c=11;spi-s=12;port-c=40001;port-s=40002"
print([ctypes.sizeof(s) for s in (gmesp._Options, gmesp._Report, gmesp._RegisterCall, gmesp._CheckCall)])
with gmesp.Client(sys.argv[1], events=gmesp.ALL_EVENTS) as engine:
    def register(n):
        offer = engine.register(ue=f"10.9.0.{n}", pcscf="192.0.2.1", impi=f"p{n}@ims", impus=[f"sip:p{n}@ims"],
                                security_client=header, selector="ports-of-set", contact=f"10.9.0.{n}")
        engine.challenge(offer.handle, bytes([n] * 16), bytes([n + 100] * 16))
        return offer
    offer = register(1)
    print(offer.alg, offer.ealg, engine.response(offer.handle, offer.security, header).encrypted)
    engine.ok(offer.handle, 3600, ["sip:p1@ims", "tel:1"])
    print(engine.check("10.9.0.1", 40001, "p1@ims", "tel:1").handle == offer.handle)
    engine.refresh(offer.handle, 3600)
    other = register(2)
    engine.fail(other.handle, "user_authentication")
    print(engine.reconcile([offer.handle, 12345], grace=100))
    engine.subscribe(0)
    engine.delete(offer.handle)
    while engine.poll():
        pass
    print(engine.fileno() > 0, engine.wait(0.01))
    engine.reconnect()
    print(engine.poll().kind)
)";
  const Outcome ran = shell("GMESP_LIBRARY=" GMESP_CLIENT_LIBRARY
                            " PYTHONDONTWRITEBYTECODE=1 "
                            "PYTHONPATH=" GMESP_CLIENT_FOLDER " python3 " +
                            source + " " + path_);
  EXPECT_EQ(ran.status, 0) << ran.output;
  std::ostringstream expected;
  expected << "[" << sizeof(gmesp_options) << ", " << sizeof(gmesp_report) << ", "
           << sizeof(gmesp_register_call) << ", " << sizeof(gmesp_check_call) << "]\n"
           << "hmac-sha-1-96 null False\nTrue\n([12345], 1)\nTrue None\noverflow\n";
  EXPECT_EQ(ran.output, expected.str());
  unlink(source.c_str());
}

TEST_F(GmespClientTest, ExportsItsInterfaceAndNothingElse) {
  const Outcome symbols = shell("nm -D --defined-only " GMESP_CLIENT_LIBRARY
                                " | grep -v ' A GMESP_' | grep -vc ' T gmesp_[a-z_]*@@GMESP_1$'");
  EXPECT_EQ(symbols.output, "0\n");
  const Outcome needed =
      shell("objdump -p " GMESP_CLIENT_LIBRARY " | grep -cE 'NEEDED.*(rte_|IPSec_MB)'");
  EXPECT_EQ(needed.output, "0\n");
}

}  // namespace
}  // namespace gmesp
