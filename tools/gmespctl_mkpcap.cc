// SPDX-License-Identifier: BSD-3-Clause
#include "tools/gmespctl_mkpcap.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>
#include <map>
#include <string_view>
#include <system_error>
#include <utility>

#include "control/json_writer.h"
#include "dataplane/esp.h"
#include "tools/gmespctl_request.h"
#include "tools/output_file.h"

namespace gmesp {
namespace {

constexpr uint32_t kMaxUes = 1u << 24;
constexpr uint16_t kMaxIpBytes = 9000;
constexpr uint16_t kMinIpBytes = 64;  // both headers and the marks of write_plain()

constexpr std::string_view kKeys[] = {
    "ues", "packets", "sa",      "peer",       "esp",    "plain",    "ue-plain", "dir",
    "ip",  "bytes",   "alg",     "ealg",       "seed",   "seq",      "spi",      "window",
    "ue",  "pcscf",   "ue-port", "pcscf-port", "ue-mac", "pcscf-mac"};

class Values {
 public:
  explicit Values(const std::vector<std::string>& words) {
    for (size_t i = 0; i < words.size(); i += 2) {
      std::string_view name = words[i];
      if (name.starts_with("--")) name.remove_prefix(2);
      if (std::find(std::begin(kKeys), std::end(kKeys), name) == std::end(kKeys)) {
        throw UsageError("mkpcap does not take its word number " + std::to_string(i + 1) +
                         " (gmespctl --help)");  // not repeated: it may be a key
      }
      if (i + 1 == words.size()) throw UsageError(std::string(name) + " has no value");
      if (!values_.emplace(name, words[i + 1]).second) {
        throw UsageError(std::string(name) + " is given twice");
      }
    }
  }

  bool has(const std::string& name) const { return values_.contains(name); }
  std::string text(const std::string& name, const char* otherwise = "") const {
    const auto found = values_.find(name);
    return found == values_.end() ? otherwise : found->second;
  }
  // Decimal or 0x..., from least to most.
  uint64_t number(const std::string& name, uint64_t otherwise, uint64_t least,
                  uint64_t most) const {
    if (!has(name)) return otherwise;
    std::string_view digits = values_.at(name);
    const bool hex = digits.starts_with("0x");
    if (hex) digits.remove_prefix(2);
    uint64_t value = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, hex ? 16 : 10);
    if (error != std::errc{} || end != digits.data() + digits.size() || value < least ||
        value > most) {
      throw UsageError(name + " is a number from " + std::to_string(least) + " to " +
                       std::to_string(most));
    }
    return value;
  }

 private:
  std::map<std::string, std::string> values_;
};

Suite suite(const Values& values) {
  const auto integrity = parse_integrity_algorithm(values.text("alg", "hmac-sha-1-96"));
  const auto encryption = parse_encryption_algorithm(values.text("ealg", "aes-cbc"));
  if (!integrity) throw UsageError("alg is hmac-md5-96, hmac-sha-1-96, aes-gmac or null");
  if (!encryption) throw UsageError("ealg is null, des-ede3-cbc, aes-cbc or aes-gcm");
  const auto found = find_suite(*integrity, *encryption);
  if (!found) throw UsageError("this pair of alg and ealg is not permitted");
  return *found;
}

MacAddress mac(const Values& values, const std::string& name, const MacAddress& otherwise) {
  if (!values.has(name)) return otherwise;
  const std::string text = values.text(name);
  MacAddress address;
  bool good = text.size() == 3 * address.size() - 1;
  for (size_t i = 0; good && i < address.size(); ++i) {
    const char* const digits = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(digits, digits + 2, address[i], 16);
    good = error == std::errc{} && end == digits + 2 && (i + 1 == address.size() || *end == ':');
  }
  if (!good) throw UsageError(name + " is six bytes in hexadecimal, 02:00:00:00:00:01");
  return address;
}

// The last eight bytes (IPv4: the last four) as a number: what counting UEs changes.
uint64_t host_part(const Address& address) {
  uint64_t number = 0;
  for (size_t i = address.is_v4() ? 12 : 8; i < 16; ++i) number = number << 8 | address.bytes[i];
  return number;
}

Address address(const Values& values, const std::string& name, bool ipv4, const char* otherwise) {
  const auto found = parse_address(values.text(name, otherwise));
  if (!found || found->is_v4() != ipv4) {
    throw UsageError(name + " is an IPv" + (ipv4 ? "4" : "6") + " address");
  }
  const uint8_t first = found->bytes[ipv4 ? 12 : 0];
  if (ipv4 ? first == 0 || first >= 224 : first == 0xff || *found == Address{}) {
    throw UsageError(name + " is a unicast address");
  }
  return *found;
}

void set_addresses(const Values& values, TrafficPlan& plan) {
  bool ipv4 = false;
  if (values.has("ip")) {
    ipv4 = values.text("ip") == "4";
    if (!ipv4 && values.text("ip") != "6") throw UsageError("ip is 4 or 6");
  } else if (values.has("ue") || values.has("pcscf")) {
    ipv4 = values.text(values.has("ue") ? "ue" : "pcscf").find(':') == std::string::npos;
  }
  plan.first_ue = address(values, "ue", ipv4, ipv4 ? "10.0.0.1" : "2001:db8:1::1");
  plan.pcscf = address(values, "pcscf", ipv4, ipv4 ? "198.51.100.1" : "2001:db8:ffff::1");
  const uint64_t first = host_part(plan.first_ue);
  const uint64_t most = ipv4 ? 0xdfffffff : std::numeric_limits<uint64_t>::max();
  if (plan.ues - 1 > most - first) throw UsageError("there are fewer addresses than ues behind ue");
  const size_t fixed_bytes = ipv4 ? 12 : 8;
  const uint64_t place = host_part(plan.pcscf) - first;
  if (std::equal(plan.pcscf.bytes.begin(), plan.pcscf.bytes.begin() + fixed_bytes,
                 plan.first_ue.bytes.begin()) &&
      place < plan.ues) {
    throw UsageError("pcscf is among the addresses of the UEs");
  }
}

TrafficPlan plan_of(const Values& values) {
  constexpr uint64_t kNumbers = std::numeric_limits<uint32_t>::max();
  TrafficPlan plan;
  if (!values.has("ues")) throw UsageError("mkpcap needs ues");
  plan.ues = static_cast<uint32_t>(values.number("ues", 0, 1, kMaxUes));
  plan.packets = values.number("packets", 0, 1, kNumbers * plan.ues);
  plan.suite = suite(values);
  plan.ip_bytes =
      static_cast<uint16_t>(values.number("bytes", plan.ip_bytes, kMinIpBytes, kMaxIpBytes));
  plan.seed = values.number("seed", 1, 0, std::numeric_limits<uint64_t>::max());
  const uint64_t rounds = (plan.packets + plan.ues - 1) / plan.ues;
  plan.last_number = static_cast<uint32_t>(values.number("seq", 0, 0, kNumbers - rounds));
  plan.first_spi = static_cast<uint32_t>(values.number("spi", plan.first_spi,
                                                       static_cast<uint64_t>(kFirstUnreservedSpi),
                                                       kNumbers + 1 - 2 * plan.ues));
  plan.ue_port = static_cast<uint16_t>(values.number("ue-port", plan.ue_port, 1, 65535));
  plan.pcscf_port = static_cast<uint16_t>(values.number("pcscf-port", plan.pcscf_port, 1, 65535));
  if (values.has("window"))
    plan.window = static_cast<uint16_t>(values.number("window", 0, 0, 1024));
  if (plan.window && *plan.window != 0 && *plan.window < 32) {
    throw UsageError("window is 0 or from 32 to 1024");
  }
  set_addresses(values, plan);
  plan.ue_mac = mac(values, "ue-mac", plan.ue_mac);
  plan.pcscf_mac = mac(values, "pcscf-mac", plan.pcscf_mac);
  return plan;
}

void write_sas(const MkpcapRequest& request, const UeTraffic& traffic, const std::string& path,
               bool at_pcscf) {
  if (path.empty()) return;
  OutputFile file(path, Readers::owner);  // keys
  for (uint32_t ue = 0; ue < request.plan.ues; ++ue) {
    if (request.in) {
      file.write(traffic.sa_command(ue, Sender::ue, at_pcscf ? Direction::in : Direction::out));
    }
    if (request.out) {
      file.write(traffic.sa_command(ue, Sender::pcscf, at_pcscf ? Direction::out : Direction::in));
    }
  }
  file.finish();
}

template <typename Batch>
void write_pcap(const std::string& path, uint64_t packets, Batch&& batch) {
  if (path.empty()) return;
  PcapFile file(path);
  for (uint64_t first = 0; first < packets; first += UeTraffic::kBatch) {
    const size_t count = std::min<uint64_t>(UeTraffic::kBatch, packets - first);
    for (const Packet& packet : batch(first, count)) file.add({packet.data, packet.length});
  }
  file.finish();
}

std::string summary(const MkpcapRequest& request, bool json) {
  const TrafficPlan& plan = request.plan;
  const size_t ip_header = plan.pcscf.is_v4() ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
  const uint64_t esp_bytes =
      plan.ip_bytes + uint64_t{esp_growth_bytes(suite_info(plan.suite), plan.ip_bytes - ip_header)};
  const uint64_t sas = uint64_t{plan.ues} * (request.in + request.out);
  if (json) {
    JsonWriter writer;
    writer.field("ues", plan.ues).field("sas", sas);
    if (plan.packets != 0) {
      writer.field("packets", plan.packets).field("ip_bytes", plan.ip_bytes);
      writer.field("esp_ip_bytes", esp_bytes);
    }
    return writer.finish() + "\n";
  }
  const std::string text = std::to_string(plan.ues) + " UEs, " + std::to_string(sas) + " SAs";
  if (plan.packets == 0) return text + "\n";
  return text + ", " + std::to_string(plan.packets) + " packets of " +
         std::to_string(plan.ip_bytes) + " bytes, as ESP " + std::to_string(esp_bytes) + "\n";
}

// Also by another name: f and ./f, a link. What is written last would be all that is there.
bool same_file(const std::string& a, const std::string& b) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (a == b || fs::equivalent(a, b, error)) return true;
  const fs::path path = fs::weakly_canonical(fs::absolute(a), error);
  return !error && path == fs::weakly_canonical(fs::absolute(b), error) && !error;
}

void refuse_one_file_twice(const MkpcapRequest& request) {
  const std::pair<const char*, const std::string&> files[] = {{"sa", request.sa},
                                                              {"peer", request.peer},
                                                              {"esp", request.esp},
                                                              {"plain", request.plain},
                                                              {"ue-plain", request.ue_plain}};
  for (const auto& [name, file] : files) {
    for (const auto& [other_name, other] : files) {
      if (name == other_name) break;
      if (file.empty() || other.empty() || !same_file(file, other)) continue;
      throw UsageError(std::string(other_name) + " and " + name + " are the same file");
    }
  }
}

}  // namespace

MkpcapRequest mkpcap_request(const std::vector<std::string>& words) {
  const Values values(words);
  MkpcapRequest request;
  request.plan = plan_of(values);
  const std::string dir = values.text("dir", "both");
  if (dir != "in" && dir != "out" && dir != "both") throw UsageError("dir is in, out or both");
  request.in = dir != "out";
  request.out = dir != "in";
  request.sa = values.text("sa");
  request.peer = values.text("peer");
  request.esp = values.text("esp");
  request.plain = values.text("plain");
  request.ue_plain = values.text("ue-plain");
  const bool captures = !request.esp.empty() || !request.plain.empty() || !request.ue_plain.empty();
  if (!captures && request.sa.empty() && request.peer.empty()) {
    throw UsageError("mkpcap needs a file to write: sa, peer, esp, plain or ue-plain");
  }
  if (captures != values.has("packets")) {
    throw UsageError(captures ? "esp, plain and ue-plain need packets"
                              : "packets needs a capture file: esp, plain or ue-plain");
  }
  if ((!request.in && !(request.esp + request.ue_plain).empty()) ||
      (!request.out && !request.plain.empty())) {
    throw UsageError("this dir leaves out the SAs of a capture file's packets");
  }
  refuse_one_file_twice(request);
  return request;
}

std::string mkpcap(const MkpcapRequest& request, bool json) {
  UeTraffic traffic(request.plan);
  write_sas(request, traffic, request.sa, true);
  write_sas(request, traffic, request.peer, false);
  const uint64_t packets = request.plan.packets;
  write_pcap(request.esp, packets,
             [&](uint64_t first, size_t count) { return traffic.from_ues(first, count); });
  write_pcap(request.plain, packets, [&](uint64_t first, size_t count) {
    return traffic.plain(Sender::pcscf, first, count);
  });
  write_pcap(request.ue_plain, packets,
             [&](uint64_t first, size_t count) { return traffic.plain(Sender::ue, first, count); });
  return summary(request, json);
}

}  // namespace gmesp
