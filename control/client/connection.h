// SPDX-License-Identifier: BSD-3-Clause
// What a `gmesp_client` of the C interface is: a Link, the commands that wait for an answer, and
// reports kept for later.
#pragma once

#include <sys/types.h>

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "control/client/command_writer.h"
#include "control/client/gmesp.h"
#include "control/client/link.h"
#include "control/client/records.h"

namespace gmesp::client {

class Connection {
 public:
  explicit Connection(const gmesp_options& options);  // throws Failure
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void reconnect(int timeout_ms);
  int fd() const { return link_.fd(); }

  // Throws Failure: a full ring, a lost connection, what `fill` throws.
  template <typename Fill>
  uint64_t submit(CommandKind kind, uint64_t handle, Fill&& fill) {
    check_usable();
    const size_t place = free_place();
    CommandRecord* slot = link_.slot();
    if (slot == nullptr) throw Failure{GMESP_ERING_FULL};
    CommandWriter writer(*slot, kind, handle);
    fill(writer);
    const uint64_t token = take_token(place);
    writer.store(token);
    link_.publish();
    return token;
  }

  bool poll(gmesp_report& report);
  // False: timeout_ms is over.
  bool wait(int timeout_ms, gmesp_report& report);
  // For the completion of `token`; keeps all else.
  bool wait_for_token(uint64_t token, int timeout_ms, gmesp_report& report);

  uint32_t events = 0;  // subscribed to, for the next reconnect()

 private:
  // A report that did not come through the ring just now.
  struct Kept {
    uint32_t kind = 0;  // 0: of the record
    int error = 0;
    AnswerRecord record{};
  };
  static constexpr size_t kMaxKeptEvents = 4096;

  void check_usable() const;
  void subscribe(int timeout_ms);
  size_t free_place() const;
  uint64_t take_token(size_t place);
  bool give_back(uint64_t token);
  void keep(const AnswerRecord& record);
  void keep_local(uint32_t kind, uint64_t token, int error);
  bool pop_kept(gmesp_report& report);
  void fill(const AnswerRecord& record, gmesp_report& report);
  void fill_completion(const AnswerRecord& record, gmesp_report& report);
  [[noreturn]] void distrust();

  const std::string path_;
  const pid_t process_;
  Link link_;
  int error_ = 0;  // the link is of no use any more
  // By place: the token of an unanswered command, 0: none. A token is a count above its place.
  std::array<uint64_t, kMaxUnanswered> unanswered_{};
  size_t last_place_ = 0;
  uint64_t count_ = 0;
  std::deque<Kept> kept_;
  size_t kept_events_ = 0;
  uint64_t lost_ = 0;
  // What the last report points to.
  std::string security_;
  std::string code_;
  std::array<uint64_t, kMaxHandles> missing_{};
};

}  // namespace gmesp::client
