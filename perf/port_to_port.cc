// SPDX-License-Identifier: BSD-3-Clause
#include "perf/port_to_port.h"

#include <x86intrin.h>

#include <algorithm>
#include <array>
#include <deque>
#include <stdexcept>

#include "dataplane/dpdk/eal.h"
#include "dataplane/wire.h"

namespace gmesp {
namespace {

using Frame = std::vector<uint8_t>;

constexpr uint16_t kPcscfPort = 5063;
constexpr uint16_t kUePort = 5062;
constexpr double kPatienceS = 2;
constexpr size_t kMostUnderWay = 512;  // what the wires hold, should somebody take the CPU from us

const Address kPcscf = *parse_address("2001:db8:ffff::1");
const Address kUe = *parse_address("2001:db8::1");

// UDP from the P-CSCF to the UE. What ESP makes of it comes back by the other port: both SAs have
// the same keys and selector.
Frame plain_frame() {
  Frame frame(sizeof(EthernetHeader) + PortToPort::kIpBytes);
  auto& ethernet = *reinterpret_cast<EthernetHeader*>(frame.data());
  ethernet.type = Be16(static_cast<uint16_t>(EtherType::ipv6));
  auto& ip = *reinterpret_cast<Ipv6Header*>(frame.data() + sizeof ethernet);
  const auto bytes = static_cast<uint16_t>(PortToPort::kIpBytes - sizeof ip);
  ip.version_class_flow = Be32(0x60000000);
  ip.payload_length = Be16(bytes);
  ip.next_header = Protocol::udp;
  std::copy(kPcscf.bytes.begin(), kPcscf.bytes.end(), ip.source);
  std::copy(kUe.bytes.begin(), kUe.bytes.end(), ip.destination);
  *reinterpret_cast<UdpHeader*>(frame.data() + sizeof ethernet + sizeof ip) = {
      Be16(kPcscfPort), Be16(kUePort), Be16(bytes), Be16(0)};
  return frame;
}

double us_of(uint64_t tsc) {
  return static_cast<double>(tsc) * 1e6 / static_cast<double>(tsc_hz());
}

uint64_t tsc_of(double seconds) {
  return static_cast<uint64_t>(seconds * static_cast<double>(tsc_hz()));
}

void spin_until(uint64_t tsc) {
  while (__rdtsc() < tsc) _mm_pause();
}

Latency summary(std::vector<uint64_t> tsc) {
  std::sort(tsc.begin(), tsc.end());
  return {us_of(tsc[tsc.size() / 2]), us_of(tsc[(tsc.size() * 99 - 1) / 100]), us_of(tsc.back())};
}

Latency middle(std::vector<Latency>& windows) {
  const auto median = [&](double Latency::*figure) {
    const auto half = windows.begin() + static_cast<std::ptrdiff_t>(windows.size() / 2);
    std::nth_element(windows.begin(), half, windows.end(),
                     [&](const Latency& a, const Latency& b) { return a.*figure < b.*figure; });
    return (*half).*figure;
  };
  return {median(&Latency::p50_us), median(&Latency::p99_us), median(&Latency::max_us)};
}

uint64_t lone_packet(RingLink& from, const Frame& frame, RingLink& to, Frame& arrived) {
  from.prepare(frame);
  const uint64_t begin = __rdtsc();
  from.send();
  const uint64_t deadline = begin + tsc_of(kPatienceS);
  while (!to.receive()) {
    if (__rdtsc() > deadline) throw std::runtime_error("a packet is lost");
  }
  const uint64_t end = __rdtsc();
  arrived = to.take();
  return end - begin;
}

}  // namespace

namespace {
WorkerConfig worker_config(Idle idle) {
  WorkerConfig config;
  config.sa_capacity = 16;
  config.idle = idle;
  config.path.tsc_hz = tsc_hz();
  return config;
}
}  // namespace

PortToPort::PortToPort(RingLink& access, RingLink& host, const Device& access_device,
                       const Device& host_device, Suite suite, Idle idle, unsigned cpu)
    : access_(access),
      host_(host),
      worker_(worker_config(idle), access_device.port(0), host_device.port(0), pools_, keys_,
              policy_, steering_, mesh_, channel_) {
  std::promise<void> promise;
  std::future<void> started = promise.get_future();
  thread_ = std::thread(&PortToPort::run, this, cpu, std::move(promise));
  try {
    started.get();
    install(suite);
  } catch (...) {
    stop();
    throw;
  }
}

Latencies PortToPort::lone(size_t windows, double gap_s) {
  std::vector<Latency> in, out;
  for (size_t i = 0; i < windows; ++i) {
    const Latencies window = lone_window(gap_s);
    in.push_back(window.in);
    out.push_back(window.out);
  }
  return {middle(in), middle(out)};
}

Latencies PortToPort::loaded(size_t windows, double per_second) {
  std::vector<Latency> in, out;
  const std::vector<Frame> plain(kWindow, plain_frame());
  for (size_t i = 0; i < windows; ++i) {
    std::vector<Frame> esp, back;
    out.push_back(flow(host_, plain, access_, esp, per_second));
    in.push_back(flow(access_, esp, host_, back, per_second));
  }
  return {middle(in), middle(out)};
}

void PortToPort::run(unsigned cpu, std::promise<void> started) {
  try {
    enter_worker_thread(cpu);
  } catch (...) {
    started.set_exception(std::current_exception());
    return;
  }
  started.set_value();
  {
    const AssumeRole role(worker_thread);
    worker_.run();
  }
  leave_worker_thread();
}

void PortToPort::stop() {
  channel_.stop = true;
  thread_.join();
}

void PortToPort::install(Suite suite) {
  const SuiteInfo& info = suite_info(suite);
  std::array<uint8_t, Key::kMaxBytes> bytes{};
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 29 + 7);
  const auto key = [&](size_t size) { return Key(std::span(bytes).first(size)); };
  const EspKeys keys{key(info.auth_key_bytes), key(info.enc_key_bytes), key(info.salt_bytes)};
  const auto command = [&](auto sa, Direction direction) {
    sa.spi = Spi{0x1000};
    sa.suite = suite;
    sa.selector = {kPcscf, kUe, kPcscfPort, kUePort};
    sa.key = keys_.store(suite, direction, keys).value();
    return sa;
  };
  channel_.commands.push(command(InstallInbound{}, Direction::in));
  channel_.commands.push(command(InstallOutbound{}, Direction::out));
  const uint64_t deadline = __rdtsc() + tsc_of(kPatienceS);
  size_t installed = 0;
  for (SaEvent event; installed < 2 && __rdtsc() < deadline;) {
    if (channel_.events.pop(event) && std::holds_alternative<Installed>(event)) ++installed;
  }
  if (installed < 2) throw std::runtime_error("the worker installs no SA");
}

Latencies PortToPort::lone_window(double gap_s) {
  const Frame plain = plain_frame();
  std::vector<uint64_t> in, out;
  std::uniform_real_distribution<double> gap(gap_s, 2 * gap_s);
  for (size_t i = 0; i < kWindow; ++i) {
    Frame esp, back;
    spin_until(__rdtsc() + tsc_of(gap(random_)));
    out.push_back(lone_packet(host_, plain, access_, esp));
    spin_until(__rdtsc() + tsc_of(gap(random_)));
    in.push_back(lone_packet(access_, esp, host_, back));
    if (back != plain) throw std::logic_error("a packet came back changed");
  }
  return {summary(in), summary(out)};
}

// Packets keep their order, so the first that arrives is the first that was sent.
Latency PortToPort::flow(RingLink& from, const std::vector<Frame>& frames, RingLink& to,
                         std::vector<Frame>& arrived, double per_second) {
  std::exponential_distribution<double> gap(per_second);
  std::deque<uint64_t> sent;
  std::vector<uint64_t> latencies;
  uint64_t next = __rdtsc();
  uint64_t last = next;
  bool prepared = false;
  for (size_t i = 0; latencies.size() < frames.size();) {
    if (!prepared && i < frames.size()) {
      from.prepare(frames[i]);
      prepared = true;
    }
    const uint64_t now = __rdtsc();
    if (prepared && now >= next && sent.size() < kMostUnderWay && from.send()) {
      sent.push_back(next);  // when it was due: a late sender hides no waiting
      next += tsc_of(gap(random_));
      prepared = false;
      ++i;
    }
    if (to.receive()) {
      last = __rdtsc();
      latencies.push_back(last - sent.front());
      sent.pop_front();
      arrived.push_back(to.take());
    }
    if (now > last + tsc_of(kPatienceS)) throw std::runtime_error("a packet is lost");
  }
  return summary(latencies);
}

}  // namespace gmesp
