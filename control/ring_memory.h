// SPDX-License-Identifier: BSD-3-Clause
// The memory of one ring: made, and given to the client's process.
#pragma once

#include <optional>
#include <string_view>

#include "control/client/mapping.h"
#include "control/client/records.h"
#include "control/file_descriptor.h"

namespace gmesp {

// Nothing: there is no memory or no descriptor left.
std::optional<client::Mapping> make_ring_memory(const client::SharedHeader& header,
                                                FileDescriptor& descriptor);
// Gives all of it back, and with it what was in there: the client may keep its descriptor, and what
// the file holds is charged to us. Whoever reads it from now on reads zeros.
void give_back(const client::Mapping& memory);
// One record with the descriptor beside it. False: it did not go out.
bool send_with(int socket, std::string_view text, int descriptor);

}  // namespace gmesp
