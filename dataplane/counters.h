// SPDX-License-Identifier: BSD-3-Clause
// The one list of drop reasons, and a worker's counters. CLI, telemetry and tests read kDropInfo;
// there is no second list anywhere. A packet is counted exactly once: in = out + drops, over all
// workers.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string_view>

namespace gmesp {

enum class Drop : uint8_t {
  // Either direction, before anything is known.
  multi_segment,
  shared_buffer,
  no_room,
  bad_ip_checksum,
  runt,
  malformed_ip,
  malformed_extension_header,
  fragment,
  bad_fragment,
  overlapping_fragment,
  duplicate_fragment,
  too_many_fragments,
  fragment_source_limit,
  fragment_evicted,
  fragment_timeout,
  datagram_too_long,
  no_buffer,
  transport_runt,
  steering_full,
  // ESP from the access port.
  reserved_spi,
  unknown_spi,
  esp_length,
  replayed,
  icv_mismatch,
  bad_padding,
  dummy_packet,
  selector_mismatch,
  // Cleartext.
  cleartext_on_protected_port,
  spoofed_source,
  martian_source,
  unreachable_host,
  icmp_quotes_protected,
  icmp_about_esp,
  policy_rule,
  policy_default,
  rate_of_rule,
  rate_of_source,
  // Towards the access port.
  bad_checksum,
  sequence_exhausted,
  crypto_failed,
  // Transmit, either port.
  packet_too_big,
  frame_exceeds_mtu,
  tx_full,
  kCount
};
inline constexpr size_t kDropCount = static_cast<size_t>(Drop::kCount);

struct DropInfo {
  Drop drop;
  std::string_view name;       // CLI label, JSON key, test name
  std::string_view reference;  // the section it comes from
  std::string_view meaning;
};

inline constexpr std::array<DropInfo, kDropCount> kDropInfo{{
    {Drop::multi_segment, "multi_segment", "DPDK rte_mbuf", "frame spread over several buffers"},
    {Drop::shared_buffer, "shared_buffer", "DPDK rte_mbuf",
     "buffer that somebody else holds too; never written to"},
    {Drop::no_room, "no_room", "DPDK rte_mbuf",
     "buffer without room for the ESP header or trailer: raise the port's mtu"},
    {Drop::bad_ip_checksum, "bad_ip_checksum", "RFC 1122 3.2.1.2",
     "IPv4 header checksum wrong: found by the port's device, or before joining or cutting "
     "fragments"},
    {Drop::runt, "runt", "RFC 791 3.1", "frame ends inside its Ethernet, VLAN or IP header"},
    {Drop::malformed_ip, "malformed_ip", "RFC 1122 3.2.1, RFC 826",
     "impossible IP version or length, or an IPv4-mapped address; ARP not of IPv4 over Ethernet"},
    {Drop::malformed_extension_header, "malformed_extension_header", "RFC 8200 4",
     "IPv6 extension headers cut off, out of order or too many"},
    {Drop::fragment, "fragment", "RFC 4303 3.4.1",
     "Fragment header where none can be: behind ESP, or again in a whole datagram"},
    {Drop::bad_fragment, "bad_fragment", "RFC 8200 4.5, RFC 7112, RFC 6980",
     "invalid fragment: odd length, empty, ND, first one without its headers, a second end"},
    {Drop::overlapping_fragment, "overlapping_fragment", "RFC 5722",
     "fragment of a datagram two of whose fragments overlap"},
    {Drop::duplicate_fragment, "duplicate_fragment", "RFC 8200 4.5",
     "copy of a fragment already held"},
    {Drop::too_many_fragments, "too_many_fragments", "RFC 4303 3.4.1",
     "fragment of a datagram in more pieces, or copies of them, than are kept"},
    {Drop::fragment_source_limit, "fragment_source_limit", "RFC 4963",
     "oldest incomplete datagram of a source that has as many fragments waiting as one may"},
    {Drop::fragment_evicted, "fragment_evicted", "RFC 4963",
     "oldest incomplete datagram: gave way to newer fragments"},
    {Drop::fragment_timeout, "fragment_timeout", "RFC 1122 3.3.2, RFC 8200 4.5",
     "datagram whose other fragments did not come in time"},
    {Drop::datagram_too_long, "datagram_too_long", "RFC 791 3.1",
     "fragment that ends beyond the longest datagram: raise [fragments] max_datagram"},
    {Drop::no_buffer, "no_buffer", "DPDK rte_mempool",
     "no buffer left for a datagram or fragment of our own making"},
    {Drop::transport_runt, "transport_runt", "RFC 768, RFC 9293",
     "packet ends inside its UDP or TCP header"},
    {Drop::steering_full, "steering_full", "DPDK RSS",
     "ring to the worker that owns this UE is full"},
    {Drop::reserved_spi, "reserved_spi", "RFC 4303 2.1", "ESP with SPI 0..255"},
    {Drop::unknown_spi, "unknown_spi", "RFC 4303 3.4.2", "ESP with an SPI that no SA has"},
    {Drop::esp_length, "esp_length", "RFC 4303 2",
     "ESP too short, or not whole cipher blocks, for its SA"},
    {Drop::replayed, "replayed", "RFC 4303 3.4.3",
     "sequence number seen before, or left of the window"},
    {Drop::icv_mismatch, "icv_mismatch", "RFC 4303 3.4.4", "integrity check value wrong"},
    {Drop::bad_padding, "bad_padding", "RFC 4303 2.4",
     "padding longer than the packet or not 1, 2, 3, ..."},
    {Drop::dummy_packet, "dummy_packet", "RFC 4303 2.6", "next header 59: sent to be dropped"},
    {Drop::selector_mismatch, "selector_mismatch", "RFC 4301 5.2",
     "protected packet whose addresses, protocol or ports are not its SA's"},
    {Drop::cleartext_on_protected_port, "cleartext_on_protected_port",
     "TS 33.203 7.1, RFC 4301 5.2",
     "unprotected packet to or from a protected port, or of a flow that an SA protects"},
    {Drop::spoofed_source, "spoofed_source", "TS 33.203 Annex J",
     "own or core address as source on the access side, or claimed there by ARP or ND"},
    {Drop::martian_source, "martian_source", "RFC 1122 3.2.1.3, RFC 6890, RFC 4291 2",
     "impossible source on the access side: unspecified, loopback, multicast, reserved, or "
     "the destination"},
    {Drop::unreachable_host, "unreachable_host", "TS 33.203 Annex J",
     "cleartext to, ARP or ND query for, a host that [policy] reachable lacks; ESP routed through "
     "us"},
    {Drop::icmp_quotes_protected, "icmp_quotes_protected", "RFC 4301 6",
     "ICMP error that quotes, in clear, a packet that an SA protects or that cannot be read"},
    {Drop::icmp_about_esp, "icmp_about_esp", "RFC 4301 8.2",
     "ICMP error about an ESP packet: heard by the engine, nothing to the host"},
    {Drop::policy_rule, "policy_rule", "RFC 4301 4.4.1", "unprotected packet that a rule drops"},
    {Drop::policy_default, "policy_default", "RFC 4301 4.4.1",
     "unprotected packet that no rule passes"},
    {Drop::rate_of_rule, "rate_of_rule", "TS 33.203 Annex J",
     "unprotected packet beyond the rate of the rule that would pass it"},
    {Drop::rate_of_source, "rate_of_source", "TS 33.203 Annex J",
     "unprotected packet beyond what the rule that would pass it grants one source"},
    {Drop::bad_checksum, "bad_checksum", "RFC 9293 3.1",
     "UDP or TCP checksum wrong or unfinished before ESP"},
    {Drop::sequence_exhausted, "sequence_exhausted", "RFC 4303 3.3.3",
     "SA has used its last sequence number"},
    {Drop::crypto_failed, "crypto_failed", "RFC 4303 3.3.2",
     "encryption not completed by the crypto library"},
    {Drop::packet_too_big, "packet_too_big", "RFC 4303 3.3.4, RFC 8201",
     "longer than the MTU ahead and not to be fragmented; its sender is told"},
    {Drop::frame_exceeds_mtu, "frame_exceeds_mtu", "RFC 1122 3.3.3",
     "packet longer than the MTU of the port it leaves by"},
    {Drop::tx_full, "tx_full", "DPDK rte_eth_tx_burst", "port did not take the frame"},
}};

constexpr const DropInfo& drop_info(Drop drop) { return kDropInfo[static_cast<size_t>(drop)]; }

constexpr bool drop_info_is_complete() {
  for (size_t i = 0; i < kDropCount; ++i) {
    if (static_cast<size_t>(kDropInfo[i].drop) != i || kDropInfo[i].meaning.empty()) return false;
  }
  return true;
}
static_assert(drop_info_is_complete(), "every Drop has its row in kDropInfo, in order");

// Rules of a policy: each has its counters.
inline constexpr size_t kMaxPolicyRules = 64;

struct RuleCounters {
  uint64_t hits = 0;     // packets that this rule decided about
  uint64_t limited = 0;  // of those, beyond its rates
};

struct PortCounters {
  uint64_t rx_packets = 0;
  uint64_t rx_bytes =
      0;  // of IP packets, from the IP header on; frames of other kinds count as 0 bytes
  uint64_t tx_packets = 0;
  uint64_t tx_bytes = 0;
  // With several workers, of IP packets:
  uint64_t rx_landed_right = 0;     // came to the worker that owns the UE
  uint64_t rx_steered = 0;          // came to another, which handed them over
  uint64_t rx_hash_compared = 0;    // brought the device's RSS hash
  uint64_t rx_hash_mismatches = 0;  // which was not ours
};

// What a device could not give to its workers, or not send though it took it: as its driver counts
// (rte_eth_stats), since it was opened. None of it is among the worker's own counters, but for
// tx_errors: what was handed to the device is in tx_packets.
struct PortLosses {
  uint64_t rx_missed = 0;     // no room in its receive queues: the workers were too slow
  uint64_t rx_no_buffer = 0;  // no mbuf in its pool
  uint64_t rx_errors = 0;     // bad frames, by the NIC's own judgement
  uint64_t tx_errors = 0;     // taken, and not sent

  bool any_of_ours() const { return rx_missed != 0 || rx_no_buffer != 0 || tx_errors != 0; }
};

// Owned by one worker; plain numbers, written by nobody else. Only uint64_t members
// (CounterSnapshot copies words).
struct Counters {
  PortCounters access;
  PortCounters host;
  uint64_t protected_in = 0;   // ESP packets verified, handed to the host port
  uint64_t protected_out = 0;  // packets made ESP, handed to the access port
  uint64_t bypassed_in = 0;    // cleartext that policy passed
  uint64_t bypassed_out = 0;
  // A packet is counted once; what becomes another packet, here: rx of both ports +
  // datagrams_joined + fragments_made + answers_made = tx of both ports + dropped() +
  // fragments_joined + fragments_held + packets_fragmented.
  uint64_t fragments_held = 0;      // of datagrams not yet complete, now
  uint64_t fragments_joined = 0;    // that became
  uint64_t datagrams_joined = 0;    // whole datagrams
  uint64_t packets_fragmented = 0;  // that became
  uint64_t fragments_made = 0;      // fragments
  uint64_t answers_made = 0;        // ICMP "too big"
  uint64_t steered = 0;             // handed to the worker that owns the UE
  uint64_t steered_for_tx = 0;      // handed to the worker that has a transmit queue
  uint64_t events_delayed = 0;      // event ring was full; the event waits on its SA
  uint64_t audited = 0;             // drops told to the control thread (audit.h)
  uint64_t audit_left_out = 0;      // beyond the sample of their second
  uint64_t audit_lost = 0;          // audit ring was full
  uint64_t polls = 0;
  uint64_t polls_empty = 0;
  std::array<uint64_t, kDropCount> drops{};
  // By place in the policy's list; 0 when another policy comes into use.
  std::array<RuleCounters, kMaxPolicyRules> rules{};

  void count(Drop drop) { ++drops[static_cast<size_t>(drop)]; }
  uint64_t operator[](Drop drop) const { return drops[static_cast<size_t>(drop)]; }
  uint64_t dropped() const { return std::accumulate(drops.begin(), drops.end(), uint64_t{0}); }
};
static_assert(sizeof(Counters) % sizeof(uint64_t) == 0, "CounterSnapshot copies it word by word");

Counters& operator+=(Counters& sum, const Counters& more);

// A worker's counters as others may read them. Single writer: the worker; any reader. Relaxed: each
// number is whole, two numbers may be from different moments.
class alignas(64) CounterSnapshot {
 public:
  void publish(const Counters& counters);
  Counters read() const;

 private:
  static constexpr size_t kWords = sizeof(Counters) / sizeof(uint64_t);
  std::array<std::atomic<uint64_t>, kWords> words_{};
};

}  // namespace gmesp
