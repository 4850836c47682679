#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The layers: DPDK is a port, IPsec-MB is an engine, each named in one folder; includes only point downwards.
# And what no code of some folders may use.
set -euo pipefail
cd "$(dirname "$0")/.."

status=0
# forbid PATTERN EXPLANATION PATH...: no C++ file below the paths may match.
forbid() {
  local pattern=$1 explanation=$2
  shift 2
  if grep -rnE --include='*.h' --include='*.cc' "$pattern" "$@"; then
    echo "^ $explanation" >&2
    status=1
  fi
}
forbid '#include [<"]rte_' 'DPDK belongs to dataplane/dpdk/ and perf/dpdk/' \
  --exclude-dir=dpdk crypto control tools dataplane perf
forbid '#include [<"]intel-ipsec-mb' 'IPsec-MB belongs to crypto/' dataplane control tools perf tests
forbid '#include [<"](dataplane|control)/' 'crypto/ depends on nothing here' crypto
forbid '#include [<"]control/' 'dataplane/ does not know control/' dataplane
forbid '#include [<"](tests|perf|tools)/' 'the engine does not know its users' crypto dataplane control
forbid '#include [<"](tests|tools)/' 'perf/ knows neither tests/ nor tools/' perf
forbid 'system_clock|CLOCK_REALTIME|gettimeofday|[^_[:alnum:]]time\(nullptr' \
  'no deadline or age follows the clock on the wall; only an audit record has its time' \
  --exclude=audit.cc dataplane control crypto
forbid 'spdlog|<iostream>|printf\(|syslog' 'no line of log on the packet path' dataplane crypto
exit $status
