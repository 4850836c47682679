// SPDX-License-Identifier: BSD-3-Clause
#include "control/commands.h"

#include "control/audit_commands.h"
#include "control/json_writer.h"
#include "control/policy_list.h"
#include "control/telemetry.h"
#include "control/ue_commands.h"
#include "control/ue_queries.h"
#include "crypto/key_material.h"

namespace gmesp {

void Commands::handle(std::span<char> record, const Reply& reply) {
  std::string refusal;
  try {
    run(reader_.read(record), reply);
  } catch (const Refused& refused) {
    refusal = refusal_answer(refused);
  }
  reader_.wipe();
  wipe(record.data(), record.size());
  wipe_stack();
  if (!refusal.empty()) reply(refusal);  // when it is heard, no key is left
}

// One list, so that the compiler misses a command that is not in it.
void Commands::run(const Request& request, const Reply& reply) {
  const auto& [info, keys, workers, sas, registrar, rings, audit, policy] = context_;
  const Registrations on{sas, registrar};
  switch (request.command()) {
    case Command::status:
      return reply(status_answer(context_));
    case Command::stats:
      return reply(stats_answer(info, workers, request.number("core", 0, UINT32_MAX)));
    case Command::drops:
      return reply(drops_answer(workers, request.flag("explain")));
    case Command::audit_on:
      return turn_audit(true, audit, reply);
    case Command::audit_off:
      return turn_audit(false, audit, reply);
    case Command::audit_status:
      return reply(audit_status(audit, workers));
    case Command::policy_list:
      return reply(policy_list(workers, policy));
    case Command::config_reload:
      return policy.reload([&policy = context_.policy, reply] { reply(reload_answer(policy)); });
    case Command::monitor:
      return reply(monitor(request));
    case Command::sa_add:
      return sa_add(request, sas, reply);
    case Command::sa_delete:
      return sa_delete(request, sas, reply);
    case Command::sa_list:
      return reply(sa_list(request, sas));
    case Command::sa_show:
      return sa_show(request, sas, reply);
    case Command::sa_flush:
      return request.flag("all") ? flush_all(on, reply) : sa_flush(sas, reply);
    case Command::sa_count:
      return reply(sa_count(sas));
    case Command::ue_register:
      return reply(ue_register(request, on));
    case Command::ue_challenge:
      return ue_challenge(request, on, reply);
    case Command::ue_response:
      return reply(ue_response(request, on));
    case Command::ue_ok:
      return ue_ok(request, registrar, reply);
    case Command::ue_fail:
      return ue_fail(request, registrar, reply);
    case Command::ue_refresh:
      return reply(ue_refresh(request, registrar));
    case Command::ue_delete:
      return ue_delete(request, registrar, reply);
    case Command::ue_check:
      return reply(ue_check(request, registrar));
    case Command::ue_list:
      return reply(ue_list(request, registrar));
    case Command::ue_show:
      return ue_show(request, on, reply);
    case Command::ue_count:
      return reply(ue_count(registrar));
    case Command::ue_reconcile:
      return ue_reconcile(request, registrar, reply);
  }
}

// None named: all of them.
std::string Commands::monitor(const Request& request) {
  EventKinds kinds{request.flag("ue"), request.flag("sa"), request.flag("drop"),
                   request.flag("audit")};
  if (!kinds.ue && !kinds.sa && !kinds.drop && !kinds.audit) kinds = kAllEvents;
  on_monitor_(kinds);
  return JsonWriter().field("done", "monitoring").finish();
}

}  // namespace gmesp
