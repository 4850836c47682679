// SPDX-License-Identifier: BSD-3-Clause
// The C interface: arguments judged, exceptions turned into numbers. What happens is Connection's.
#include "control/client/gmesp.h"

#include <cstring>
#include <new>
#include <string_view>

#include "control/client/connection.h"
#include "control/refusal.h"

using gmesp::Refusal;
using gmesp::client::CommandKind;
using gmesp::client::CommandWriter;
using gmesp::client::Connection;
using gmesp::client::Failure;

struct gmesp_client : Connection {
  using Connection::Connection;
};

namespace {

struct ErrorRow {
  int error;
  const char* code;
  const char* text;
};
constexpr ErrorRow kErrors[] = {
    {GMESP_OK, "ok", "done"},
    {GMESP_ETIMEOUT, "timeout", "not in time; the command still runs"},
    {GMESP_ERING_FULL, "ring_full", "256 commands are already waiting for answers"},
    {GMESP_EDISCONNECTED, "disconnected", "gmespd has gone or has ended the connection"},
    {GMESP_EFORKED, "forked", "the connection is that of the parent process: connect anew"},
    {GMESP_EARGUMENT, "bad_argument", "an argument is missing or invalid"},
    {GMESP_EMEMORY, "no_memory", "there is no memory, or no descriptor, left"},
    {GMESP_ENO_ENGINE, "no_engine", "no gmespd listens at this path"},
    {GMESP_EPERMISSION, "no_permission", "this user may not use the control socket"},
    {GMESP_EVERSION, "version", "caller, libgmesp and gmespd have incompatible versions"},
    {GMESP_EPROTOCOL, "protocol", "gmespd violated the protocol"},
    {GMESP_ETOO_MANY, "too_many_connections", "gmespd has as many connections as it may"},
};

// The caller's struct may be older (shorter) or newer than ours: what we do not know must be zero.
template <typename Struct>
Struct read_struct(const Struct* given) {
  if (given == nullptr) throw Failure{GMESP_EARGUMENT};
  const size_t size = given->size;
  if (size < sizeof given->size || size > 4096) throw Failure{GMESP_EARGUMENT};
  Struct ours{};
  std::memcpy(&ours, given, size < sizeof ours ? size : sizeof ours);
  const char* bytes = reinterpret_cast<const char*>(given);
  for (size_t i = sizeof ours; i < size; ++i) {
    if (bytes[i] != 0) throw Failure{GMESP_EVERSION};
  }
  return ours;
}

void write_report(const gmesp_report& ours, gmesp_report* to) {
  if (to == nullptr) return;
  const uint32_t size = to->size;
  std::memset(to, 0, size);
  std::memcpy(to, &ours, size < sizeof ours ? size : sizeof ours);
  to->size = size;
}

bool can_be_written(const gmesp_report* report) {
  return report == nullptr || (report->size >= sizeof report->size && report->size <= 4096);
}

// Nothing is thrown through a caller in C.
template <typename Function>
int guarded(Function&& function) noexcept {
  try {
    return function();
  } catch (const Failure& failure) {
    return failure.error;
  } catch (...) {
    return GMESP_EMEMORY;
  }
}

template <typename Fill>
int submit(gmesp_client* connection, CommandKind kind, uint64_t handle, uint64_t* token,
           Fill&& fill) {
  return guarded([&] {
    if (connection == nullptr) return int{GMESP_EARGUMENT};
    const uint64_t given = connection->submit(kind, handle, fill);
    if (token != nullptr) *token = given;
    return int{GMESP_OK};
  });
}

// The blocking form of a call. submit(&token) is the other.
template <typename Submit>
int blocking(gmesp_client* connection, int timeout_ms, gmesp_report* report, Submit&& submit) {
  if (!can_be_written(report)) return GMESP_EARGUMENT;
  uint64_t token = 0;
  const int submitted = submit(&token);
  if (submitted != GMESP_OK) return submitted;
  return guarded([&] {
    gmesp_report ours{};
    if (!connection->wait_for_token(token, timeout_ms, ours)) return int{GMESP_ETIMEOUT};
    write_report(ours, report);
    return int{ours.error};
  });
}

void add_identities(CommandWriter& writer, const char* const* identities, uint32_t count) {
  if (count != 0 && identities == nullptr) throw Failure{GMESP_EARGUMENT};
  for (uint32_t i = 0; i < count; ++i) writer.add_identity(identities[i]);
}

void fill_register(CommandWriter& writer, const gmesp_register_call& call) {
  if (call.selector > GMESP_PORTS_OF_SET) throw Failure{GMESP_EARGUMENT};
  writer.head().option = static_cast<uint8_t>(call.selector);
  CommandWriter::set_address(writer.head().ue, call.ue);
  CommandWriter::set_address(writer.head().pcscf, call.pcscf);
  writer.set_contact(call.contact);
  writer.add_agreement(call.security_client, gmesp::client::kHasFirst, writer.head().first);
  writer.add_agreement(call.security_verify, gmesp::client::kHasSecond, writer.head().second);
  writer.add_identity(call.impi);
  add_identities(writer, call.impus, call.impu_count);
}

void fill_check(CommandWriter& writer, const gmesp_check_call& call) {
  CommandWriter::set_address(writer.head().ue, call.ue);
  writer.head().ue_port = call.ue_port;
  writer.head().pcscf_port = call.pcscf_port;
  writer.set_contact(call.contact);
  writer.add_identity_or_none(call.impi);
  writer.add_identity_or_none(call.impu);
}

}  // namespace

extern "C" {

const char* gmesp_error_code(int error) {
  for (const ErrorRow& row : kErrors) {
    if (row.error == error) return row.code;
  }
  const bool refusal = error > 0 && static_cast<size_t>(error) <= gmesp::kRefusalCount;
  return refusal ? gmesp::kRefusalInfo[static_cast<size_t>(error - 1)].code.data() : "unknown";
}

const char* gmesp_error_text(int error) {
  for (const ErrorRow& row : kErrors) {
    if (row.error == error) return row.text;
  }
  const bool refusal = error > 0 && static_cast<size_t>(error) <= gmesp::kRefusalCount;
  return refusal ? gmesp::kRefusalInfo[static_cast<size_t>(error - 1)].sentence.data()
                 : "a refusal that this version of libgmesp does not know: see its code";
}

int gmesp_connect(const gmesp_options* options, gmesp_client** connection) {
  return guarded([&] {
    if (connection == nullptr) return int{GMESP_EARGUMENT};
    *connection = nullptr;
    const gmesp_options ours = read_struct(options);
    if (ours.abi_version == 0 || ours.abi_version > GMESP_ABI_VERSION) return int{GMESP_EVERSION};
    *connection = new gmesp_client(ours);
    return int{GMESP_OK};
  });
}

void gmesp_close(gmesp_client* connection) { delete connection; }

int gmesp_reconnect(gmesp_client* connection, int timeout_ms) {
  return guarded([&] {
    if (connection == nullptr) return int{GMESP_EARGUMENT};
    connection->reconnect(timeout_ms);
    return int{GMESP_OK};
  });
}

int gmesp_fd(const gmesp_client* connection) {
  return connection != nullptr ? connection->fd() : GMESP_EARGUMENT;
}

int gmesp_poll(gmesp_client* connection, gmesp_report* report) {
  return guarded([&] {
    if (connection == nullptr || report == nullptr || !can_be_written(report)) {
      return int{GMESP_EARGUMENT};
    }
    gmesp_report ours{};
    if (!connection->poll(ours)) return 0;
    write_report(ours, report);
    return 1;
  });
}

int gmesp_wait(gmesp_client* connection, int timeout_ms, gmesp_report* report) {
  return guarded([&] {
    if (connection == nullptr || report == nullptr || !can_be_written(report)) {
      return int{GMESP_EARGUMENT};
    }
    gmesp_report ours{};
    if (!connection->wait(timeout_ms, ours)) return int{GMESP_ETIMEOUT};
    write_report(ours, report);
    return 1;
  });
}

int gmesp_submit_register(gmesp_client* connection, const gmesp_register_call* call,
                          uint64_t* token) {
  return guarded([&] {
    const gmesp_register_call ours = read_struct(call);
    return submit(connection, CommandKind::registered, ours.over, token,
                  [&](CommandWriter& writer) { fill_register(writer, ours); });
  });
}

int gmesp_submit_challenge(gmesp_client* connection, uint64_t handle, const uint8_t* ck,
                           const uint8_t* ik, const char* security_server, uint64_t* token) {
  return submit(connection, CommandKind::challenge, handle, token, [&](CommandWriter& writer) {
    if (ck == nullptr || ik == nullptr) throw Failure{GMESP_EARGUMENT};
    writer.add_agreement(security_server, gmesp::client::kHasFirst, writer.head().first);
    std::memcpy(writer.head().ck, ck, sizeof writer.head().ck);
    std::memcpy(writer.head().ik, ik, sizeof writer.head().ik);
  });
}

int gmesp_submit_response(gmesp_client* connection, uint64_t handle, const char* security_verify,
                          const char* security_client, uint64_t* token) {
  return submit(connection, CommandKind::response, handle, token, [&](CommandWriter& writer) {
    writer.add_agreement(security_verify, gmesp::client::kHasFirst, writer.head().first);
    writer.add_agreement(security_client, gmesp::client::kHasSecond, writer.head().second);
  });
}

int gmesp_submit_ok(gmesp_client* connection, uint64_t handle, uint32_t expires_s,
                    const char* const* impus, uint32_t impu_count, uint64_t* token) {
  return submit(connection, CommandKind::ok, handle, token, [&](CommandWriter& writer) {
    writer.head().number = expires_s;
    add_identities(writer, impus, impu_count);
  });
}

int gmesp_submit_fail(gmesp_client* connection, uint64_t handle, uint32_t reason, uint64_t* token) {
  return submit(connection, CommandKind::fail, handle, token, [&](CommandWriter& writer) {
    if (reason > GMESP_FAIL_OTHER) throw Failure{GMESP_EARGUMENT};
    writer.head().option = static_cast<uint8_t>(reason);
  });
}

int gmesp_submit_refresh(gmesp_client* connection, uint64_t handle, uint32_t expires_s,
                         uint64_t* token) {
  return submit(connection, CommandKind::refresh, handle, token,
                [&](CommandWriter& writer) { writer.head().number = expires_s; });
}

int gmesp_submit_delete(gmesp_client* connection, uint64_t handle, uint32_t flags,
                        uint64_t* token) {
  return submit(connection, CommandKind::remove, handle, token, [&](CommandWriter& writer) {
    if (flags > (GMESP_ONLY_THIS_SET | GMESP_AT_ONCE)) throw Failure{GMESP_EARGUMENT};
    if ((flags & GMESP_ONLY_THIS_SET) != 0) writer.head().flags |= gmesp::client::kOnlyThisSet;
    if ((flags & GMESP_AT_ONCE) != 0) writer.head().flags |= gmesp::client::kAtOnce;
  });
}

int gmesp_submit_check(gmesp_client* connection, const gmesp_check_call* call, uint64_t* token) {
  return guarded([&] {
    const gmesp_check_call ours = read_struct(call);
    return submit(connection, CommandKind::check, 0, token,
                  [&](CommandWriter& writer) { fill_check(writer, ours); });
  });
}

int gmesp_submit_subscribe(gmesp_client* connection, uint32_t events, uint64_t* token) {
  return submit(connection, CommandKind::subscribe, 0, token, [&](CommandWriter& writer) {
    writer.head().number = events;
    connection->events = events;
  });
}

int gmesp_submit_reconcile(gmesp_client* connection, uint32_t session, const uint64_t* handles,
                           uint32_t count, uint64_t* token) {
  return submit(connection, CommandKind::reconcile, 0, token, [&](CommandWriter& writer) {
    if (count > GMESP_MAX_HANDLES || (count != 0 && handles == nullptr)) {
      throw Failure{GMESP_EARGUMENT};
    }
    writer.head().number = session;
    writer.add_handles({handles, count});
  });
}

int gmesp_submit_finish_reconcile(gmesp_client* connection, uint32_t session, uint32_t grace_ms,
                                  uint64_t* token) {
  return submit(connection, CommandKind::finish_reconcile, 0, token, [&](CommandWriter& writer) {
    writer.head().number = session;
    writer.head().grace_ms = grace_ms;
  });
}

int gmesp_register(gmesp_client* connection, const gmesp_register_call* call, int timeout_ms,
                   gmesp_report* report) {
  return blocking(connection, timeout_ms, report,
                  [&](uint64_t* token) { return gmesp_submit_register(connection, call, token); });
}

int gmesp_challenge(gmesp_client* connection, uint64_t handle, const uint8_t* ck, const uint8_t* ik,
                    const char* security_server, int timeout_ms, gmesp_report* report) {
  return blocking(connection, timeout_ms, report, [&](uint64_t* token) {
    return gmesp_submit_challenge(connection, handle, ck, ik, security_server, token);
  });
}

int gmesp_response(gmesp_client* connection, uint64_t handle, const char* security_verify,
                   const char* security_client, int timeout_ms, gmesp_report* report) {
  return blocking(connection, timeout_ms, report, [&](uint64_t* token) {
    return gmesp_submit_response(connection, handle, security_verify, security_client, token);
  });
}

int gmesp_ok(gmesp_client* connection, uint64_t handle, uint32_t expires_s,
             const char* const* impus, uint32_t impu_count, int timeout_ms, gmesp_report* report) {
  return blocking(connection, timeout_ms, report, [&](uint64_t* token) {
    return gmesp_submit_ok(connection, handle, expires_s, impus, impu_count, token);
  });
}

int gmesp_fail(gmesp_client* connection, uint64_t handle, uint32_t reason, int timeout_ms,
               gmesp_report* report) {
  return blocking(connection, timeout_ms, report, [&](uint64_t* token) {
    return gmesp_submit_fail(connection, handle, reason, token);
  });
}

int gmesp_refresh(gmesp_client* connection, uint64_t handle, uint32_t expires_s, int timeout_ms,
                  gmesp_report* report) {
  return blocking(connection, timeout_ms, report, [&](uint64_t* token) {
    return gmesp_submit_refresh(connection, handle, expires_s, token);
  });
}

int gmesp_delete(gmesp_client* connection, uint64_t handle, uint32_t flags, int timeout_ms,
                 gmesp_report* report) {
  return blocking(connection, timeout_ms, report, [&](uint64_t* token) {
    return gmesp_submit_delete(connection, handle, flags, token);
  });
}

int gmesp_check(gmesp_client* connection, const gmesp_check_call* call, int timeout_ms,
                gmesp_report* report) {
  return blocking(connection, timeout_ms, report,
                  [&](uint64_t* token) { return gmesp_submit_check(connection, call, token); });
}

int gmesp_subscribe(gmesp_client* connection, uint32_t events, int timeout_ms,
                    gmesp_report* report) {
  return blocking(connection, timeout_ms, report, [&](uint64_t* token) {
    return gmesp_submit_subscribe(connection, events, token);
  });
}

int gmesp_reconcile(gmesp_client* connection, uint32_t session, const uint64_t* handles,
                    uint32_t count, int timeout_ms, gmesp_report* report) {
  return blocking(connection, timeout_ms, report, [&](uint64_t* token) {
    return gmesp_submit_reconcile(connection, session, handles, count, token);
  });
}

int gmesp_finish_reconcile(gmesp_client* connection, uint32_t session, uint32_t grace_ms,
                           int timeout_ms, gmesp_report* report) {
  return blocking(connection, timeout_ms, report, [&](uint64_t* token) {
    return gmesp_submit_finish_reconcile(connection, session, grace_ms, token);
  });
}

}  // extern "C"
