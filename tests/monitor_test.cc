// SPDX-License-Identifier: BSD-3-Clause
// Events to those that monitor: what is told, to whom, and what becomes of a client that does not
// read.
#include "control/monitor.h"

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "control/control_socket.h"
#include "control/ue_text.h"
#include "tests/control_client.h"
#include "tests/served_by_hand.h"

namespace gmesp {
namespace {

using Json = nlohmann::json;

const std::string kMonitor = R"({"command":"monitor"})";
const std::string kMonitorUe = R"({"command":"monitor","ue":true})";

Event set_event(int64_t when_ms, SetEventKind kind = SetEventKind::taken_into_use) {
  return {when_ms, SetEvent{kind, SetState::established, SetHandle{0x700000001}, when_ms}};
}

EventRecord record(int number) {
  return std::make_shared<const std::string>(std::to_string(number));
}

TEST(EventRecord, SaysWhatHappenedToWhomAndWhen) {
  const struct {
    Event event;
    const char* record;
  } rows[] = {
      {set_event(1234), R"({"event":"taken_into_use","handle":"0x0000000700000001",)"
                        R"("state":"established","when_ms":1234})"},
      {{5, SaUseNotice{Direction::out, Spi{0x1001}, SaEventKind::first_use}},
       R"({"event":"first_use","dir":"out","spi":"0x00001001","when_ms":5})"},
      {{6, DropNotice{Drop::icv_mismatch, 12}},
       R"({"event":"drop","reason":"icv_mismatch","count":12,"when_ms":6})"},
  };
  for (const auto& row : rows) EXPECT_EQ(*event_record(row.event), row.record);
}

// ESP-21: SPI, date and time, addresses, number, flow label; what is not known is left out.
TEST(EventRecord, SaysOfAnAuditedPacketWhatRfc4303AsksFor) {
  AuditNotice notice;
  notice.record.reason = Drop::replayed;
  notice.record.direction = Direction::in;
  notice.record.spi = Spi{0x1001};
  notice.record.number = SequenceNumber{0xffffffff};
  notice.record.source = *parse_address("2001:db8::7");
  notice.record.destination = *parse_address("2001:db8:ffff::1");
  notice.record.flow_label = 0xabcde;
  notice.worker = 2;
  notice.time_us = 1'700'000'000'012'345;
  EXPECT_EQ(*event_record({7, notice}),
            R"({"event":"audit","reason":"replayed","dir":"in","worker":2,)"
            R"("time":"2023-11-14T22:13:20.012Z","when_ms":7})");
  notice.record.has_spi = notice.record.has_number = notice.record.has_addresses = true;
  EXPECT_EQ(*event_record({7, notice}),
            R"({"event":"audit","reason":"replayed","dir":"in","spi":"0x00001001",)"
            R"("sequence":4294967295,"src":"2001:db8::7","dst":"2001:db8:ffff::1",)"
            R"("flow_label":703710,"worker":2,"time":"2023-11-14T22:13:20.012Z","when_ms":7})");
  notice.record.source = notice.record.destination = *parse_address("192.0.2.1");
  EXPECT_EQ(event_record({7, notice})->find("flow_label"), std::string::npos) << "IPv4 has none";
}

TEST(AuditTime, IsWhatTheClockOnTheWallSaidThen) {
  constexpr uint64_t kHz = 2'000'000'000;
  constexpr int64_t kNow = 1'700'000'000'000'000;
  EXPECT_EQ(time_of_tsc(5 * kHz, 8 * kHz, kNow, kHz), kNow - 3'000'000);
  EXPECT_EQ(time_of_tsc(8 * kHz - 3000, 8 * kHz, kNow, kHz), kNow - 1);
  EXPECT_EQ(time_of_tsc(8 * kHz + 1, 8 * kHz, kNow, kHz), kNow) << "another CPU is a little ahead";
  EXPECT_EQ(time_of_tsc(0, UINT64_MAX, kNow, kHz), kNow - 9'223'372'036'854'775);
}

TEST(Monitor, KeepsSoManyAndSaysHowManyItHasLost) {
  Monitor monitor(kAllEvents);
  const int capacity = Monitor::kCapacity;
  for (int i = 0; i < capacity + 5; ++i) monitor.push(record(i));
  for (int i = 0; i < capacity; ++i) {
    ASSERT_NE(monitor.front(), nullptr);
    EXPECT_EQ(*monitor.front(), std::to_string(i));
    monitor.pop();
  }
  EXPECT_FALSE(monitor.empty());
  ASSERT_NE(monitor.front(), nullptr);
  EXPECT_EQ(*monitor.front(), R"({"event":"overflow","lost":5})");
  monitor.pop();
  EXPECT_EQ(monitor.front(), nullptr);
  EXPECT_TRUE(monitor.empty());
}

// The mark stands where the events are missing, and takes a place itself.
TEST(Monitor, MarksWhereEventsAreMissing) {
  Monitor monitor(kAllEvents);
  const int capacity = Monitor::kCapacity;
  for (int i = 0; i < capacity + 1; ++i) monitor.push(record(i));
  for (int i = 0; i < 2; ++i) {
    monitor.front();
    monitor.pop();
  }
  monitor.push(record(7000));
  monitor.push(record(7001));  // no room: the mark and 7000 have taken it
  std::vector<std::string> rest;
  while (const std::string* next = monitor.front()) {
    rest.push_back(*next);
    monitor.pop();
  }
  ASSERT_EQ(rest.size(), static_cast<size_t>(capacity) + 1);
  EXPECT_EQ(rest[rest.size() - 3], R"({"event":"overflow","lost":1})");
  EXPECT_EQ(rest[rest.size() - 2], "7000");
  EXPECT_EQ(rest[rest.size() - 1], R"({"event":"overflow","lost":1})");
}

class MonitorTest : public ServedByHand {
 protected:
  ControlClient& monitor(const std::string& request = kMonitor) {
    ControlClient& client = connect();
    EXPECT_TRUE(client.send(request));
    serve();
    EXPECT_EQ(client.receive(0), R"({"done":"monitoring"})");
    return client;
  }
  void post(const Event& event) {
    AssumeRole control(control_thread);
    events_.post(event);
  }
  Json next(ControlClient& client) {
    serve();
    return Json::parse(client.receive(0), nullptr, false);
  }
};

TEST_F(MonitorTest, TellsEachWhatItAskedFor) {
  ControlClient& all = monitor();
  ControlClient& sets = monitor(kMonitorUe);
  ControlClient& drops = monitor(R"({"command":"monitor","drop":true})");
  ControlClient& deaf = connect();
  post(set_event(1));
  post({2, DropNotice{Drop::replayed, 3}});
  EXPECT_EQ(next(all)["event"], "taken_into_use");
  EXPECT_EQ(next(all)["event"], "drop");
  EXPECT_EQ(next(sets)["when_ms"], 1);
  EXPECT_EQ(sets.receive(0), "");
  EXPECT_EQ(next(drops)["when_ms"], 2);
  EXPECT_EQ(drops.receive(0), "");
  EXPECT_EQ(deaf.receive(0), "");
}

TEST_F(MonitorTest, ServesItsRequestsBetweenEvents) {
  ControlClient& client = monitor(kMonitorUe);
  post(set_event(1));
  EXPECT_EQ(next(client)["event"], "taken_into_use");
  EXPECT_TRUE(is_served(client));
  post(set_event(2));
  EXPECT_EQ(next(client)["when_ms"], 2);
  // Another kind from now on.
  ASSERT_TRUE(client.send(R"({"command":"monitor","sa":true})"));
  serve();
  EXPECT_EQ(client.receive(0), R"({"done":"monitoring"})");
  post(set_event(3));
  EXPECT_TRUE(next(client).is_discarded());
}

// DESIGN 4: who does not read costs nobody else anything.
TEST_F(MonitorTest, OutlivesOneThatDoesNotRead) {
  ControlClient& silent = monitor();
  ControlClient& reader = monitor();
  constexpr int kEvents = 20000;
  int read = 0;
  for (int i = 0; i < kEvents; ++i) {
    post(set_event(i));
    serve();
    read += next(reader).value("when_ms", -1) == i;
  }
  EXPECT_EQ(read, kEvents);
  EXPECT_TRUE(is_served(reader));
  socket_->disconnect_stalled(std::chrono::steady_clock::now() + 2 * ControlSocket::kPatience);
  EXPECT_EQ(socket_->connections(), 2u) << "no answer is unread, only events";
  // When it reads at last: the oldest, in order, then how many it has not got.
  int64_t told = 0;
  int64_t lost = 0;
  for (Json event = next(silent); event.is_object(); event = next(silent)) {
    if (event["event"] == "overflow") {
      lost += event["lost"].get<int64_t>();
    } else {
      EXPECT_EQ(event["when_ms"], told);
      ++told;
    }
  }
  EXPECT_GE(told, int64_t{Monitor::kCapacity});
  EXPECT_GT(lost, 0);
  EXPECT_EQ(told + lost, kEvents);
  post(set_event(kEvents));
  EXPECT_EQ(next(silent)["when_ms"], kEvents);
}

// An answer that has no room goes before the events that wait.
TEST_F(MonitorTest, AnswersOneWhoseBufferIsFullOfEvents) {
  ControlClient& client = monitor();
  for (int i = 0; i < 5000; ++i) {
    post(set_event(i));
    serve();
  }
  ASSERT_TRUE(client.send(R"({"command":"drops","explain":true})"));
  serve();
  bool answered = false;
  for (Json record = next(client); record.is_object(); record = next(client)) {
    answered |= record.contains("total");
    EXPECT_TRUE(answered || record.value("event", "") != "overflow");
  }
  EXPECT_TRUE(answered);
}

TEST_F(MonitorTest, ForgetsOneThatHasGone) {
  for (size_t round = 0; round < 3 * ControlSocket::kMaxMonitors; ++round) {
    monitor();
    post(set_event(1));
    if (round % 3 == 0) serve();
    clients_.pop_back();
    post(set_event(2));
    serve();
    EXPECT_EQ(socket_->connections(), 0u);
  }
}

TEST_F(MonitorTest, AreSoManyAndNoMore) {
  for (size_t i = 0; i < ControlSocket::kMaxMonitors; ++i) monitor();
  ControlClient& one_more = connect();
  ASSERT_TRUE(one_more.send(kMonitor));
  EXPECT_EQ(next(one_more)["code"], "too_many_connections");
  EXPECT_TRUE(is_served(one_more));
  ASSERT_TRUE(clients_[0]->send(kMonitorUe)) << "it has its place";
  EXPECT_EQ(next(*clients_[0])["done"], "monitoring");
  clients_.erase(clients_.begin());
  serve();
  ASSERT_TRUE(one_more.send(kMonitor));
  EXPECT_EQ(next(one_more)["done"], "monitoring");
}

// Silence is not idleness.
TEST_F(MonitorTest, KeepsItsPlaceWhereOthersLoseTheirs) {
  ControlClient& client = monitor();
  fill();
  std::this_thread::sleep_for(ControlSocket::kIdle);
  connect();
  serve();
  EXPECT_EQ(socket_->connections(), ControlSocket::kMaxConnections);
  post(set_event(1));
  EXPECT_EQ(next(client)["event"], "taken_into_use");
}

// Through the whole control thread.
const std::string kClient =
    "ipsec-3gpp;alg=hmac-sha-1-96;spi-c=3333;spi-s=4444;port-c=40001;port-s=40002";
const std::string kRegister = R"({"command":"ue register","ue":"192.0.2.5","pcscf":"192.0.2.1",)"
                              R"("impi":"a@example","security-client":")" +
                              kClient + "\"}";

// The kernel's clock of `when_ms`.
int64_t monotonic_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

// INT-60, INT-76: nobody asks, and it happens all the same.
TEST(MonitoringControl, TellsOfDeadlinesAndCalls) {
  RegistrarConfig quick;
  quick.t1_ms = 2;  // an offer lives for 64*T1
  const std::string path = socket_path("monitor.sock");
  RunningControl running(path, {}, &quick);
  ControlClient client(path);
  ControlClient listener(path);
  ASSERT_EQ(listener.ask(kMonitorUe)["done"], "monitoring");
  const int64_t before = monotonic_ms();
  const Json offered = client.ask(kRegister);
  const Json timeout = Json::parse(listener.receive(), nullptr, false);
  EXPECT_EQ(timeout["event"], "authentication_timeout");
  EXPECT_EQ(timeout["handle"], offered["handle"]);
  EXPECT_GE(timeout["when_ms"], before + 128);
  EXPECT_LE(timeout["when_ms"], monotonic_ms());

  const Json next = client.ask(kRegister);
  const Json deleted =
      client.ask(R"({"command":"ue delete","now":true,"handle":)" + next["handle"].dump() + "}");
  EXPECT_EQ(deleted["done"], "deleted");
  const Json event = Json::parse(listener.receive(), nullptr, false);
  EXPECT_EQ(event["event"], "deleted");
  EXPECT_EQ(event["handle"], next["handle"]);
}

// The test is the worker that counts.
TEST(MonitoringControl, TellsOfDropsOnceASecond) {
  const std::string path = socket_path("drops.sock");
  ControlRig rig;
  Counters counters;
  counters.drops[static_cast<size_t>(Drop::replayed)] = 100;
  rig.channels[0]->counters.publish(counters);  // before anybody listened
  ControlThread control({path, "", rig.limits, rig.registrar}, rig.info, rig.policy, rig.steering,
                        rig.keys, rig.channel_pointers());
  const FileDescriptor stop(eventfd(0, EFD_CLOEXEC));
  std::thread thread([&] {
    AssumeRole role(control_thread);
    control.run(stop.get());
  });
  ControlClient listener(path);
  EXPECT_EQ(listener.ask(R"({"command":"monitor","drop":true})")["done"], "monitoring");
  counters.drops[static_cast<size_t>(Drop::replayed)] = 107;
  counters.drops[static_cast<size_t>(Drop::tx_full)] = 1;
  rig.channels[0]->counters.publish(counters);
  const Json replayed = Json::parse(listener.receive(), nullptr, false);
  const Json full = Json::parse(listener.receive(), nullptr, false);
  EXPECT_EQ(replayed["reason"], "replayed");
  EXPECT_EQ(replayed["count"], 7);
  EXPECT_EQ(full["reason"], "tx_full");
  EXPECT_EQ(full["count"], 1);
  EXPECT_EQ(listener.receive(1500), "") << "nothing more was dropped";
  const uint64_t one = 1;
  EXPECT_EQ(write(stop.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
  thread.join();
}

}  // namespace
}  // namespace gmesp
