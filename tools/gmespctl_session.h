// SPDX-License-Identifier: BSD-3-Clause
// gmespctl's side of the control socket: sends commands without waiting for the answers of those
// before, and hands out the answers in the order of the commands.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "control/file_descriptor.h"
#include "tools/gmespctl_request.h"

namespace gmesp {

enum class ExitStatus : int {
  done = 0,
  refused = 1,
  usage = 2,
  no_daemon = 3,
  timed_out = 4,
  not_permitted = 5
};

// The session is over.
struct SessionError : std::runtime_error {
  SessionError(ExitStatus exit_status, const std::string& what)
      : runtime_error(what), status(exit_status) {}
  ExitStatus status;
};

class Session {
 public:
  // Of a list; what is no list is one page.
  struct Page {
    bool first = true;
    bool followed = false;  // the next one is asked for without the user
  };
  // line: 0 for a command of the argument list. answer: one JSON object; error: ours, no JSON.
  struct Result {
    const CommandRule* rule = nullptr;  // nullptr: the line was no command
    size_t line = 0;
    std::string text;
    bool usage_error = false;
    Page page;
    bool event = false;  // answers nothing: a monitor's
  };
  using Printer = std::function<void(const Result&)>;

  // follow_pages: a list without a limit goes on until its end.
  Session(const std::string& socket, std::chrono::milliseconds timeout, bool follow_pages,
          Printer print);

  // Both return when all is answered, or gmespd has no place for us; after `monitor` they go on
  // until it hangs up.
  void run_one(Words words);
  // One command a line, until the end of the file.
  void run_file(int fd);

 private:
  // A command on its way, or our own answer in its place.
  struct Pending {
    Result result;
    std::string record;     // of a list whose next pages are to follow
    bool answered = false;  // by us: waits for its turn only
  };

  void submit(const Words& words, size_t line, bool first_page = true);
  void answer_ourselves(Result result);
  void read_input(int fd);
  void take_lines();
  void take_line(std::string_view line);
  bool may_take_input() const;
  // Waits for the socket, and for `input` when it is not -1, and does what can be done.
  void exchange(int input);
  void send_some();
  void receive_some();
  void on_answer(std::string text);
  bool waits_to_monitor() const;
  void on_turned_away(std::string answer);
  void end_turned_away();
  void follow(const Pending& pending);
  void print_ready();
  void on_hang_up();

  FileDescriptor socket_;
  std::chrono::milliseconds timeout_;
  bool follow_pages_;
  Printer print_;
  std::deque<Pending> pending_;
  std::deque<std::string> unsent_;
  size_t unanswered_ = 0;
  std::chrono::steady_clock::time_point deadline_{};  // of the next answer
  bool barrier_ = false;  // a list whose pages are followed: what comes after waits
  bool monitoring_ = false;
  bool place_refused_ = false;  // by the last record; to monitor only, unless gmespd hangs up
  bool turned_away_ = false;    // gmespd has no place for us: nothing more is answered
  bool input_open_ = true;
  std::string input_;
  size_t lines_ = 0;
};

}  // namespace gmesp
