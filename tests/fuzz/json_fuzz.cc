// SPDX-License-Identifier: BSD-3-Clause
// Records of the control socket, a line of the input each, one after the other into one engine.
// `@` stands for the handle that an answer has had last, `$` for its Security header. Every record
// has one answer, which is JSON of bounded size; what is refused has changed nothing and brings no
// key back; the record is wiped.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/fuzz/control.h"
#include "tests/padded_record.h"

namespace gmesp {
namespace {

using Json = nlohmann::json;

// These may end a set although they are refused (INT-66, INT-67).
bool may_end_a_set(const std::string& record) {
  return record.find("ue challenge") != std::string::npos ||
         record.find("ue response") != std::string::npos || record.find('\\') != std::string::npos;
}

// A key, or half of one, that the record has and the answer repeats.
bool repeats_a_key(const std::string& record, const std::string& answer) {
  constexpr size_t kEnough = 12;
  size_t run = 0;
  for (size_t i = 0; i < record.size(); ++i) {
    run = std::isxdigit(static_cast<unsigned char>(record[i])) != 0 ? run + 1 : 0;
    if (run >= kEnough &&
        answer.find(record.substr(i + 1 - kEnough, kEnough)) != std::string::npos) {
      return true;
    }
  }
  return false;
}

class Fuzzer {
 public:
  explicit Fuzzer(Role role) : control_(role) {
    control_.commands.on_monitor([](EventKinds) {});
  }

  void ask(const std::string& record) ON(control_thread) {
    const ControlState before = control_.state();
    const std::string answer = answer_to(record);
    CHECK(answer.size() <= kMaxRecordBytes);
    const Json json = Json::parse(answer, nullptr, false);
    CHECK(json.is_object());
    if (json.contains("error")) {
      CHECK(is_refusal_code(json.value("code", "")));
      CHECK(!repeats_a_key(record, answer));
      CHECK(may_end_a_set(record) || control_.state() == before);
    } else if (json.contains("handle") && json["handle"].is_string()) {
      handle_ = json["handle"];
      for (const char* key : {"security-server", "security-client"}) {
        if (json.contains(key) && json[key].is_string()) header_ = json[key];
      }
    }
  }
  const std::string& handle() const { return handle_; }
  const std::string& header() const { return header_; }
  void pass(std::chrono::milliseconds time) ON(control_thread) {
    control_.now += time;
    control_.settle();
  }

 private:
  std::string answer_to(const std::string& record) ON(control_thread) {
    PaddedRecord padded(record);
    std::vector<std::string> answers;
    control_.commands.handle(padded.text(),
                             [&](const std::string& text) { answers.push_back(text); });
    CHECK(padded.is_wiped());
    control_.settle();
    CHECK(answers.size() == 1);
    return answers.front();
  }

  FuzzControl control_;
  std::string handle_ = "0x1";
  std::string header_;
};

}  // namespace

// First byte: the role. A line that begins with `+` lets as many seconds pass as it has bytes.
void run(FuzzInput input) {
  const AssumeRole role(control_thread);
  Fuzzer fuzzer(input.byte() == 'u' ? Role::ue : Role::pcscf);
  for (int lines = 0; !input.empty() && lines < 40; ++lines) {
    std::string record;
    while (!input.empty() && record.size() < kMaxRecordBytes) {
      const char c = static_cast<char>(input.byte());
      if (c == '\n') break;
      if (c == '@') {
        record += fuzzer.handle();
      } else if (c == '$') {
        record += fuzzer.header();
      } else {
        record += c;
      }
    }
    record.resize(std::min(record.size(), kMaxRecordBytes));
    if (record.starts_with('+')) {
      fuzzer.pass(std::chrono::seconds(record.size() * record.size()));
    } else {
      fuzzer.ask(record);
    }
  }
}

}  // namespace gmesp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz_one(data, size);
}
