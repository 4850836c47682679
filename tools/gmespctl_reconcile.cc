// SPDX-License-Identifier: BSD-3-Clause
#include "tools/gmespctl_reconcile.h"

#include <algorithm>
#include <span>

#include "tools/gmespctl_print.h"
#include "tools/gmespctl_request.h"
#include "tools/gmespctl_table.h"

namespace gmesp {
namespace {

// A request and its answer stay below a record, whatever is missing.
constexpr size_t kHandlesAtOnce = 1000;

bool is_handle(std::string_view text) {
  return text.size() > 2 && text.size() <= 18 && text.starts_with("0x") &&
         text.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string_view::npos;
}

// True: a list that goes on behind this page.
bool add_from_json(const std::string& line, std::vector<std::string>& handles) {
  rapidjson::Document json;
  json.Parse(line.data(), line.size());
  if (json.HasParseError() || !json.IsObject()) throw BadAnswer("not JSON");
  if (json.HasMember("handle")) {
    handles.push_back(text(json, "handle"));
    return false;
  }
  for (const Json& set : array(json, "sets").GetArray()) handles.push_back(text(set, "handle"));
  return json.HasMember("after");
}

std::vector<std::string> request_words(const std::string& session,
                                       std::span<const std::string> handles) {
  std::vector<std::string> words{"ue", "reconcile"};
  if (!session.empty()) words.insert(words.end(), {"session", session});
  for (const std::string& handle : handles) words.insert(words.end(), {"handles", handle});
  return words;
}

std::vector<std::string> finish_words(std::vector<std::string> words,
                                      const std::vector<std::string>& more) {
  words.emplace_back("finish");
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

}  // namespace

std::vector<std::string> read_handles(std::istream& lines) {
  std::vector<std::string> handles;
  size_t number = 0;
  bool goes_on = false;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const std::string bad = "line " + std::to_string(number) + " is no handle and has none";
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (line.empty()) continue;
    const size_t before = handles.size();
    try {
      goes_on = false;
      if (line[0] == '{') {
        goes_on = add_from_json(line, handles);
      } else {
        handles.push_back(line);
      }
    } catch (const BadAnswer&) {
      throw UsageError(bad);
    }
    if (!std::all_of(handles.begin() + static_cast<ptrdiff_t>(before), handles.end(), is_handle)) {
      throw UsageError(bad);
    }
  }
  if (goes_on) throw UsageError("the list on standard input goes on: its last page is missing");
  if (handles.empty()) {
    throw UsageError("no handle on standard input; to delete every set: sa flush all");
  }
  return handles;
}

void reconcile(const std::vector<std::string>& words, const std::vector<std::string>& handles,
               Session& session, const std::string& answer) {
  make_request(finish_words({"ue", "reconcile"}, words));  // wrong words: nothing is begun
  std::string number;
  for (size_t at = 0; at < handles.size(); at += kHandlesAtOnce) {
    const size_t size = std::min(kHandlesAtOnce, handles.size() - at);
    std::vector<std::string> page = request_words(number, std::span(handles).subspan(at, size));
    if (at + size == handles.size()) page = finish_words(std::move(page), words);
    session.run_one(make_request(page));
    if (!refusal_of(answer).empty()) return;
    number = text(parse_answer(answer), "session");
  }
}

}  // namespace gmesp
