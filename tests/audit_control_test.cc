// SPDX-License-Identifier: BSD-3-Clause
// Auditing from end to end: frames at a worker, records at a client that monitors, and the
// administrator's switch between them; real worker and control threads.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "control/audit.h"
#include "tests/control_client.h"
#include "tests/packet_builder.h"

namespace gmesp {
namespace {

using Json = nlohmann::json;

const TestSa kUnknown{Suite::sha1_null, 0x77777777, {kUe6, kPcscf6, kUePort, kPcscfPort}};

class AuditControl : public testing::Test {
 protected:
  AuditControl() {
    EXPECT_EQ(client_.ask(R"({"command":"audit on"})"), (Json{{"done", "on"}}));
    EXPECT_EQ(monitor_.ask(R"({"command":"monitor","audit":true})")["done"], "monitoring");
  }

  // Fed while no worker polls: a command that is answered has stopped none, so the frames go in
  // before the workers' threads look, which FakeDevice does not guard. Hence one worker at rest.
  void feed_while_stopped(size_t frames) {
    running_.rig.stop();
    for (size_t i = 0; i < frames; ++i) {
      running_.rig.access.feed(
          0, PacketBuilder().udp(kUePort, kPcscfPort).payload(9).esp(kUnknown, 5).frame());
    }
    for (const auto& channel : running_.rig.channels) channel->stop = false;
    running_.rig.start();
  }
  Json status() { return client_.ask(R"({"command":"audit status"})"); }

  std::string path_ = socket_path("audit.sock");
  RunningControl running_{path_, {}};
  ControlClient client_{path_};
  ControlClient monitor_{path_};
};

// ESP-21, ESP-17.
TEST_F(AuditControl, TellsAClientThatMonitorsWhatWasDropped) {
  const auto before = std::chrono::system_clock::now();
  feed_while_stopped(1);
  const Json event = Json::parse(monitor_.receive(), nullptr, false);
  EXPECT_EQ(event["event"], "audit");
  EXPECT_EQ(event["reason"], "unknown_spi");
  EXPECT_EQ(event["dir"], "in");
  EXPECT_EQ(event["spi"], "0x77777777");
  EXPECT_EQ(event["sequence"], 5);
  EXPECT_EQ(event["src"], to_string(kUe6));
  EXPECT_EQ(event["dst"], to_string(kPcscf6));
  EXPECT_EQ(event["worker"], 0);
  const std::string time = event.value("time", "");
  std::tm utc{};
  ASSERT_NE(strptime(time.c_str(), "%Y-%m-%dT%H:%M:%S", &utc), nullptr) << time;
  const auto told = std::chrono::system_clock::from_time_t(timegm(&utc));
  EXPECT_LT(std::chrono::abs(told - before), std::chrono::seconds(30)) << time;
}

TEST_F(AuditControl, IsSwitchedOffAndOnAndSaysSo) {
  EXPECT_EQ(client_.ask(R"({"command":"audit off"})"), (Json{{"done", "off"}}));
  EXPECT_EQ(status()["enabled"], false);
  feed_while_stopped(3);
  while (client_.ask(R"({"command":"drops"})")["total"] != 3) {
  }
  EXPECT_EQ(status()["recorded"], 0);
  EXPECT_EQ(monitor_.receive(0), "");
  EXPECT_EQ(client_.ask(R"({"command":"audit on"})"), (Json{{"done", "on"}}));
  EXPECT_EQ(status()["enabled"], true);
  feed_while_stopped(1);
  EXPECT_EQ(Json::parse(monitor_.receive(), nullptr, false)["event"], "audit");
}

// Every packet that was to be audited is told, left out or lost, and `status` says how many.
TEST_F(AuditControl, CountsWhatTheSampleLeftOut) {
  feed_while_stopped(1000);
  while (client_.ask(R"({"command":"drops"})")["total"] != 1000) {
  }
  const Json status = client_.ask(R"({"command":"status"})")["audit"];
  EXPECT_EQ(
      status["recorded"].get<int>() + status["left_out"].get<int>() + status["lost"].get<int>(),
      1000);
  EXPECT_GE(status["recorded"], 10);
  EXPECT_EQ(status["lost"], 0);
  EXPECT_GE(status["left_out"], 500);
  EXPECT_EQ(status["per_second"], 10);
}

TEST_F(AuditControl, NamesWhatItAudits) {
  const Json reasons = status()["reasons"];
  uint64_t named = 0;
  for (const DropInfo& info : kDropInfo) {
    for (const Json& reason : reasons) {
      if (reason == info.name) named |= audit_bit(info.drop);
    }
  }
  EXPECT_EQ(named, kAuditableReasons);
}

TEST_F(AuditControl, RefusesWhatItDoesNotTake) {
  EXPECT_EQ(client_.ask(R"({"command":"audit"})")["code"], "unknown_command");
  EXPECT_EQ(client_.ask(R"({"command":"audit on","per_second":5})")["code"], "unknown_key");
}

}  // namespace
}  // namespace gmesp
