// SPDX-License-Identifier: BSD-3-Clause
#include "tools/gmespctl_print.h"

#include <rapidjson/document.h>

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace gmesp {
namespace {

using Json = rapidjson::Value;

rapidjson::Document parse(const std::string& answer) {
  rapidjson::Document json;
  json.Parse(answer.data(), answer.size());
  if (!json.IsObject()) throw BadAnswer("the answer is not a JSON object: is this gmespd?");
  return json;
}

std::string text(const Json& value) {
  if (value.IsString()) return value.GetString();
  if (value.IsUint64()) return std::to_string(value.GetUint64());
  if (value.IsBool()) return value.GetBool() ? "yes" : "no";
  return "";
}

// A key that is not there reads as "-".
std::string text(const Json& object, const char* key) {
  if (!object.IsObject()) throw BadAnswer("a row of the answer is not a JSON object");
  const auto member = object.FindMember(key);
  return member == object.MemberEnd() ? "-" : text(member->value);
}

const Json& member(const Json& object, const char* key, rapidjson::Type type) {
  const auto found = object.IsObject() ? object.FindMember(key) : object.MemberEnd();
  if (found == object.MemberEnd() || found->value.GetType() != type) {
    throw BadAnswer(std::string("the answer lacks ") + key + ": is this gmespd?");
  }
  return found->value;
}

const Json& array(const Json& object, const char* key) {
  return member(object, key, rapidjson::kArrayType);
}

const Json& object(const Json& parent, const char* key) {
  return member(parent, key, rapidjson::kObjectType);
}

using Row = std::vector<std::string>;

bool is_number(std::string_view cell) {
  return cell == "-" || cell.find_first_not_of("0123456789") == std::string_view::npos;
}

// Columns as wide as their widest cell, numbers to the right.
std::string table(const std::vector<Row>& rows) {
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const size_t space = widths[i] - row[i].size();
      if (i != 0) line.append("  ");
      if (is_number(row[i]))
        line.append(space, ' ').append(row[i]);
      else
        line.append(row[i]).append(space, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out.append(line).append("\n");
  }
  return out;
}

// One row for each object of the array; the columns are its keys.
std::string table_of(const Json& array, std::initializer_list<const char*> columns, bool head) {
  std::vector<Row> rows;
  if (head) rows.emplace_back(columns.begin(), columns.end());
  for (const Json& object : array.GetArray()) {
    Row row;
    for (const char* column : columns) row.push_back(text(object, column));
    rows.push_back(std::move(row));
  }
  return table(rows);
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
  out += table_of(array(json, "workers"), {"worker", "core", "idle", "instruction_set"}, true);
  out += "\nSAs: " + text(json, "sas_in") + " in, " + text(json, "sas_out") + " out, capacity " +
         text(json, "capacity") + " each\n";
  out += "hugepages: " + text(json, "hugepages") +
         "; keys locked in memory: " + text(json, "keys_locked") + "\n";
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
  for (const Json& worker : array(json, "workers").GetArray()) {
    add_stats_rows(ports, text(worker, "worker"), worker);
    add_path_row(paths, text(worker, "worker"), worker);
  }
  add_stats_rows(ports, "total", object(json, "total"));
  add_path_row(paths, "total", object(json, "total"));
  return table(ports) + "\n" + table(paths);
}

std::string drops(const Json& json) {
  const Json& rows = array(json, "drops");
  const bool explained = !rows.Empty() && text(rows[0], "meaning") != "-";
  const std::string out = explained
                              ? table_of(rows, {"reason", "count", "reference", "meaning"}, true)
                              : table_of(rows, {"reason", "count"}, true);
  return out + "\ntotal " + text(json, "total") + "\n";
}

std::string sa_list(const Json& json, const Session::Page& page) {
  std::string out = table_of(array(json, "sas"),
                             {"dir", "spi", "src", "sport", "dst", "dport", "proto", "alg", "ealg",
                              "window", "worker", "state", "used"},
                             page.first);
  if (!page.followed && json.HasMember("after")) out += "more: after " + text(json, "after") + "\n";
  return out;
}

// Every key on its line.
std::string facts(const Json& json) {
  std::vector<Row> rows;
  for (const auto& member : json.GetObject()) {
    // The blank keeps numbers to the left, below each other with the rest.
    rows.push_back({member.name.GetString(), std::string(" ").append(text(member.value))});
  }
  return table(rows);
}

}  // namespace

std::string refusal_of(const std::string& answer) {
  const rapidjson::Document json = parse(answer);
  if (!json.HasMember("error")) return "";
  return text(json, "error") + " (" + text(json, "code") + ")";
}

std::string readable(Command command, const std::string& answer, const Session::Page& page) {
  const rapidjson::Document json = parse(answer);
  switch (command) {
    case Command::status:
      return status(json);
    case Command::sa_add:
    case Command::sa_delete:
      return text(json, "done") + " " + text(json, "dir") + " " + text(json, "spi") + "\n";
    case Command::sa_flush:
      return text(json, "deleted") + " SAs deleted\n";
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
  }
  return answer + "\n";
}

}  // namespace gmesp
