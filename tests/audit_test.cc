// SPDX-License-Identifier: BSD-3-Clause
// Auditing (RFC 4303 4): what a record tells of the packet, the sample, the switch, a ring that
// nobody empties.
#include "dataplane/audit.h"

#include "dataplane/classify.h"
#include "tests/worker_lab.h"

namespace gmesp {
namespace {

constexpr uint32_t kFlowLabel = 0xabcde;
const TestSa kIn{Suite::sha1_aes_cbc, 0x10002, {kUe6, kPcscf6, kUePort, kPcscfPort}};
const TestSa kIn4{Suite::md5_null, 0x10003, {kUe4, kPcscf4, kUePort, kPcscfPort}};
const TestSa kOut{Suite::sha1_aes_cbc, 0x20003, {kPcscf6, kUe6, kPcscfPort, kUePort}};

PacketBuilder request() { return PacketBuilder().udp(kUePort, kPcscfPort).payload("MESSAGE"); }
PacketBuilder answer() {
  return PacketBuilder().ip(kPcscf6, kUe6).udp(kPcscfPort, kUePort).payload("SIP/2.0 200 OK");
}

Frame with_flow_label(Frame frame) {
  auto& ip = *reinterpret_cast<Ipv6Header*>(frame.data() + sizeof(EthernetHeader));
  ip.version_class_flow = Be32(6u << 28 | kFlowLabel);
  return frame;
}

Frame spoiled(Frame frame) {
  frame.back() ^= 1;
  return frame;
}

class AuditTest : public testing::Test {
 protected:
  AuditTest() {
    const AssumeRole role(worker_thread);
    lab_.command(lab_.install_in(kIn, SaIndex{0}));
    lab_.command(lab_.install_in(kIn4, SaIndex{1}));
    lab_.command(lab_.install_out(kOut, SaIndex{0}));
    set(kAuditableReasons, 1000);
  }

  void set(uint64_t reasons, uint32_t per_second) ON(worker_thread) {
    lab_.command(SetAudit{{reasons, per_second}, 7});
    lab_.settle();
    const auto answers = lab_.take<SettingInUse>();
    ASSERT_EQ(answers.size(), 1u);
    EXPECT_EQ(answers[0].number, 7u);
  }
  std::vector<AuditRecord> take() {
    std::vector<AuditRecord> records;
    lab_.channels[0]->audit.records.consume_all(
        [&](const AuditRecord& record) { records.push_back(record); });
    return records;
  }
  // The record of the one frame of these that is dropped.
  AuditRecord in(const std::vector<Frame>& frames)ON(worker_thread) {
    for (const Frame& frame : frames) lab_.access.feed(0, frame);
    lab_.settle();
    const std::vector<AuditRecord> records = take();
    EXPECT_EQ(records.size(), 1u);
    return records.empty() ? AuditRecord{} : records.front();
  }

  WorkerLab lab_;
};

void expect_esp(const AuditRecord& record, Drop reason, const TestSa& sa, uint32_t number) {
  EXPECT_EQ(record.reason, reason);
  EXPECT_EQ(record.direction, Direction::in);
  ASSERT_TRUE(record.has_addresses && record.has_spi && record.has_number);
  EXPECT_EQ(record.source, sa.selector.source);
  EXPECT_EQ(record.destination, sa.selector.destination);
  EXPECT_EQ(record.spi, Spi{sa.spi});
  EXPECT_EQ(record.number, SequenceNumber{number});
  EXPECT_NE(record.tsc, 0u);
}

// ESP-21, ESP-17, ESP-18, ESP-19: SPI, time, addresses, number and flow label of each.
TEST_F(AuditTest, TellsWhatRfc4303AsksForOfAPacketThatStillHasItsEspHeader) {
  const AssumeRole role(worker_thread);
  TestSa unknown = kIn;
  unknown.spi = 0x777777;
  TestSa reserved = kIn;
  reserved.spi = 255;
  const Frame twin = with_flow_label(request().esp(kIn, 9).frame());
  const struct {
    Drop reason;
    TestSa sa;
    uint32_t number;
    std::vector<Frame> frames;
  } rows[] = {
      {Drop::unknown_spi, unknown, 5, {with_flow_label(request().esp(unknown, 5).frame())}},
      {Drop::reserved_spi, reserved, 6, {with_flow_label(request().esp(reserved, 6).frame())}},
      {Drop::icv_mismatch, kIn, 8, {spoiled(with_flow_label(request().esp(kIn, 8).frame()))}},
      {Drop::replayed, kIn, 9, {twin, twin}},
      {Drop::bad_padding,
       kIn,
       10,
       {with_flow_label(request()
                            .payload(9)
                            .esp(kIn, 10)
                            .esp_padding({1, 2, 4, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13})
                            .frame())}},
  };
  for (const auto& row : rows) {
    const AuditRecord record = in(row.frames);
    SCOPED_TRACE(drop_info(row.reason).name);
    expect_esp(record, row.reason, row.sa, row.number);
    EXPECT_EQ(record.flow_label, kFlowLabel);
  }
}

TEST_F(AuditTest, TellsIpv4AddressesAndNoFlowLabel) {
  const AssumeRole role(worker_thread);
  const AuditRecord record =
      in({spoiled(request().ip(kUe4, kPcscf4).esp(kIn4, 0xffffffff).frame())});
  expect_esp(record, Drop::icv_mismatch, kIn4, 0xffffffff);
  EXPECT_EQ(record.flow_label, 0u);
}

// RFC 4301 5.2 step 4: the ESP header is gone by then, so the SPI is the SA's and the number
// unknown.
TEST_F(AuditTest, TellsTheSpiOfASelectorMismatch) {
  const AssumeRole role(worker_thread);
  const AuditRecord record = in({with_flow_label(
      PacketBuilder().udp(kUePort + 1, kPcscfPort).payload(9).esp(kIn, 1).frame())});
  EXPECT_EQ(record.reason, Drop::selector_mismatch);
  EXPECT_TRUE(record.has_spi && record.has_addresses);
  EXPECT_FALSE(record.has_number);
  EXPECT_EQ(record.spi, Spi{kIn.spi});
  EXPECT_EQ(record.source, kUe6);
  EXPECT_EQ(record.flow_label, kFlowLabel);
}

// ESP-05: RFC 4303 3.3.3.
TEST_F(AuditTest, TellsOfTheLastSequenceNumber) {
  const AssumeRole role(worker_thread);
  lab_.command(DeleteSa{Direction::out, SaIndex{0}});
  lab_.command(lab_.install_out(kOut, SaIndex{0}, 0xffffffff));
  lab_.host.feed(0, with_flow_label(answer().frame()));
  lab_.settle();
  const auto records = take();
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].reason, Drop::sequence_exhausted);
  EXPECT_EQ(records[0].direction, Direction::out);
  EXPECT_EQ(records[0].spi, Spi{kOut.spi});
  EXPECT_EQ(records[0].number, SequenceNumber{0xffffffff});
  EXPECT_EQ(records[0].source, kPcscf6);
  EXPECT_EQ(records[0].destination, kUe6);
  EXPECT_EQ(records[0].flow_label, kFlowLabel);
}

// ESP-16: a record of what looks like a fragment, wherever it was dropped.
TEST_F(AuditTest, TellsTheSpiOfAFirstFragment) {
  const AssumeRole role(worker_thread);
  const Drop reason = Drop::bad_fragment;
  Packet packet =
      make_packet(request().ip(kUe4, kPcscf4).fragment_bits(0x2000).esp(kIn4, 3).frame());
  ASSERT_TRUE(classify(packet).is_pass());
  expect_esp(
      [&] {
        AuditRecord record = audit_record(packet, reason, Direction::in);
        record.tsc = 1;
        return record;
      }(),
      reason, kIn4, 3);
  release(packet);

  packet = make_packet(request().ip(kUe4, kPcscf4).fragment_bits(0x0003).esp(kIn4, 3).frame());
  ASSERT_TRUE(classify(packet).is_pass());
  EXPECT_FALSE(audit_record(packet, reason, Direction::in).has_spi);
  EXPECT_TRUE(audit_record(packet, reason, Direction::in).has_addresses);
  release(packet);

  packet = make_packet(request().fragment_header().esp(kIn, 4).frame());
  ASSERT_TRUE(classify(packet).is_pass());
  const AuditRecord record = audit_record(packet, reason, Direction::in);
  EXPECT_TRUE(record.has_spi);
  EXPECT_EQ(record.spi, Spi{kIn.spi});
  EXPECT_EQ(record.number, SequenceNumber{4});
  release(packet);
}

// Frames cut off anywhere: nothing is read behind their end (run under ASan).
TEST_F(AuditTest, ReadsNoByteBehindAPacket) {
  const AssumeRole role(worker_thread);
  set(kEveryReason, 100'000);
  for (const PacketBuilder& whole :
       {request().esp(kIn, 1), request().ip(kUe4, kPcscf4).esp(kIn4, 1),
        request().fragment_header().esp(kIn, 1),
        request().hop_by_hop().fragment_header().esp(kIn, 2),
        request().ip(kUe4, kPcscf4).fragment_bits(0x2000).esp(kIn4, 4)}) {
    const Frame frame = whole.frame();
    for (size_t bytes = 0; bytes < frame.size(); ++bytes) {
      lab_.access.feed(0, Frame(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(bytes)));
      lab_.host.feed(0, Frame(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(bytes)));
    }
    lab_.settle();
    take();
  }
  EXPECT_GT(lab_.counters(0).audited, 300u);
  EXPECT_EQ(lab_.counters(0).audit_lost, 0u);
}

// Behind strip_esp() the bytes at an ESP header's place are what was protected.
TEST_F(AuditTest, NeverTellsDecryptedBytes) {
  InboundSa sa;
  sa.spi = Spi{kIn.spi};
  Packet packet = make_packet(request().frame());
  ASSERT_TRUE(classify(packet).is_pass());
  packet.kind = PacketKind::esp;  // as the inbound path leaves it
  packet.inbound_sa = &sa;
  for (const Drop reason : {Drop::steering_full, Drop::tx_full, Drop::frame_exceeds_mtu,
                            Drop::transport_runt, Drop::selector_mismatch, Drop::no_buffer}) {
    const AuditRecord record = audit_record(packet, reason, Direction::in);
    EXPECT_EQ(record.spi, sa.spi) << drop_info(reason).name;
    EXPECT_FALSE(record.has_number) << drop_info(reason).name;
    const AuditRecord outbound = audit_record(packet, reason, Direction::out);
    EXPECT_FALSE(outbound.has_spi || outbound.has_number) << drop_info(reason).name;
  }
  release(packet);
}

TEST_F(AuditTest, TakesASampleOfEachReasonAndCountsTheRest) {
  const AssumeRole role(worker_thread);
  set(kAuditableReasons, 3);
  TestSa unknown = kIn;
  for (uint32_t i = 0; i < 10; ++i) {
    unknown.spi = 0x900000 + i;
    lab_.access.feed(0, request().esp(unknown, i).frame());
    lab_.access.feed(0, spoiled(request().esp(kIn, 100 + i).frame()));
  }
  lab_.settle();
  EXPECT_EQ(take().size(), 6u) << "the same second";
  EXPECT_EQ(lab_.counters(0).audited, 6u);
  EXPECT_EQ(lab_.counters(0).audit_left_out, 14u);
  EXPECT_EQ(lab_.counters(0)[Drop::unknown_spi], 10u);
}

// ESP-21: the administrator can switch it; counters go on.
TEST_F(AuditTest, IsSilentWhenItIsOffAndForReasonsNotNamed) {
  const AssumeRole role(worker_thread);
  set(0, 10);
  lab_.access.feed(0, spoiled(request().esp(kIn, 1).frame()));
  lab_.settle();
  set(audit_bit(Drop::runt), 10);
  lab_.access.feed(0, spoiled(request().esp(kIn, 1).frame()));
  lab_.settle();
  EXPECT_TRUE(take().empty());
  EXPECT_EQ(lab_.counters(0)[Drop::icv_mismatch], 2u);
  EXPECT_EQ(lab_.counters(0).audited + lab_.counters(0).audit_left_out, 0u);
  lab_.access.feed(0, Frame(10, 0));
  lab_.settle();
  EXPECT_EQ(take().size(), 1u);
}

// A control thread that does not come costs the worker nothing: records are counted as lost.
TEST_F(AuditTest, NeverWaitsForRoomInItsRing) {
  const AssumeRole role(worker_thread);
  set(kAuditableReasons, 1'000'000);
  const size_t flood = AuditRing::kCapacity + 500;
  TestSa unknown = kIn;
  unknown.spi = 0x888888;
  const Frame bad = request().esp(unknown, 1).frame();
  for (size_t i = 0; i < flood; ++i) lab_.access.feed(0, bad);
  lab_.access.feed(0, request().esp(kIn, 1).frame());
  lab_.settle();
  EXPECT_EQ(lab_.host.take_sent(), std::vector<Frame>{request().frame()});
  EXPECT_EQ(lab_.counters(0).audited, AuditRing::kCapacity);
  EXPECT_EQ(lab_.counters(0).audit_lost, 500u);
  EXPECT_EQ(take().size(), AuditRing::kCapacity);
  lab_.access.feed(0, bad);
  lab_.settle();
  EXPECT_EQ(take().size(), 1u) << "goes on when there is room again";
}

// The second by the worker's clock, which may jump.
TEST(AuditSample, BeginsAnewEverySecondAndAfterEveryJumpOfTheClock) {
  Counters counters;
  AuditRing ring;
  constexpr uint64_t kHz = 1000;
  Drops drops(counters, ring, kHz);
  drops.set_audit({audit_bit(Drop::runt), 1});
  const Packet packet{};
  const auto told_at = [&](uint64_t tsc) {
    drops.enter(Direction::in, tsc);
    const uint64_t before = counters.audited;
    for (int i = 0; i < 3; ++i) drops.tell(packet, Drop::runt);
    return counters.audited - before;
  };
  EXPECT_EQ(told_at(5000), 1u);
  EXPECT_EQ(told_at(5999), 0u);
  EXPECT_EQ(told_at(6000), 1u);
  EXPECT_EQ(told_at(100), 1u) << "backwards";
  EXPECT_EQ(told_at(1099), 0u);
  EXPECT_EQ(told_at(UINT64_MAX), 1u);
  EXPECT_EQ(told_at(0), 0u) << "one tick later";
  EXPECT_EQ(told_at(kHz), 1u);
  EXPECT_EQ(counters[Drop::runt], 24u);
}

}  // namespace
}  // namespace gmesp
