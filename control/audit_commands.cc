// SPDX-License-Identifier: BSD-3-Clause
#include "control/audit_commands.h"

#include "control/json_writer.h"
#include "control/telemetry.h"

namespace gmesp {

// Answered when no worker audits as before.
void turn_audit(bool on, Audit& audit, const Reply& reply) {
  audit.turn(on, [on, reply] { reply(JsonWriter().field("done", on ? "on" : "off").finish()); });
}

std::string audit_status(const Audit& audit, const WorkerProxies& workers) {
  JsonWriter json;
  write_audit(json, audit, workers);
  json.start_array("reasons");
  for (const DropInfo& info : kDropInfo) {
    if ((audit.config().reasons & audit_bit(info.drop)) != 0) json.element(info.name);
  }
  json.end_array();
  return json.finish();
}

}  // namespace gmesp
