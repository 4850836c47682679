// SPDX-License-Identifier: BSD-3-Clause
// Unix sockets that DPDK's virtual devices listen on, as files: the drivers remove theirs at the
// end when they may (a killed gmespd, or one that has become another user, does not), and refuse to
// start over one that is there.
#pragma once

#include <string>
#include <vector>

#include "control/config.h"

namespace gmesp {

// Of the ports of this configuration.
std::vector<std::string> device_sockets(const Config& config);

// One of them meets its other end at a Unix socket, and connects again when that has gone.
bool has_device_that_connects(const Config& config);

// Removes the file if it is a socket that nobody listens on. Throws std::runtime_error when
// somebody does: the driver would fail, and remove the other's file.
void remove_stale_socket(const std::string& path);

}  // namespace gmesp
