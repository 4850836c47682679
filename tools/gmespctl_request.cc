// SPDX-License-Identifier: BSD-3-Clause
#include "tools/gmespctl_request.h"

#include <fcntl.h>
#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "control/file_descriptor.h"
#include "tools/wiping_memory.h"

namespace gmesp {
namespace {

using Buffer = rapidjson::GenericStringBuffer<rapidjson::UTF8<>, WipingAllocator>;
using Writer = rapidjson::Writer<Buffer>;

void write_string(Writer& json, std::string_view text) {
  json.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}

constexpr size_t kMaxKeyFileBytes = 4096;

// The first line. No stream: its buffer would keep the key.
std::string read_key_file(std::string_view key, const std::string& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text(kMaxKeyFileBytes, '\0');
  const ssize_t got = file ? read(file.get(), text.data(), text.size()) : -1;
  if (got < 0) {
    throw UsageError("the file of " + std::string(key) +
                     " cannot be read: " + std::strerror(errno));
  }
  const size_t end = std::min(text.find_first_of("\r\n"), static_cast<size_t>(got));
  explicit_bzero(text.data() + end, text.size() - end);
  text.resize(end);
  text.erase(text.find_last_not_of(" \t") + 1);
  if (text.empty()) throw UsageError("the file of " + std::string(key) + " has no first line");
  return text;
}

const CommandRule& command_of(const std::vector<std::string>& words, size_t& next) {
  const CommandRule* rule = nullptr;
  if (words.size() >= 2) rule = find_command(words[0] + " " + words[1]);
  next = 2;
  if (rule == nullptr && !words.empty()) {
    rule = find_command(words[0]);
    next = 1;
  }
  if (rule == nullptr) {
    throw UsageError(
        "there is no such command; there are status, sa add|delete|list|show|flush|count, stats, "
        "drops, policy list, config reload, ue register|challenge|response|ok|fail|refresh|delete|"
        "check|list|show|count|reconcile, audit on|off|status, monitor");
  }
  return *rule;
}

std::string keys_of(const CommandRule& rule) {
  std::string text = std::string(rule.words) + " takes";
  for (const KeyRule& key : rule.keys) text += " " + std::string(key.name);
  return rule.keys.empty() ? std::string(rule.words) + " takes no keys" : text;
}

void write_value(Writer& json, const KeyRule& key, const std::string& value) {
  if (holds_key(key.name) && value.starts_with('@')) {
    std::string text = read_key_file(key.name, value.substr(1));
    write_string(json, text);
    wipe_text(text);
  } else {
    write_string(json, value);
  }
}

// A list's key is given once for each of its values; all are written behind the other keys.
void write_list(Writer& json, const KeyRule& key, const std::vector<std::string>& values) {
  write_string(json, key.name);
  json.StartArray();
  for (const std::string& value : values) write_string(json, value);
  json.EndArray();
}

// Writes the pairs behind the command; answers which keys there were.
std::vector<bool> write_pairs(Writer& json, const CommandRule& rule,
                              const std::vector<std::string>& words, size_t next) {
  std::vector<bool> given(rule.keys.size());
  std::vector<std::vector<std::string>> lists(rule.keys.size());
  while (next < words.size()) {
    std::string_view name = words[next++];
    if (name.starts_with("--")) name.remove_prefix(2);
    const size_t at = find_key(rule, name);
    if (at == rule.keys.size()) {
      throw UsageError("word " + std::to_string(next) + " is no key; " + keys_of(rule));
    }
    const KeyRule& key = rule.keys[at];
    if (key.need == Need::list && next != words.size()) {
      lists[at].push_back(words[next++]);
      continue;
    }
    if (given[at]) throw UsageError(std::string(key.name) + " is given twice");
    given[at] = true;
    write_string(json, key.name);
    if (key.need == Need::flag) {
      json.Bool(true);
    } else if (next == words.size()) {
      throw UsageError(std::string(key.name) + " has no value");
    } else {
      write_value(json, key, words[next++]);
    }
  }
  for (size_t at = 0; at < lists.size(); ++at) {
    if (!lists[at].empty()) write_list(json, rule.keys[at], lists[at]);
  }
  return given;
}

}  // namespace

bool holds_key(std::string_view name) {
  if (name.starts_with("--")) name.remove_prefix(2);
  return name == "auth-key" || name == "enc-key" || name == "salt" || name == "ck" || name == "ik";
}

std::vector<std::string> split_line(std::string_view line) {
  std::vector<std::string> words;
  size_t i = 0;
  while (true) {
    while (i < line.size() && (line[i] == ' ' || line[i] == '\t' || line[i] == '\r')) ++i;
    if (i == line.size() || line[i] == '#') return words;
    std::string word;
    while (i < line.size() && line[i] != ' ' && line[i] != '\t' && line[i] != '\r') {
      if (line[i] != '"' && line[i] != '\'') {
        word += line[i++];
        continue;
      }
      const size_t end = line.find(line[i], i + 1);
      if (end == std::string_view::npos) throw UsageError("a quote has no end");
      word += line.substr(i + 1, end - i - 1);
      i = end + 1;
    }
    words.push_back(std::move(word));
  }
}

Words make_request(const std::vector<std::string>& words) {
  size_t next = 0;
  const CommandRule& rule = command_of(words, next);
  Buffer buffer;
  Writer json(buffer);
  json.StartObject();
  write_string(json, "command");
  write_string(json, rule.words);
  const std::vector<bool> given = write_pairs(json, rule, words, next);
  json.EndObject();
  for (size_t i = 0; i < rule.keys.size(); ++i) {
    if (rule.keys[i].need == Need::required && !given[i]) {
      throw UsageError(std::string(rule.words) + " needs " + std::string(rule.keys[i].name));
    }
  }
  const size_t limit = find_key(rule, "limit");
  const bool is_list = rule.command == Command::sa_list || rule.command == Command::ue_list;
  const bool all_pages = is_list && !given[limit];
  return {&rule, {buffer.GetString(), buffer.GetSize()}, all_pages};
}

std::string next_page(const std::string& record, std::string_view after) {
  rapidjson::Document request;
  request.Parse(record.data(), record.size());
  request.RemoveMember("after");
  request.AddMember("after",
                    rapidjson::Value(after.data(), static_cast<rapidjson::SizeType>(after.size()),
                                     request.GetAllocator()),
                    request.GetAllocator());
  Buffer buffer;
  Writer json(buffer);
  request.Accept(json);
  return {buffer.GetString(), buffer.GetSize()};
}

void wipe_text(std::string& text) { explicit_bzero(text.data(), text.size()); }

void wipe_words(std::vector<std::string>& words) {
  for (std::string& word : words) wipe_text(word);
  words.clear();
}

}  // namespace gmesp
