// SPDX-License-Identifier: BSD-3-Clause
#include "control/commands.h"

#include "control/json_writer.h"
#include "control/telemetry.h"
#include "crypto/key_material.h"

namespace gmesp {

void Commands::handle(std::span<char> record, const Reply& reply) {
  try {
    run(reader_.read(record), reply);
  } catch (const Refused& refused) {
    reply(refusal_answer(refused));
  }
  reader_.wipe();
  wipe(record.data(), record.size());
}

void Commands::run(const Request& request, const Reply& reply) {
  switch (request.command()) {
    case Command::status:
      return reply(status_answer(info_, keys_, sas_));
    case Command::sa_add:
      return sa_add(request, sas_, reply);
    case Command::sa_delete:
      return sa_delete(request, sas_, reply);
    case Command::sa_list:
      return reply(sa_list(request, sas_));
    case Command::sa_show:
      return sa_show(request, sas_, reply);
    case Command::sa_flush:
      return sa_flush(sas_, reply);
    case Command::sa_count:
      return reply(sa_count(sas_));
    case Command::stats:
      return reply(stats_answer(info_, sas_, request.number("core", 0, UINT32_MAX)));
    case Command::drops:
      return reply(drops_answer(sas_, request.flag("explain")));
  }
}

}  // namespace gmesp
