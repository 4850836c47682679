// SPDX-License-Identifier: BSD-3-Clause
// Keys pass through the memory of gmespd and gmespctl: none of it is to reach a core file or
// another process.
#pragma once

#include <sys/prctl.h>
#include <sys/resource.h>

namespace gmesp {

// No core dump and no debugger of the same user, from now on: of this program, in all its threads.
// A change of user undoes it.
inline void refuse_core_dumps() {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  const rlimit nothing{};
  setrlimit(RLIMIT_CORE, &nothing);
}

}  // namespace gmesp
