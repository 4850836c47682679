// SPDX-License-Identifier: BSD-3-Clause
// SAs as a SIP layer without the library brings them: JSON records through the control socket.
#pragma once

#include <cstddef>

namespace gmesp {

// `sa add` records a second that the control thread takes from one client, which has up to 128 on
// their way, to a worker without traffic on that CPU. The calling thread plays the control thread.
// Throws std::runtime_error when an answer is not "added".
double socket_adds_per_second(size_t sas, unsigned worker_cpu);

}  // namespace gmesp
