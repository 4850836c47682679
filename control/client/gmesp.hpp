// SPDX-License-Identifier: BSD-3-Clause
// The C++ face of gmesp.h: owns the connection, throws its errors. C++17; nothing here is compiled
// into libgmesp.
#pragma once

#include <gmesp.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace gmesp {

class Error : public std::runtime_error {
 public:
  // code: as gmespd has written it, which may be newer than the library; nullptr: the library's.
  explicit Error(int number, const char* code = nullptr)
      : std::runtime_error(gmesp_error_text(number)),
        number_(number),
        code_(code != nullptr && *code != '\0' ? code : gmesp_error_code(number)) {}
  int number() const { return number_; }
  const std::string& code() const { return code_; }  // "wrong_state", "timeout", ...

 private:
  int number_;
  std::string code_;
};

using Report = gmesp_report;
using Token = uint64_t;
using Handle = uint64_t;

class Client {
 public:
  using Milliseconds = std::chrono::milliseconds;

  explicit Client(const std::string& path = "/run/gmesp/gmespd.sock", uint32_t events = 0,
                  Milliseconds timeout = Milliseconds(1000))
      : timeout_ms_(static_cast<int>(timeout.count())) {
    gmesp_options options{};
    options.size = sizeof options;
    options.abi_version = GMESP_ABI_VERSION;
    options.path = path.c_str();
    options.events = events;
    options.timeout_ms = timeout_ms_;
    check(gmesp_connect(&options, &client_));
  }
  Client(Client&& other) noexcept
      : client_(std::exchange(other.client_, nullptr)), timeout_ms_(other.timeout_ms_) {}
  Client& operator=(Client&& other) noexcept {
    std::swap(client_, other.client_);
    std::swap(timeout_ms_, other.timeout_ms_);
    return *this;
  }
  ~Client() { gmesp_close(client_); }

  // For what is not below: gmesp_submit_... and the rest of gmesp.h.
  gmesp_client* get() const { return client_; }
  int fd() const { return gmesp_fd(client_); }
  void reconnect() { check(gmesp_reconnect(client_, timeout_ms_)); }

  // What a report points to stays until the next call.
  std::optional<Report> poll() {
    Report report = blank();
    return check(gmesp_poll(client_, &report)) == 1 ? std::optional(report) : std::nullopt;
  }
  std::optional<Report> wait(Milliseconds timeout) {
    Report report = blank();
    const int got = gmesp_wait(client_, static_cast<int>(timeout.count()), &report);
    if (got == GMESP_ETIMEOUT) return std::nullopt;
    check(got);
    return report;
  }

  // The blocking calls; each throws Error when it is refused or not answered in time.
  Report registered(gmesp_register_call call) {
    call.size = sizeof call;
    return done(
        [&](Report* report) { return gmesp_register(client_, &call, timeout_ms_, report); });
  }
  Report challenge(Handle handle, const uint8_t (&ck)[16], const uint8_t (&ik)[16],
                   const char* security_server = nullptr) {
    return done([&](Report* report) {
      return gmesp_challenge(client_, handle, ck, ik, security_server, timeout_ms_, report);
    });
  }
  Report response(Handle handle, const char* security_verify, const char* security_client) {
    return done([&](Report* report) {
      return gmesp_response(client_, handle, security_verify, security_client, timeout_ms_, report);
    });
  }
  // impus: of P-Associated-URI; none: those of the REGISTER stay.
  Report ok(Handle handle, uint32_t expires_s, const std::vector<const char*>& impus = {}) {
    return done([&](Report* report) {
      return gmesp_ok(client_, handle, expires_s, impus.data(), static_cast<uint32_t>(impus.size()),
                      timeout_ms_, report);
    });
  }
  Report fail(Handle handle, uint32_t reason) {
    return done(
        [&](Report* report) { return gmesp_fail(client_, handle, reason, timeout_ms_, report); });
  }
  Report refresh(Handle handle, uint32_t expires_s) {
    return done([&](Report* report) {
      return gmesp_refresh(client_, handle, expires_s, timeout_ms_, report);
    });
  }
  Report remove(Handle handle, uint32_t flags = 0) {
    return done(
        [&](Report* report) { return gmesp_delete(client_, handle, flags, timeout_ms_, report); });
  }
  // Look at the state of what it gives: only REGISTER may come over a temporary set.
  Report check_flow(gmesp_check_call call) {
    call.size = sizeof call;
    return done([&](Report* report) { return gmesp_check(client_, &call, timeout_ms_, report); });
  }
  void subscribe(uint32_t events) {
    done([&](Report* report) { return gmesp_subscribe(client_, events, timeout_ms_, report); });
  }

 private:
  static Report blank() {
    Report report{};
    report.size = sizeof report;
    return report;
  }
  static int check(int result) {
    if (result < 0) throw Error(result);
    return result;
  }
  template <typename Call>
  Report done(Call&& call) {
    Report report = blank();
    const int error = call(&report);
    if (error != GMESP_OK) throw Error(error, report.code);
    return report;
  }

  gmesp_client* client_ = nullptr;
  int timeout_ms_;
};

}  // namespace gmesp
