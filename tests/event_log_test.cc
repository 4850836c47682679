// SPDX-License-Identifier: BSD-3-Clause
// What the log says of events, and how little however many there are.
#include "control/event_log.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/log_lines.h"
#include "tests/packet_builder.h"

namespace gmesp {
namespace {

using Lines = std::vector<std::string>;

// 2026-01-02, 03:04:05.678901.
constexpr int64_t kTime_us = 1767323045'678901;

Event of_set() { return {0, SetEvent{SetEventKind::expired, SetState::old, SetHandle{0x77}, 0}}; }
Event of_sa() {
  return {0, SaUseNotice{Direction::in, Spi{0x1234}, SaEventKind::sequence_soft_limit}};
}
AuditNotice audited() {
  AuditNotice notice;
  notice.record.source = kUe6;
  notice.record.destination = kPcscf6;
  notice.record.flow_label = 0xabcde;
  notice.record.spi = Spi{0x77777777};
  notice.record.number = SequenceNumber{4294967295};
  notice.record.reason = Drop::replayed;
  notice.record.has_addresses = notice.record.has_spi = notice.record.has_number = true;
  notice.time_us = kTime_us;
  return notice;
}

TEST(EventLog, HasALineForAnEventOfASetOrAnSa) {
  const LogLines lines;
  EventLog log;
  log.write(of_set());
  log.write(of_sa());
  EXPECT_EQ(lines.all(), (Lines{"set 0x0000000000000077 old: expired",
                                "SA in 0x00001234: sequence numbers run out soon"}));
}

// ESP-21, RFC 4303 4: SPI, date and time, addresses, sequence number and flow label.
TEST(EventLog, SaysOfAnAuditedPacketWhatTheStandardAsksFor) {
  const LogLines lines;
  EventLog log(true);
  log.write({0, audited()});
  AuditNotice of_ipv4 = audited();
  of_ipv4.record.source = kUe4;
  of_ipv4.record.destination = kPcscf4;
  of_ipv4.record.flow_label = 0;
  log.write({0, of_ipv4});
  EXPECT_EQ(lines.all(),
            (Lines{"audit: 2026-01-02T03:04:05.678Z in replayed SPI 0x77777777 number 4294967295 "
                   "from " +
                       to_string(kUe6) + " to " + to_string(kPcscf6) + " flow label 703710",
                   "audit: 2026-01-02T03:04:05.678Z in replayed SPI 0x77777777 number 4294967295 "
                   "from " +
                       to_string(kUe4) + " to " + to_string(kPcscf4) + " flow label -"}));
}

TEST(EventLog, SaysNothingForWhatAnAuditedPacketDidNotTell) {
  const LogLines lines;
  EventLog log(true);
  AuditNotice notice = audited();
  notice.record.direction = Direction::out;
  notice.record.reason = Drop::bad_fragment;
  notice.record.has_addresses = notice.record.has_spi = notice.record.has_number = false;
  log.write({0, notice});
  EXPECT_EQ(lines.all(), (Lines{"audit: 2026-01-02T03:04:05.678Z out bad_fragment SPI - number - "
                                "from - to - flow label -"}));
}

// Those that nobody wants in the log take no room of the others either.
TEST(EventLog, HasNoLineForAuditedPacketsUnlessItIsToldTo) {
  const LogLines lines;
  EventLog log(AuditConfig{}.log);
  for (int i = 0; i < 5000; ++i) log.write({0, audited()});
  EXPECT_TRUE(lines.all().empty());
  log.write(of_set());
  EXPECT_EQ(lines.all().size(), 1u);
}

// They have their counters.
TEST(EventLog, HasNoLineForDrops) {
  const LogLines lines;
  EventLog log(true);
  for (int i = 0; i < 5000; ++i) log.write({0, DropNotice{Drop::unknown_spi, 7}});
  EXPECT_TRUE(lines.all().empty());
}

// Hostile packets are audited as fast as they come.
TEST(EventLog, KeepsRoomForSasWhateverIsAudited) {
  const LogLines lines;
  EventLog log(true);
  for (int i = 0; i < 5000; ++i) log.write({0, audited()});
  log.write(of_sa());
  log.write(of_set());
  EXPECT_EQ(lines.count("sequence numbers run out soon"), 1u);
  EXPECT_EQ(lines.count("set 0x"), 1u);
}

// Ten and one of each kind; none is lost without being counted.
TEST(EventLog, WritesTenLinesASecondAndOneThatSaysHowManyItLeftOut) {
  constexpr size_t kEvents = 9000;
  const LogLines lines;
  EventLog log(true);
  const auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < kEvents; i += 3) {
    for (const Event& event : {of_set(), of_sa(), Event{0, audited()}}) log.write(event);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const auto seconds = 1 + static_cast<size_t>(took.count());
  EXPECT_GE(lines.all().size(), size_t{2 * EventLog::kLinesPerSecond});
  EXPECT_LE(lines.all().size(), seconds * 2 * (EventLog::kLinesPerSecond + 1));

  std::this_thread::sleep_for(std::chrono::seconds(1));
  log.write(of_set());
  log.write({0, audited()});
  size_t told = 0;
  size_t left_out = 0;
  for (const std::string& line : lines.all()) {
    if (line.ends_with(" lines about SAs and sets left out") ||
        line.ends_with(" lines about audited packets left out")) {
      left_out += std::stoull(line);
    } else {
      ++told;
    }
  }
  EXPECT_EQ(told + left_out, kEvents + 2);
  EXPECT_GT(left_out, 0u);
  EXPECT_LE(lines.all().size(), (seconds + 1) * 2 * (EventLog::kLinesPerSecond + 1));
}

}  // namespace
}  // namespace gmesp
