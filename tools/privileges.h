// SPDX-License-Identifier: BSD-3-Clause
// What gmespd takes care of before it opens anything, and what it gives up once every device and
// socket is open (DESIGN 5).
#pragma once

#include <optional>
#include <string>

#include "control/account.h"

namespace gmesp {

// Nothing of this process, now or later, is written to swap: keys pass through more memory than
// the key store. Pages are locked as they are used. Needs rights that are given up later. Empty:
// done; else what mends it.
std::string lock_memory();

// As many descriptors as may be: clients use them up, and the kernel counts those on their way.
void raise_descriptor_limit();

// In every thread of the process: another user, if one is named, with his own group and no other;
// no capability, and none to be had by running another program (no_new_privs). No core dump and no
// debugger of the same user, so that keys stay in memory. What is open stays open. Throws
// std::runtime_error when the user cannot be had, or a thread keeps a capability all the same.
void drop_privileges(const std::optional<Account>& user);

// A warning, with what mends it, if the process serves as root; else empty.
std::string served_as_root();

// Whom the process serves as: a name, or a number that has none.
std::string current_user();

}  // namespace gmesp
