// SPDX-License-Identifier: BSD-3-Clause
#include "tools/gmespctl_print.h"

#include <vector>

#include "tools/gmespctl_print_ue.h"
#include "tools/gmespctl_table.h"

namespace gmesp {
namespace {

std::string sets(const Json& json) {
  std::string out = "SA sets: " + text(json, "total");
  for (const char* state : {"offered", "temporary", "established", "old"}) {
    out += ", " + text(json, state) + " " + state;
  }
  return out + "; of " + text(json, "registrations") + " registrations, capacity " +
         text(json, "capacity") + "\nSPIs: " + text(json, "spis_resting") + " rest, " +
         text(json, "spis_let_go_early") + " were let go early\n";
}

std::string rings(const Json& json) {
  return "rings: " + text(json, "connected") + " connected, " + text(json, "commands") +
         " commands, " + text(json, "refused") + " refused; " + text(json, "events_lost") +
         " events lost; " + text(json, "turned_away") + " clients turned away, " +
         text(json, "thrown_out") + " thrown out\n";
}

std::string words(const Json& list) {
  std::string out = "reasons:";
  for (const Json& word : list.GetArray()) out.append(" ").append(text(word));
  return out;
}

std::string audit(const Json& json) {
  return std::string("audit: enabled ") + text(json, "enabled") + "; " + text(json, "recorded") +
         " recorded, " + text(json, "left_out") + " left out, " + text(json, "lost") + " lost\n";
}

std::string status(const Json& json) {
  std::string out = "gmespd " + text(json, "version") + ", role " + text(json, "role") + ", up " +
                    text(json, "uptime_s") + " s\n\n";
  out +=
      table_of(array(json, "ports"),
               {"port", "driver", "device", "mac", "link", "mtu", "rx_queues", "tx_queues"}, true);
  out += "\n";
  out += table_of(
      array(json, "ports"),
      {"port", "rx_landed_right", "rx_steered", "rx_hash_compared", "rx_hash_mismatches", "rss"},
      true);
  out += "\n";
  out += table_of(array(json, "ports"),
                  {"port", "rx_missed", "rx_no_buffer", "rx_errors", "tx_errors"}, true);
  out += "\n";
  out += table_of(array(json, "workers"), {"worker", "core", "idle", "instruction_set"}, true);
  out += "\nSAs: " + text(json, "sas_in") + " in, " + text(json, "sas_out") + " out, capacity " +
         text(json, "capacity") + " each\n";
  out += sets(object(json, "sets")) + rings(object(json, "rings"));
  out += audit(object(json, "audit"));
  out += "hugepages: " + text(json, "hugepages") +
         "; keys locked in memory: " + text(json, "keys_locked") +
         ", all: " + text(json, "memory_locked") + "\nuser: " + text(json, "user") +
         "; system calls restricted: " + text(json, "seccomp") + "\n";
  for (const Json& warning : array(json, "warnings").GetArray()) {
    out += "warning: " + text(warning, "warning") + "\n";
  }
  return out;
}

void add_stats_rows(std::vector<Row>& rows, const std::string& worker, const Json& counters) {
  for (const char* port : {"access", "host"}) {
    const Json& in_out = object(counters, port);
    rows.push_back({worker, port, text(in_out, "rx_packets"), text(in_out, "rx_bytes"),
                    text(in_out, "tx_packets"), text(in_out, "tx_bytes")});
  }
}

void add_fragments_row(std::vector<Row>& rows, const Json& total) {
  Row row{""};
  for (size_t i = 1; i < rows[0].size(); ++i) row.push_back(text(total, rows[0][i].c_str()));
  rows.push_back(std::move(row));
}

void add_path_row(std::vector<Row>& rows, const std::string& worker, const Json& counters) {
  Row row{worker};
  for (const char* key :
       {"protected_in", "protected_out", "bypassed_in", "bypassed_out", "dropped", "steered"}) {
    row.push_back(text(counters, key));
  }
  rows.push_back(std::move(row));
}

std::string stats(const Json& json) {
  std::vector<Row> ports{{"worker", "port", "rx_packets", "rx_bytes", "tx_packets", "tx_bytes"}};
  std::vector<Row> paths{{"worker", "protected_in", "protected_out", "bypassed_in", "bypassed_out",
                          "dropped", "steered"}};
  std::vector<Row> fragments{{"total", "fragments_held", "fragments_joined", "datagrams_joined",
                              "packets_fragmented", "fragments_made", "answers_made"}};
  for (const Json& worker : array(json, "workers").GetArray()) {
    add_stats_rows(ports, text(worker, "worker"), worker);
    add_path_row(paths, text(worker, "worker"), worker);
  }
  add_stats_rows(ports, "total", object(json, "total"));
  add_path_row(paths, "total", object(json, "total"));
  add_fragments_row(fragments, object(json, "total"));
  return table(ports) + "\n" + table(paths) + "\n" + table(fragments);
}

std::string drops(const Json& json) {
  const Json& rows = array(json, "drops");
  const bool explained = !rows.Empty() && text(rows[0], "meaning") != "-";
  const std::string out = explained
                              ? table_of(rows, {"reason", "count", "reference", "meaning"}, true)
                              : table_of(rows, {"reason", "count"}, true);
  return out + "\ntotal " + text(json, "total") + "\n";
}

std::string joined(const Json& rule, const char* key, std::string out, const char* before) {
  if (!rule.HasMember(key)) return out;
  const char* between = before;
  for (const Json& element : array(rule, key).GetArray()) {
    out.append(between).append(text(element));
    between = ",";
  }
  return out;
}

// "192.0.2.0/24,2001:db8::1 port 5060,5070-5079"; "-": all.
std::string side(const Json& rule, const char* prefixes, const char* ports) {
  std::string out = joined(rule, prefixes, "", "");
  out = joined(rule, ports, out, out.empty() ? "port " : " port ");
  return out.empty() ? "-" : out;
}

std::string policy_list(const Json& json) {
  std::vector<Row> rows{{"name", "match", "dir", "local", "remote", "rate", "per_source", "action",
                         "hits", "limited"}};
  for (const Json& check : array(json, "checks").GetArray()) {
    rows.push_back({text(check, "check"), "-", text(check, "direction"), "-", "-", "-", "-", "drop",
                    text(check, "hits"), "-"});
  }
  for (const Json& rule : array(json, "rules").GetArray()) {
    rows.push_back({text(rule, "name"), text(rule, "match"), text(rule, "direction"),
                    side(rule, "local", "local_ports"), side(rule, "remote", "remote_ports"),
                    text(rule, "rate"), text(rule, "rate_per_source"), text(rule, "action"),
                    text(rule, "hits"), text(rule, "limited")});
  }
  const Json& rest = object(json, "default");
  rows.push_back(
      {"default", "-", "both", "-", "-", "-", "-", text(rest, "action"), text(rest, "hits"), "-"});
  std::string out = table(rows) + "\n";
  for (const char* key : {"own_prefixes", "reachable"}) {
    out.append(key).append(": ");
    out.append(json.HasMember(key) ? joined(json, key, "", "") : "-").append("\n");
  }
  return out;
}

std::string reloaded(const Json& json) {
  std::string out = text(json, "rules") + " rules in use\n";
  for (const Json& warning : array(json, "warnings").GetArray()) out += text(warning) + "\n";
  return out;
}

std::string sa_list(const Json& json, const Session::Page& page) {
  const std::string out = table_of(array(json, "sas"),
                                   {"dir", "spi", "src", "sport", "dst", "dport", "proto", "alg",
                                    "ealg", "window", "worker", "state", "used"},
                                   page.first);
  return page.followed ? out : out + more_after(json);
}

}  // namespace

std::string refusal_of(const std::string& answer) {
  const rapidjson::Document json = parse_answer(answer);
  if (!json.HasMember("error")) return "";
  return text(json, "error") + " (" + text(json, "code") + ")";
}

std::string readable(Command command, const std::string& answer, const Session::Page& page) {
  const rapidjson::Document json = parse_answer(answer);
  switch (command) {
    case Command::status:
      return status(json);
    case Command::audit_on:
    case Command::audit_off:
      return "audit " + text(json, "done") + "\n";
    case Command::audit_status:
      return facts(json) + "\n" + words(array(json, "reasons")) + "\n";
    case Command::sa_add:
    case Command::sa_delete:
      return text(json, "done") + " " + text(json, "dir") + " " + text(json, "spi") + "\n";
    case Command::sa_flush:
      return text(json, "deleted") + " SAs" +
             (json.HasMember("sets") ? " and " + text(json, "sets") + " sets" : "") + " deleted\n";
    case Command::sa_list:
      return sa_list(json, page);
    case Command::sa_show:
      return facts(json);
    case Command::sa_count:
      return text(json, "in") + " in, " + text(json, "out") + " out\n";
    case Command::stats:
      return stats(json);
    case Command::drops:
      return drops(json);
    case Command::policy_list:
      return policy_list(json);
    case Command::config_reload:
      return reloaded(json);
    default:
      return readable_ue(command, json, page);
  }
}

}  // namespace gmesp
