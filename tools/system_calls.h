// SPDX-License-Identifier: BSD-3-Clause
#pragma once

namespace gmesp {

// Ours are open by now; a memif, vhost or virtio-user port may have to connect again.
enum class UnixSockets { allowed, refused };

// From now on every thread of the process has only the system calls that ports, workers and the
// control thread need: no program, no process and no thread is started, nobody is traced, no file
// is written, no IP socket is opened, no memory becomes executable. Anything else fails with EPERM,
// which ends nothing: a call that nobody foresaw must not cost every SA. For good. Throws
// std::runtime_error when the kernel does not take the filter.
void restrict_system_calls(UnixSockets unix_sockets);

}  // namespace gmesp
