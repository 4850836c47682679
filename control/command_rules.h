// SPDX-License-Identifier: BSD-3-Clause
// The commands and the keys each takes: one list, read by gmespd to judge a request and by gmespctl
// to turn words into one.
#pragma once

#include <algorithm>
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
  drops,
  policy_list,
  config_reload,
  ue_register,
  ue_challenge,
  ue_response,
  ue_ok,
  ue_fail,
  ue_refresh,
  ue_delete,
  ue_check,
  ue_list,
  ue_show,
  ue_count,
  ue_reconcile,
  audit_on,
  audit_off,
  audit_status,
  monitor
};

enum class Need : uint8_t {
  required,
  optional,
  flag,  // no value: present or not
  list   // optional; several strings
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
inline constexpr KeyRule kUeRegister[] = {
    {"ue", Need::required},   {"pcscf", Need::required},           {"impi", Need::required},
    {"impu", Need::list},     {"security-client", Need::optional}, {"contact", Need::optional},
    {"over", Need::optional}, {"security-verify", Need::optional}, {"selector", Need::optional},
};
inline constexpr KeyRule kUeChallenge[] = {{"handle", Need::required},
                                           {"ck", Need::required},
                                           {"ik", Need::required},
                                           {"security-server", Need::optional}};
inline constexpr KeyRule kUeResponse[] = {{"handle", Need::required},
                                          {"security-verify", Need::required},
                                          {"security-client", Need::required}};
inline constexpr KeyRule kUeOk[] = {
    {"handle", Need::required}, {"expires", Need::required}, {"impu", Need::list}};
inline constexpr KeyRule kUeRefresh[] = {{"handle", Need::required}, {"expires", Need::required}};
inline constexpr KeyRule kUeFail[] = {{"handle", Need::required}, {"reason", Need::required}};
inline constexpr KeyRule kUeDelete[] = {
    {"handle", Need::required}, {"only", Need::flag}, {"now", Need::flag}};
inline constexpr KeyRule kUeCheck[] = {{"ue", Need::required},         {"ue-port", Need::required},
                                       {"pcscf-port", Need::optional}, {"impi", Need::optional},
                                       {"impu", Need::optional},       {"contact", Need::optional}};
inline constexpr KeyRule kUeList[] = {{"ue", Need::optional},
                                      {"impi", Need::optional},
                                      {"state", Need::optional},
                                      {"limit", Need::optional},
                                      {"after", Need::optional}};
inline constexpr KeyRule kUeShow[] = {{"handle", Need::required}};
inline constexpr KeyRule kUeReconcile[] = {{"session", Need::optional},
                                           {"handles", Need::list},
                                           {"finish", Need::flag},
                                           {"grace", Need::optional}};
inline constexpr KeyRule kMonitor[] = {
    {"sa", Need::flag}, {"ue", Need::flag}, {"drop", Need::flag}, {"audit", Need::flag}};
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
    {Command::policy_list, "policy list", {}},
    {Command::config_reload, "config reload", {}},
    {Command::ue_register, "ue register", command_keys::kUeRegister},
    {Command::ue_challenge, "ue challenge", command_keys::kUeChallenge},
    {Command::ue_response, "ue response", command_keys::kUeResponse},
    {Command::ue_ok, "ue ok", command_keys::kUeOk},
    {Command::ue_fail, "ue fail", command_keys::kUeFail},
    {Command::ue_refresh, "ue refresh", command_keys::kUeRefresh},
    {Command::ue_delete, "ue delete", command_keys::kUeDelete},
    {Command::ue_check, "ue check", command_keys::kUeCheck},
    {Command::ue_list, "ue list", command_keys::kUeList},
    {Command::ue_show, "ue show", command_keys::kUeShow},
    {Command::ue_count, "ue count", {}},
    {Command::ue_reconcile, "ue reconcile", command_keys::kUeReconcile},
    {Command::audit_on, "audit on", {}},
    {Command::audit_off, "audit off", {}},
    {Command::audit_status, "audit status", {}},
    {Command::monitor, "monitor", command_keys::kMonitor},
};

constexpr size_t most_keys() {
  size_t most = 0;
  for (const CommandRule& rule : kCommandRules) most = std::max(most, rule.keys.size());
  return most;
}
inline constexpr size_t kMaxKeys = most_keys();

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
