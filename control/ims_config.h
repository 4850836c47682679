// SPDX-License-Identifier: BSD-3-Clause
// The table [ims] of gmespd.toml: what the operator decides about registrations.
#pragma once

#include "control/config_table.h"
#include "control/registration/registrar_config.h"

namespace gmesp {

// policy: read before; what it protects is judged with the ports. Throws ConfigError.
RegistrarConfig read_ims(ConfigTable table, const Policy& policy);

}  // namespace gmesp
