// SPDX-License-Identifier: BSD-3-Clause
// Makes the control socket's folder and file and listens on it.
#pragma once

#include <optional>
#include <string>

#include "control/account.h"
#include "control/file_descriptor.h"

namespace gmesp {

// Throws std::runtime_error with what mends it: somebody else listens there, no rights, no such
// group. A socket file nobody listens on is replaced; any other file, and a folder that is there,
// is left alone. owner: of the file and of a folder that is made, so that he can remove it.
FileDescriptor listen_on(const std::string& path, const std::string& group,
                         const std::optional<Account>& owner = std::nullopt);

}  // namespace gmesp
