// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/path_mtu.h"

namespace gmesp {

Verdict PathMtu::hear(Packet&, uint64_t) { return Verdict::pass(); }

}  // namespace gmesp
