#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Does clang refuse what dataplane/thread_role.h is there to refuse? Macros that have become empty would
# let every build pass. So it is asked about what it must refuse, for its reason, and about the same done right.
set -euo pipefail
cd "$(dirname "$0")/.."

status=0
# compile CODE: what clang says of it.
compile() {
  printf '#include "dataplane/worker.h"\nusing namespace gmesp;\n%s\n' "$1" |
    clang++ -std=c++20 -march=x86-64-v2 -fsyntax-only -Wthread-safety -Werror -I. -x c++ - 2>&1
}
# accepts CODE
accepts() {
  local said
  said=$(compile "$1") || { printf '%s\n^ refused: %s\n' "$said" "$1" >&2; status=1; }
}
# refuses CODE SENTENCE: one error, and this one.
refuses() {
  local said
  if said=$(compile "$1"); then
    printf 'accepted: %s\n' "$1" >&2
    status=1
  elif [ "$(grep -c 'error:' <<<"$said")" != 1 ] || ! grep -qF "error: $2" <<<"$said"; then
    printf '%s\n^ refused for another reason than "%s": %s\n' "$said" "$2" "$1" >&2
    status=1
  fi
}

without_role="calling function 'poll' requires holding thread role 'worker_thread' exclusively"
refuses 'void poll(Worker& worker) { worker.poll(); }' "$without_role"
refuses 'void poll(Worker& worker) { AssumeRole role(control_thread); worker.poll(); }' "$without_role"
refuses 'struct Owner { int owned OWNED_BY(worker_thread); int read() { return owned; } };' \
  "reading variable 'owned' requires holding thread role 'worker_thread'"
accepts 'void poll(Worker& worker) { AssumeRole role(worker_thread); worker.poll(); }
  void poll_again(Worker& worker) ON(worker_thread) { worker.poll(); }
  struct Owner { int owned OWNED_BY(worker_thread); int read() ON(worker_thread) { return owned; } };'
exit $status
