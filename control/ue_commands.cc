// SPDX-License-Identifier: BSD-3-Clause
#include "control/ue_commands.h"

#include <limits>
#include <memory>
#include <utility>

#include "control/json_writer.h"
#include "control/ue_queries.h"
#include "control/ue_request.h"
#include "control/ue_text.h"

namespace gmesp {
namespace {

static_assert(24 * kMaxHandlesInRequest < kMaxRecordBytes, "room for every handle to be missing");

void write_done(JsonWriter& json, const char* what, SetHandle handle) {
  json.field("done", what).field("handle", to_string(handle));
}

std::string done(const char* what, SetHandle handle) {
  JsonWriter json;
  write_done(json, what, handle);
  return json.finish();
}

// The answer to a call that ends later, in a poll: a refusal must not leave that as an exception.
Registrar::Done done_answer(const Reply& reply, std::function<std::string()> text) {
  return [reply, text = std::move(text)](std::optional<Refusal> refusal) {
    try {
      if (refusal) throw Refused(*refusal);
      reply(text());
    } catch (const Refused& refused) {
      reply(refusal_answer(refused));
    }
  };
}

Registrar::Done done_answer(const Reply& reply, const char* what, SetHandle handle) {
  return done_answer(reply, [=] { return done(what, handle); });
}

uint32_t expires(const Request& request, uint32_t least) {
  constexpr uint32_t kMost = std::numeric_limits<uint32_t>::max();
  return static_cast<uint32_t>(*request.number("expires", least, kMost));
}

std::string challenged(const Registrar& registrar, SetHandle handle, const std::string& verify)
    ON(control_thread) {
  JsonWriter json;
  write_done(json, "challenged", handle);
  if (!verify.empty()) json.field("security-verify", verify);
  write_suite(json, registrar.view(handle).suite);
  return json.finish();
}

}  // namespace

std::string ue_register(const Request& request, Registrations on) {
  const Role role = on.sas.policy().role;
  const RegisterRequest register_request(request, role);
  const RegisterAnswer answer = on.registrar.registered(register_request.call());
  JsonWriter json;
  write_done(json, "offered", answer.handle);
  json.field(role == Role::pcscf ? "security-server" : "security-client",
             format_security_agreement(answer.ours, on.registrar.config().negotiation.spi_format));
  write_suite(json, answer.suite);
  return json.finish();
}

void ue_challenge(const Request& request, Registrations on, const Reply& reply) {
  const ChallengeRequest challenge(request, on.sas.policy().role);
  std::string verify = challenge.verify;
  if (challenge.server && verify.empty()) {
    verify =
        format_security_agreement(*challenge.server, on.registrar.config().negotiation.spi_format);
  }
  const Registrar& registrar = on.registrar;
  const auto text = [&registrar, handle = challenge.handle, verify] {
    const AssumeRole role(control_thread);
    return challenged(registrar, handle, verify);
  };
  on.registrar.challenge(challenge.handle, challenge.ck.bytes, challenge.ik.bytes,
                         challenge.server ? &*challenge.server : nullptr, done_answer(reply, text));
}

std::string ue_response(const Request& request, Registrations on) {
  const auto verify = security_agreement(request, "security-verify");
  const auto client = security_agreement(request, "security-client");
  if (on.sas.policy().role == Role::ue) {
    throw Refused(Refusal::not_for_role, "ue response is for role pcscf");
  }
  const SetHandle handle = set_handle(request);
  const bool encrypted =
      on.registrar.response(handle, verify ? &*verify : nullptr, client ? &*client : nullptr);
  JsonWriter json;
  write_done(json, "matches", handle);
  write_protection(json, encrypted);
  return json.finish();
}

void ue_ok(const Request& request, Registrar& registrar, const Reply& reply) {
  const SetHandle handle = set_handle(request);
  const uint32_t expires_s = expires(request, 0);
  registrar.ok(handle, expires_s,
               done_answer(reply, expires_s == 0 ? "deregistered" : "established", handle),
               request.list("impu"));
}

void ue_fail(const Request& request, Registrar& registrar, const Reply& reply) {
  const SetHandle handle = set_handle(request);
  registrar.fail(handle, fail_reason(request), done_answer(reply, "failed", handle));
}

std::string ue_refresh(const Request& request, Registrar& registrar) {
  const SetHandle handle = set_handle(request);
  registrar.refresh(handle, expires(request, 1));
  return done("refreshed", handle);
}

void ue_delete(const Request& request, Registrar& registrar, const Reply& reply) {
  const SetHandle handle = set_handle(request);
  const bool now = request.flag("now");
  registrar.remove(handle, request.flag("only"), now,
                   done_answer(reply, now ? "deleted" : "retired", handle));
}

void ue_reconcile(const Request& request, Registrar& registrar, const Reply& reply) {
  const ReconcileRequest reconcile(request);
  std::vector<SetHandle> missing;
  const uint32_t session = registrar.reconcile(reconcile.session, reconcile.handles, missing);
  const auto json = std::make_shared<JsonWriter>();
  json->field("done", reconcile.finish ? "reconciled" : "compared").field("session", session);
  json->start_array("missing");
  for (const SetHandle handle : missing) json->element(to_string(handle));
  json->end_array();
  if (!reconcile.finish) return reply(json->finish());
  const auto grace =
      reconcile.grace_s ? std::chrono::seconds(*reconcile.grace_s) : registrar.config().grace();
  registrar.finish_reconcile(session, grace,
                             [json, reply](std::optional<Refusal> refusal, size_t orphans) {
                               if (refusal) return reply(refusal_answer(Refused(*refusal)));
                               json->field("orphans", orphans);
                               reply(json->finish());
                             });
}

void flush_all(Registrations on, const Reply& reply) {
  Registrar& registrar = on.registrar;
  const size_t sets = count_of_sets(registrar);
  SaManager& sas = on.sas;
  registrar.remove_all([&sas, sets, reply](std::optional<Refusal> refusal) {
    if (refusal) return reply(refusal_answer(Refused(*refusal)));
    const AssumeRole role(control_thread);
    sas.flush([sets, reply](size_t deleted) {
      JsonWriter json;
      json.field("done", "flushed").field("deleted", deleted).field("sets", sets);
      reply(json.finish());
    });
  });
}

}  // namespace gmesp
