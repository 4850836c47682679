// SPDX-License-Identifier: BSD-3-Clause
#include "tools/gmespctl_session.h"

#include <fcntl.h>
#include <poll.h>
#include <rapidjson/document.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "control/json_writer.h"
#include "control/refusal.h"

namespace gmesp {
namespace {

// Commands on their way: enough that gmespd never waits for us.
constexpr size_t kWindow = 128;
constexpr size_t kInputBytes = 65536;

FileDescriptor connect_to(const std::string& path, std::chrono::milliseconds timeout) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    throw SessionError(ExitStatus::usage, "the socket's path is too long");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  FileDescriptor fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  // Bounds the wait for a daemon that does not accept.
  const timeval wait{timeout.count() / 1000, timeout.count() % 1000 * 1000};
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    fcntl(fd.get(), F_SETFL, O_NONBLOCK);
    return fd;
  }
  if (errno == EACCES || errno == EPERM) {
    throw SessionError(ExitStatus::not_permitted,
                       "no permission for " + path + ": be root or in the socket's group");
  }
  if (errno == EAGAIN) throw SessionError(ExitStatus::timed_out, "gmespd does not accept");
  throw SessionError(ExitStatus::no_daemon, "no gmespd at " + path + ": " + std::strerror(errno));
}

bool refuses_place(const rapidjson::Document& json) {
  if (!json.IsObject() || !json.HasMember("code") || !json["code"].IsString()) return false;
  const std::string_view code = json["code"].GetString();
  return code == refusal_info(Refusal::too_many_connections).code ||
         code == refusal_info(Refusal::not_permitted).code;
}

}  // namespace

Session::Session(const std::string& socket, std::chrono::milliseconds timeout, bool follow_pages,
                 Printer print)
    : socket_(connect_to(socket, timeout)),
      timeout_(timeout),
      follow_pages_(follow_pages),
      print_(std::move(print)) {}

void Session::run_one(Words words) {
  submit(words, 0);
  wipe_text(words.record);
  while (!turned_away_ && (!pending_.empty() || monitoring_)) exchange(-1);
}

void Session::run_file(int fd) {
  while (!turned_away_) {
    take_lines();
    if (!input_open_ && input_.empty() && pending_.empty() && !monitoring_) return;
    exchange(input_open_ && may_take_input() ? fd : -1);
  }
}

bool Session::may_take_input() const { return !barrier_ && pending_.size() < kWindow; }

void Session::submit(const Words& words, size_t line, bool first_page) {
  if (words.record.size() > kMaxRecordBytes) {
    const std::string refusal = refusal_answer(Refused(Refusal::too_long));
    return answer_ourselves({words.rule, line, refusal, false, {}, false});
  }
  Pending pending;
  pending.result.rule = words.rule;
  pending.result.line = line;
  pending.result.page.first = first_page;
  pending.result.page.followed = follow_pages_ && words.follow_pages;
  if (pending.result.page.followed) {
    pending.record = words.record;
    barrier_ = true;
  }
  pending_.push_back(std::move(pending));
  unsent_.push_back(words.record);
  if (unanswered_++ == 0) deadline_ = std::chrono::steady_clock::now() + timeout_;
  send_some();
}

void Session::answer_ourselves(Result result) {
  pending_.push_back({std::move(result), {}, true});
  print_ready();
}

void Session::read_input(int fd) {
  const size_t before = input_.size();
  input_.resize(before + kInputBytes);
  const ssize_t got = read(fd, input_.data() + before, kInputBytes);
  if (got < 0 && errno != EINTR && errno != EAGAIN) {
    throw SessionError(ExitStatus::usage, std::string("input: ") + std::strerror(errno));
  }
  input_.resize(before + static_cast<size_t>(got > 0 ? got : 0));
  if (got == 0) input_open_ = false;
}

// As many lines as there are and the window allows.
void Session::take_lines() {
  size_t taken = 0;
  while (may_take_input() && taken < input_.size()) {
    size_t end = input_.find('\n', taken);
    if (end == std::string::npos) {
      if (input_open_) break;
      end = input_.size();
    }
    take_line(std::string_view(input_).substr(taken, end - taken));
    taken = std::min(end + 1, input_.size());
  }
  explicit_bzero(input_.data(), taken);
  input_.erase(0, taken);
}

void Session::take_line(std::string_view line) {
  ++lines_;
  try {
    std::vector<std::string> words = split_line(line);
    if (words.empty()) return;
    Words request = make_request(words);
    wipe_words(words);
    submit(request, lines_);
    wipe_text(request.record);
  } catch (const UsageError& error) {
    answer_ourselves({nullptr, lines_, error.what(), true, {}, false});
  }
}

void Session::exchange(int input) {
  pollfd wait[2]{};
  wait[0] = {socket_.get(), static_cast<short>(unsent_.empty() ? POLLIN : POLLIN | POLLOUT), 0};
  wait[1] = {input, POLLIN, 0};
  int limit = -1;
  if (unanswered_ != 0) {
    const auto left = deadline_ - std::chrono::steady_clock::now();
    limit =
        std::max(0, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count()));
  }
  std::fflush(stdout);  // somebody may wait for these answers before writing the next command
  if (poll(wait, 2, limit) == 0) {
    throw SessionError(ExitStatus::timed_out, "no answer in time; the outcome of " +
                                                  std::to_string(unanswered_) +
                                                  " commands is unknown");
  }
  if ((wait[0].revents & POLLOUT) != 0) send_some();
  if ((wait[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive_some();
  if (wait[1].revents != 0) read_input(input);
}

void Session::send_some() {
  while (!unsent_.empty()) {
    std::string& record = unsent_.front();
    if (send(socket_.get(), record.data(), record.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
      // A daemon that has hung up may have said why: receive_some() finds out.
      if (errno == EAGAIN || errno == EPIPE || errno == ECONNRESET) return;
      throw SessionError(ExitStatus::no_daemon, std::string("send: ") + std::strerror(errno));
    }
    wipe_text(record);
    unsent_.pop_front();
  }
}

void Session::receive_some() {
  std::string text(kMaxRecordBytes, '\0');
  while (!turned_away_) {
    ssize_t got = recv(socket_.get(), text.data(), text.size(), MSG_DONTWAIT);
    // A reset is told once, before what still waits to be read.
    if (got < 0 && errno == ECONNRESET) {
      got = recv(socket_.get(), text.data(), text.size(), MSG_DONTWAIT);
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return on_hang_up();
    on_answer(text.substr(0, static_cast<size_t>(got)));
  }
}

void Session::on_hang_up() {
  if (place_refused_) return end_turned_away();
  throw SessionError(
      ExitStatus::no_daemon,
      "gmespd hung up; the outcome of " + std::to_string(unanswered_) + " commands is unknown");
}

void Session::on_answer(std::string text) {
  rapidjson::Document json;
  json.Parse(text.data(), text.size());
  // As an answer to `monitor` it says that we are served on, unless gmespd hangs up next.
  place_refused_ = refuses_place(json);
  if (place_refused_ && !waits_to_monitor()) return on_turned_away(std::move(text));
  if (json.IsObject() && json.HasMember("event")) {
    return print_({nullptr, 0, std::move(text), false, {}, true});
  }
  if (unanswered_ == 0) return;  // nothing was asked
  --unanswered_;
  deadline_ = std::chrono::steady_clock::now() + timeout_;
  Pending pending = std::move(pending_.front());
  pending_.pop_front();
  pending.result.text = std::move(text);
  monitoring_ |= pending.result.rule->command == Command::monitor && json.IsObject() &&
                 !json.HasMember("error");
  print_(pending.result);
  if (pending.result.page.followed) follow(pending);
  print_ready();
}

bool Session::waits_to_monitor() const {
  return unanswered_ != 0 && pending_.front().result.rule->command == Command::monitor;
}

// One answer to whatever was, or was to be, asked: gmespd has read none of it.
void Session::on_turned_away(std::string answer) {
  const size_t line = pending_.empty() ? 0 : pending_.front().result.line;
  end_turned_away();
  print_({nullptr, line, std::move(answer), false, {}, false});
}

void Session::end_turned_away() {
  turned_away_ = true;
  pending_.clear();
}

// A list goes on behind the page that has just been printed.
void Session::follow(const Pending& pending) {
  barrier_ = false;
  rapidjson::Document page;
  page.Parse(pending.result.text.data(), pending.result.text.size());
  if (!page.IsObject() || !page.HasMember("after") || !page["after"].IsString()) return;
  const Words next{pending.result.rule, next_page(pending.record, page["after"].GetString()), true};
  submit(next, pending.result.line, false);
}

// Answers of ours whose turn it is: what stays in front waits for gmespd.
void Session::print_ready() {
  while (!pending_.empty() && pending_.front().answered) {
    print_(pending_.front().result);
    pending_.pop_front();
  }
}

}  // namespace gmesp
