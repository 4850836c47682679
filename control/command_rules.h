// SPDX-License-Identifier: BSD-3-Clause
// The commands and the keys each takes: one list, read by gmespd to judge a request and by gmespctl
// to turn words into one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string_view>

namespace gmesp {

// A request and an answer is one record of the control socket.
inline constexpr size_t kMaxRecordBytes = 65536;
inline constexpr std::string_view kDefaultSocket = "/run/gmesp/gmespd.sock";

enum class Command : uint8_t {
  status,
  sa_add,
  sa_delete,
  sa_list,
  sa_show,
  sa_flush,
  sa_count,
  stats,
  drops
};

enum class Need : uint8_t {
  required,
  optional,
  flag  // no value: present or not
};

struct KeyRule {
  std::string_view name;
  Need need;
};

struct CommandRule {
  Command command;
  std::string_view words;
  std::span<const KeyRule> keys;
};

namespace command_keys {
inline constexpr KeyRule kSaAdd[] = {
    {"dir", Need::required},    {"spi", Need::required},     {"src", Need::required},
    {"dst", Need::required},    {"proto", Need::required},   {"sport", Need::optional},
    {"dport", Need::optional},  {"alg", Need::required},     {"auth-key", Need::optional},
    {"ealg", Need::required},   {"enc-key", Need::optional}, {"salt", Need::optional},
    {"window", Need::optional}, {"seq", Need::optional},
};
inline constexpr KeyRule kSaName[] = {
    {"dir", Need::required}, {"spi", Need::required}, {"dst", Need::optional}};
inline constexpr KeyRule kSaList[] = {{"dir", Need::optional},
                                      {"ue", Need::optional},
                                      {"spi", Need::optional},
                                      {"limit", Need::optional},
                                      {"after", Need::optional}};
inline constexpr KeyRule kSaFlush[] = {{"all", Need::flag}};
inline constexpr KeyRule kStats[] = {{"core", Need::optional}};
inline constexpr KeyRule kDrops[] = {{"explain", Need::flag}};
}  // namespace command_keys

inline constexpr CommandRule kCommandRules[] = {
    {Command::status, "status", {}},
    {Command::sa_add, "sa add", command_keys::kSaAdd},
    {Command::sa_delete, "sa delete", command_keys::kSaName},
    {Command::sa_list, "sa list", command_keys::kSaList},
    {Command::sa_show, "sa show", command_keys::kSaName},
    {Command::sa_flush, "sa flush", command_keys::kSaFlush},
    {Command::sa_count, "sa count", {}},
    {Command::stats, "stats", command_keys::kStats},
    {Command::drops, "drops", command_keys::kDrops},
};
inline constexpr size_t kMaxKeys = std::size(command_keys::kSaAdd);

constexpr const CommandRule* find_command(std::string_view words) {
  for (const CommandRule& rule : kCommandRules) {
    if (rule.words == words) return &rule;
  }
  return nullptr;
}

// Position in rule.keys; rule.keys.size() when the command does not take the key.
constexpr size_t find_key(const CommandRule& rule, std::string_view name) {
  size_t i = 0;
  while (i < rule.keys.size() && rule.keys[i].name != name) ++i;
  return i;
}

}  // namespace gmesp
