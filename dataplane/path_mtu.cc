// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/path_mtu.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "dataplane/checksum.h"
#include "dataplane/classify.h"
#include "dataplane/icmp.h"

namespace gmesp {

// What an error quotes of an ESP packet.
struct PathMtu::Quote {
  Address source;
  Address destination;
  uint16_t total_bytes = 0;  // IPv4: as the quoted header says
  bool has_number = false;   // SPI and number are there
  Spi spi{};
  SequenceNumber number{};

  static std::optional<Quote> read(std::span<const uint8_t> bytes);

 private:
  static std::optional<Quote> read_ipv4(std::span<const uint8_t> bytes);
  static std::optional<Quote> read_ipv6(std::span<const uint8_t> bytes);
  void read_esp(std::span<const uint8_t> bytes, size_t offset);
};

namespace {

constexpr uint32_t kIpv4LeastMtu = 68;  // RFC 791 3.2: every link carries that

template <typename Header>
const Header* at(std::span<const uint8_t> bytes, size_t offset) {
  if (offset + sizeof(Header) > bytes.size()) return nullptr;
  return reinterpret_cast<const Header*>(bytes.data() + offset);
}

// What a router of before RFC 1191 means by 0: less than the packet was (RFC 1191 7, table 7-1).
uint32_t plateau_below(uint16_t total_bytes) {
  constexpr std::array<uint16_t, 9> kPlateaus = {32000, 17914, 8166, 4352, 2002,
                                                 1492,  1006,  508,  296};
  const auto* const plateau = std::find_if(kPlateaus.begin(), kPlateaus.end(),
                                           [&](uint16_t mtu) { return mtu < total_bytes; });
  return plateau == kPlateaus.end() ? kIpv4LeastMtu : *plateau;
}

// nullopt: no MTU that could be true.
std::optional<uint32_t> usable_mtu(bool ipv4, uint32_t told, uint16_t quoted_bytes) {
  if (!ipv4) return told < kIpv6LeastMtu ? std::nullopt : std::optional(told);  // RFC 8201 4
  const uint32_t mtu = told == 0 ? plateau_below(quoted_bytes) : told;
  return mtu < kIpv4LeastMtu ? std::nullopt
                             : std::optional(std::max<uint32_t>(mtu, kIpv4LeastReceived));
}

// The MTU that an error tells of; nullopt: it is another error.
std::optional<uint32_t> told_mtu(const Packet& packet, const IcmpHeader& icmp) {
  if (!packet.is_ipv4()) {
    return icmp.type == kIcmpv6TooBig ? std::optional(icmp.rest.host()) : std::nullopt;
  }
  if (icmp.type != kIcmpUnreachable || icmp.code != kIcmpFragmentationNeeded) return std::nullopt;
  return icmp.rest.host() & 0xffff;
}

}  // namespace

Verdict PathMtu::hear(Packet& packet, uint64_t now_tsc) {
  if (packet.kind != PacketKind::cleartext) return Verdict::pass();
  UpperLayer upper;
  if (!find_upper_layer(packet, upper).is_pass() || !is_icmp_error(packet, upper)) {
    return Verdict::pass();
  }
  const size_t end = end_of_ip(packet);
  const size_t start = upper.offset + sizeof(IcmpHeader);
  if (start > end) return Verdict::pass();
  const auto quote = Quote::read({packet.data + start, end - start});
  if (!quote) return Verdict::pass();

  const auto told = told_mtu(packet, packet.header<IcmpHeader>(upper.offset));
  if (!told || !quote->has_number || packet.is_ipv4() != quote->source.is_v4()) {
    return Verdict::drop(Drop::icmp_about_esp);
  }
  const auto mtu = usable_mtu(quote->source.is_v4(), *told, quote->total_bytes);
  if (!mtu || *mtu >= access_mtu_ || quote->number == SequenceNumber{}) {
    return Verdict::drop(Drop::icmp_about_esp);
  }
  // It comes from a router's address, so to the worker that owns whoever has that one.
  if (!steerer_.owns(quote->source, quote->destination)) {
    return steerer_.error_to_owner(quote->source, quote->destination, packet, now_tsc,
                                   Drop::icmp_about_esp);
  }
  // The sum last: it costs what the whole message has, and a guess seldom comes so far.
  if (looks_.take(now_tsc) && is_news(*quote, *mtu, now_tsc) &&
      icmp_checksum(packet, upper.offset) == 0 && lessons_.take(now_tsc)) {
    learn(*quote, *mtu, now_tsc);
  }
  return Verdict::drop(Drop::icmp_about_esp);
}

bool PathMtu::is_news(const Quote& quote, uint32_t mtu, uint64_t now_tsc) {
  OutboundSa* about = nullptr;
  spd_.for_each(quote.source, quote.destination, [&](OutboundSa& sa) {
    if (sa.spi == quote.spi) about = &sa;
  });
  if (about == nullptr) return false;
  // Numbers that were not sent yet are far behind, too.
  const uint32_t behind =
      static_cast<uint32_t>(about->last_sent) - static_cast<uint32_t>(quote.number);
  if (behind >= kPathMtuRecentPackets) return false;
  forget_old_path_mtu(spd_, *about, now_tsc);
  return mtu < mtu_towards(*about, access_mtu_);
}

void PathMtu::learn(const Quote& quote, uint32_t mtu, uint64_t now_tsc) {
  spd_.for_each(quote.source, quote.destination, [&](OutboundSa& sa) {
    sa.path_mtu = static_cast<uint16_t>(mtu);
    spd_.sas().record(sa).path_mtu_until = path_mtu_tick(now_tsc + lifetime_tsc_);
  });
}

// nullopt: what is quoted is not ESP, or is cut off before it says so.
std::optional<PathMtu::Quote> PathMtu::Quote::read(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return std::nullopt;
  return bytes[0] >> 4 == 4 ? read_ipv4(bytes) : read_ipv6(bytes);
}

std::optional<PathMtu::Quote> PathMtu::Quote::read_ipv4(std::span<const uint8_t> bytes) {
  const auto* const ip = at<Ipv4Header>(bytes, 0);
  if (ip == nullptr || ip->protocol != Protocol::esp) return std::nullopt;
  Quote quote;
  quote.source = Address::v4(ip->source);
  quote.destination = Address::v4(ip->destination);
  quote.total_bytes = ip->total_length.host();
  const bool first = (ip->flags_and_fragment_offset.host() & kIpv4FragmentOffset) == 0;
  if (first) quote.read_esp(bytes, ip->header_bytes());
  return quote;
}

std::optional<PathMtu::Quote> PathMtu::Quote::read_ipv6(std::span<const uint8_t> bytes) {
  constexpr int kMaxHeaders = kMaxExtensionHeaders + 1;  // the Fragment header is ours
  const auto* const ip = at<Ipv6Header>(bytes, 0);
  if (ip == nullptr || ip->version_class_flow.host() >> 28 != 6) return std::nullopt;
  Quote quote;
  quote.source = Address::v6(ip->source);
  quote.destination = Address::v6(ip->destination);
  Protocol protocol = ip->next_header;
  size_t offset = sizeof(Ipv6Header);
  bool first = true;
  for (int headers = 0; headers < kMaxHeaders && protocol != Protocol::esp; ++headers) {
    const auto* const extension = at<Ipv6ExtensionHeader>(bytes, offset);
    if (!first || extension == nullptr) return std::nullopt;
    if (protocol == Protocol::fragment) {
      const auto* const place =
          at<Be16>(bytes, offset + offsetof(Ipv6FragmentHeader, offset_and_more));
      if (place == nullptr) return std::nullopt;
      first = (place->host() & kIpv6FragmentOffset) == 0;
      offset += sizeof(Ipv6FragmentHeader);
    } else if (protocol == Protocol::hop_by_hop || protocol == Protocol::routing ||
               protocol == Protocol::destination_options) {
      offset += extension->bytes();
    } else {
      return std::nullopt;
    }
    protocol = extension->next_header;
  }
  if (protocol != Protocol::esp) return std::nullopt;
  if (first) quote.read_esp(bytes, offset);
  return quote;
}

void PathMtu::Quote::read_esp(std::span<const uint8_t> bytes, size_t offset) {
  const auto* const esp = at<EspHeader>(bytes, offset);
  if (esp == nullptr || offset < sizeof(Ipv4Header)) return;
  has_number = true;
  spi = Spi{esp->spi.host()};
  number = SequenceNumber{esp->sequence_number.host()};
}

}  // namespace gmesp
