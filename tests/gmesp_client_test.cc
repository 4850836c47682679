// SPDX-License-Identifier: BSD-3-Clause
// libgmesp as SIP servers use it: calls, arguments, waiting, events.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "control/client/gmesp.h"
#include "control/refusal.h"
#include "control/ring_server.h"
#include "tests/client_lab.h"

namespace gmesp {
namespace {

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
  EXPECT_EQ(report.state, static_cast<uint32_t>(GMESP_ESTABLISHED));
  EXPECT_STREQ(report.alg, "hmac-sha-1-96");
  EXPECT_STREQ(report.ealg, "aes-cbc");
  EXPECT_EQ(report.encrypted, 1u);
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

// Neither is the other, nor a full ring: one ends when another client goes, the other does not.
TEST_F(GmespClientTest, NamesWhyAnEngineTakesNoMoreConnections) {
  const int lowest = dup(0), next = dup(0);
  ASSERT_GT(next, lowest);
  close(lowest);
  close(next);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  // Both ends of a socket and nothing more: the engine is of this process.
  const rlimit two{static_cast<rlim_t>(next) + 1, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &two), 0);
  EXPECT_EQ(Client(path_).error, GMESP_EMEMORY);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);

  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < RingServer::kMaxRings; ++i) {
    clients.push_back(std::make_unique<Client>(path_));
    ASSERT_EQ(error_code(clients.back()->error), "ok") << i;
  }
  const int error = Client(path_).error;
  EXPECT_EQ(error, GMESP_ETOO_MANY);
  EXPECT_EQ(error_code(error), "too_many_connections");
  EXPECT_EQ(gmesp_reconnect(clients[0]->get(), kWaitMs), GMESP_ETOO_MANY) << "its old one counts";
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

// INT-58, PUB-01: a server that answers an INVITE has to know that the set is temporary only.
TEST_F(GmespClientTest, CheckTellsAboutTheSet) {
  Client client(path_);
  gmesp_register_call call = client.call(1);
  call.security_client =
      "ipsec-3gpp;alg=hmac-md5-96;ealg=null;spi-c=2147483649;spi-s=2147483650;port-c=40001;"
      "port-s=40002";
  Report report;
  ASSERT_EQ(error_code(gmesp_register(client.get(), &call, kWaitMs, &report)), "ok");
  const uint64_t handle = report.handle;
  const std::string server = report.security;
  gmesp_check_call check{.size = sizeof check,
                         .ue_port = 40001,
                         .pcscf_port = 0,
                         .ue = "10.0.0.1",
                         .impi = nullptr,
                         .impu = nullptr,
                         .contact = nullptr};
  EXPECT_EQ(error_code(gmesp_check(client.get(), &check, kWaitMs, nullptr)), "no_such_flow");
  ASSERT_EQ(error_code(client.challenge(handle, 1)), "ok");
  ASSERT_EQ(error_code(gmesp_check(client.get(), &check, kWaitMs, &report)), "ok");
  EXPECT_EQ(report.handle, handle);
  EXPECT_EQ(report.state, static_cast<uint32_t>(GMESP_TEMPORARY));
  EXPECT_STREQ(report.alg, "hmac-md5-96");
  EXPECT_STREQ(report.ealg, "null");
  EXPECT_EQ(report.encrypted, 0u);
  ASSERT_EQ(
      gmesp_response(client.get(), handle, server.c_str(), call.security_client, kWaitMs, nullptr),
      0);
  ASSERT_EQ(gmesp_ok(client.get(), handle, 3600, nullptr, 0, kWaitMs, nullptr), 0);
  ASSERT_EQ(gmesp_delete(client.get(), handle, 0, kWaitMs, nullptr), 0);
  ASSERT_EQ(error_code(gmesp_check(client.get(), &check, kWaitMs, &report)), "ok");
  EXPECT_EQ(report.state, static_cast<uint32_t>(GMESP_OLD));
}

// What is NULL is not asked for; what is empty can be nobody's.
TEST_F(GmespClientTest, ChecksWhatItIsGiven) {
  Client client(path_);
  const uint64_t handle = client.temporary(1);
  gmesp_check_call check{.size = sizeof check,
                         .ue_port = 40002,
                         .pcscf_port = 0,
                         .ue = "10.0.0.1",
                         .impi = nullptr,
                         .impu = "sip:ue1@ims",
                         .contact = nullptr};
  Report report;
  const auto code = [&] { return error_code(gmesp_check(client.get(), &check, kWaitMs, &report)); };
  EXPECT_EQ(code(), "ok");
  EXPECT_EQ(report.handle, handle);
  check.impu = "sip:ue2@ims";
  EXPECT_EQ(code(), "unknown_impu");
  check.impu = nullptr;
  check.impi = "ue1@ims";
  EXPECT_EQ(code(), "ok");
  check.impi = "ue2@ims";
  EXPECT_EQ(code(), "other_impi");
  check.impi = "";
  EXPECT_EQ(code(), "too_many_identities");
}

// INT-65, INT-67: what a header without ipsec-3gpp, a blank one or none means is the engine's to
// say: nothing to choose from in SM1, a mismatch in SM7, which ends the set.
TEST_F(GmespClientTest, LeavesHeadersOfOtherMechanismsToTheEngine) {
  Client client(path_);
  for (const char* header : {"tls", "Security-Client: digest;d-alg=md5", "", " \r\n\t"}) {
    gmesp_register_call call = client.call(1);
    call.security_client = header;
    ASSERT_EQ(error_code(gmesp_submit_register(client.get(), &call, nullptr)), "ok") << header;
    Report report;
    ASSERT_EQ(gmesp_wait(client.get(), kWaitMs, &report), 1);
    EXPECT_STREQ(report.code, "unacceptable_proposal") << header;
  }
  uint32_t ue = 1;
  for (const char* other : {"tls", "", "\r\n", static_cast<const char*>(nullptr)}) {
    for (const bool is_verify : {true, false}) {
      Report offer;
      const uint64_t handle = client.registered(++ue, &offer);
      const std::string server = offer.security;
      ASSERT_EQ(error_code(client.challenge(handle, ue)), "ok");
      const int error =
          is_verify ? gmesp_response(client.get(), handle, other, kHeader, kWaitMs, nullptr)
                    : gmesp_response(client.get(), handle, server.c_str(), other, kWaitMs, nullptr);
      EXPECT_EQ(error_code(error), is_verify ? "verify_mismatch" : "client_mismatch");
      EXPECT_EQ(error_code(gmesp_refresh(client.get(), handle, 60, kWaitMs, nullptr)),
                "unknown_handle")
          << "the set has ended";
    }
  }
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

// What an operator sees of the SIP servers: `status` on the control socket.
TEST_F(GmespClientTest, IsCountedInTheStatus) {
  Client sleeper(path_, GMESP_EVENT_BIT(GMESP_EVENT_DELETED));  // one command: to subscribe
  Client client(path_);
  const uint64_t handle = client.established(1);  // four
  client.temporary(2);                            // two
  EXPECT_EQ(error_code(gmesp_refresh(client.get(), 99, 1, kWaitMs, nullptr)), "unknown_handle");
  ControlClient operators(path_);
  const auto counts = [&](const char* what) {
    return operators.ask(R"({"command":"status"})").value(what, nlohmann::json::object());
  };
  nlohmann::json rings = counts("rings"), sets = counts("sets");
  EXPECT_EQ(rings.value("connected", 0), 2);
  EXPECT_EQ(rings.value("opened", 0), 2);
  EXPECT_EQ(rings.value("commands", 0), 8);
  EXPECT_EQ(rings.value("refused", 0), 1);
  EXPECT_EQ(rings.value("events_lost", 1), 0);
  EXPECT_EQ(sets.value("established", 0), 1);
  EXPECT_EQ(sets.value("temporary", 0), 1);
  EXPECT_EQ(sets.value("total", 0), 2);
  EXPECT_EQ(sets.value("registrations", 0), 2);
  EXPECT_EQ(sets.value("spis_resting", 1), 0);

  EXPECT_EQ(gmesp_delete(client.get(), handle, GMESP_AT_ONCE, kWaitMs, nullptr), 0);
  sets = counts("sets");
  EXPECT_EQ(sets.value("established", 1), 0);
  EXPECT_EQ(sets.value("registrations", 0), 1);
  EXPECT_EQ(sets.value("spis_resting", 0), 2) << "of the SAs that arrived here";
  EXPECT_EQ(sets.value("spis_let_go_early", 1), 0);
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

}  // namespace
}  // namespace gmesp
