// SPDX-License-Identifier: BSD-3-Clause
// From the words of a command to the record that gmespd takes.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "control/command_rules.h"

namespace gmesp {

// The words make no command; what() never repeats a value: it may be a key in the wrong place.
struct UsageError : std::runtime_error {
  using runtime_error::runtime_error;
};

struct Words {
  const CommandRule* rule = nullptr;
  std::string record;         // JSON; wipe_text() when it has been sent
  bool follow_pages = false;  // a list without a limit
};

// Whether the word is a key's name, with or without --: the next one is secret.
bool holds_key(std::string_view name);

// Words between blanks; '...' and "..." hold blanks together; # begins a comment.
std::vector<std::string> split_line(std::string_view line);

// NOUN [VERB] [key value]... Reads @FILE of keys. Throws UsageError.
Words make_request(const std::vector<std::string>& words);
// The page of a list behind `after`, for the same request.
std::string next_page(const std::string& record, std::string_view after);

// Earlier than their memory is (wiping_memory.h): a session may last.
void wipe_text(std::string& text);
void wipe_words(std::vector<std::string>& words);

}  // namespace gmesp
