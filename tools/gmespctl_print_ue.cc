// SPDX-License-Identifier: BSD-3-Clause
#include "tools/gmespctl_print_ue.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <vector>

namespace gmesp {
namespace {

std::string seconds(const Json& json, const char* key) {
  const auto member = json.FindMember(key);
  if (member == json.MemberEnd() || !member->value.IsUint64()) return "-";
  return std::to_string(member->value.GetUint64() / 1000);
}

// What the SIP layer is to send, and what was agreed.
std::string call_answer(const Json& json) {
  std::string out = text(json, "done") + " " + text(json, "handle") + "\n";
  constexpr std::array<std::array<const char*, 2>, 3> kHeaders{{
      {"security-server", "Security-Server"},
      {"security-client", "Security-Client"},
      {"security-verify", "Security-Verify"},
  }};
  for (const auto& [key, header] : kHeaders) {
    if (json.HasMember(key)) out += std::string(header) + ": " + text(json, key) + "\n";
  }
  if (json.HasMember("alg")) {
    out += "alg " + text(json, "alg") + ", ealg " + text(json, "ealg") + "\n";
  }
  if (json.HasMember("encrypted")) {
    out += "integrity-protected " + text(json, "integrity-protected") + ", encrypted " +
           text(json, "encrypted") + "\n";
  }
  return out;
}

std::string list(const Json& json, const Session::Page& page) {
  std::vector<Row> rows;
  if (page.first) {
    rows.push_back({"handle", "state", "in_use", "ue", "port_c", "port_s", "pcscf_c", "alg", "ealg",
                    "age_s", "left_s", "impi"});
  }
  for (const Json& set : array(json, "sets").GetArray()) {
    rows.push_back({text(set, "handle"), text(set, "state"), text(set, "in_use"), text(set, "ue"),
                    text(set, "ue_port_c"), text(set, "ue_port_s"), text(set, "pcscf_port_c"),
                    text(set, "alg"), text(set, "ealg"), seconds(set, "age_ms"),
                    seconds(set, "left_ms"), text(set, "impi")});
  }
  return page.followed ? table(rows) : table(rows) + more_after(json);
}

std::string show(const Json& json) {
  std::string out = facts(json);
  for (const Json& impu : array(json, "impus").GetArray()) out += "impu  " + text(impu) + "\n";
  const Json& sas = array(json, "sas");
  if (sas.Empty()) return out + "no SAs\n";
  return out + "\n" +
         table_of(sas,
                  {"dir", "spi", "sport", "dport", "packets", "bytes", "idle_ms", "replayed",
                   "icv_failures", "selector_mismatches"},
                  true);
}

std::string count(const Json& json) {
  return text(json, "registrations") + " registrations, " + text(json, "total") +
         " sets: " + text(json, "offered") + " offered, " + text(json, "temporary") +
         " temporary, " + text(json, "established") + " established, " + text(json, "old") +
         " old\n";
}

std::string reconcile(const Json& json) {
  std::string out;
  for (const Json& handle : array(json, "missing").GetArray()) {
    out += "missing " + text(handle) + "\n";
  }
  if (json.HasMember("orphans")) {
    return out + text(json, "orphans") + " sets were not named: they go after the grace\n";
  }
  return out + "session " + text(json, "session") + "\n";
}

// when_ms counts from an unknown moment, on the clock that steady_clock reads in this machine.
std::string time_of_day(const Json& json) {
  using std::chrono::milliseconds;
  const auto member = json.FindMember("when_ms");
  if (member == json.MemberEnd() || !member->value.IsInt64()) return "";
  const auto age =
      std::chrono::steady_clock::now().time_since_epoch() - milliseconds(member->value.GetInt64());
  const auto when = std::chrono::duration_cast<milliseconds>(
      (std::chrono::system_clock::now() - age).time_since_epoch());
  const std::time_t second = when.count() / 1000;
  std::tm local{};
  localtime_r(&second, &local);
  char text[32];
  std::snprintf(text, sizeof text, "%02d:%02d:%02d.%03d ", local.tm_hour, local.tm_min,
                local.tm_sec, static_cast<int>(when.count() % 1000));
  return text;
}

}  // namespace

std::string readable_ue(Command command, const Json& json, const Session::Page& page) {
  switch (command) {
    case Command::ue_list:
      return list(json, page);
    case Command::ue_show:
      return show(json);
    case Command::ue_count:
      return count(json);
    case Command::ue_check:
      return facts(json);
    case Command::ue_reconcile:
      return reconcile(json);
    case Command::monitor:
      return "";
    default:
      return call_answer(json);
  }
}

namespace {

std::string audit_event(const Json& json) {
  std::string line = "audit " + text(json, "reason") + " " + text(json, "dir");
  for (const char* key : {"spi", "sequence", "src", "dst", "flow_label", "worker"}) {
    if (json.HasMember(key)) line += std::string(" ") + key + " " + text(json, key);
  }
  return line + " " + text(json, "time");
}

}  // namespace

std::string readable_event(const std::string& record) {
  const rapidjson::Document json = parse_answer(record);
  const std::string event = text(json, "event");
  std::string line = time_of_day(json);
  if (event == "audit") {
    line += audit_event(json);
  } else if (json.HasMember("handle")) {
    line += "ue " + text(json, "handle") + " " + event + ", " + text(json, "state");
  } else if (json.HasMember("spi")) {
    line += "sa " + text(json, "dir") + " " + text(json, "spi") + " " + event;
  } else if (event == "drop") {
    line += "drop " + text(json, "reason") + " " + text(json, "count");
  } else {
    line += event + ", " + text(json, "lost") + " events lost";
  }
  return line + "\n";
}

}  // namespace gmesp
