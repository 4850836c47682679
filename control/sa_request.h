// SPDX-License-Identifier: BSD-3-Clause
// What a request says about an SA, checked value by value.
#pragma once

#include <optional>

#include "control/request.h"
#include "control/sa_manager.h"

namespace gmesp {

// All throw Refused.
NewSa new_sa(const Request& request);
SaName sa_name(const Request& request);
SaFilter sa_filter(const Request& request);

}  // namespace gmesp
