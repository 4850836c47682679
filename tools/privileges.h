// SPDX-License-Identifier: BSD-3-Clause
// What gmespd gives up once every device and socket is open (DESIGN 5).
#pragma once

namespace gmesp {

// In every thread of the process: no capability, and none to be had by running another program
// (no_new_privs). No core dump and no debugger of the same user, so that keys stay in memory.
// Throws std::runtime_error when a thread keeps a capability all the same.
void drop_privileges();

}  // namespace gmesp
