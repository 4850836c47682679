# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Part of tools/run: the SIP programs at both ends, and what they are told to do. sip/ue.py and
# sip/pcscf.py register UEs and hold their protected sockets; SIPp makes calls through them.

python=/usr/bin/python3 # Debian's own, which has python3-cryptography
callee_port=5070
hold_ms=800            # how long a call lasts, once it is answered
moving_calls=80 moving_rate=10
# A request that is sent again may come at any time (RFC 3261 17.1); SIPp by default takes one that it has answered
# twice for a stranger and ends the call.
sipp=(sipp -nostdin -bind_local -default_behaviors all,-abortunexp)

start_sip() {
  "$python" "$here/sip/plan.py" "$state" "$calls" "$pcscf4" "$pcscf6" "$ues4" "$ues6"
  local end
  start_callees
  for end in pcscf ue; do
    start "sip-$end" $end "$python" -B "$here/sip/$end.py" "$state/$end.json"
  done
  for end in pcscf ue; do
    wait_for_word "sip-$end" ready
  done
}

# start_callees: SIPp behind the P-CSCF, for each family and transport.
start_callees() {
  local family transport address
  for family in 4 6; do
    [ $family = 4 ] && address=127.0.0.1 || address=::1
    for transport in udp tcp; do
      start "callee-$transport-$family" pcscf "${sipp[@]}" -sf "$here/callee.xml" \
        -i $address -p $callee_port -t "${transport:0:1}1" -d "$hold_ms"
    done
  done
}

# wait_for_word LABEL WORD: until the program has printed it.
wait_for_word() {
  local attempt
  for attempt in {1..100}; do
    grep -qw "$2" "$state/$1.log" && return
    is_alive "$1" || die "$1 ended while starting"
    sleep 0.1
  done
  die "$1 does not start after $((attempt / 10)) seconds"
}

# order WORDS...: to the UEs (sip/ue.py); prints a row for each UE: name, status, reason, set.
order() { "$python" -B "$here/sip/ue.py" --order "$state/ue.orders" "$@"; }

# register_all: SM1 in clear, 401, SM7 through the new SAs, 200; for every UE of the eight.
register_all() {
  local began=$EPOCHREALTIME
  order register all >"$state/registered" ||
    die "not registered: $(awk -F'\t' '$2 != 200' "$state/registered" | head -n 5)"
  awk -v began="$began" -v ended="$EPOCHREALTIME" 'END {
    printf "  %d UEs registered in %.1f s, each through a set of its own\n", NR, ended - began
  }' "$state/registered"
}

bracketed() { case $1 in *:*) echo "[$1]" ;; *) echo "$1" ;; esac; }

# call GROUP FAMILY TRANSPORT COUNT RATE: SIPp's calls through the UEs of a group.
call() {
  local group=$1 folder=$state/sipp/$1 address=127.0.0.1
  [ "$2" = 4 ] || address=::1
  (
    cd "$folder"
    in_ns ue nice -n -10 "${sipp[@]}" "$(bracketed $address):$((7000 + group))" -sf "$here/call.xml" -inf users.csv \
      -m "$4" -r "$5" -t "${3:0:1}1" -i $address -p $((7500 + group)) \
      -timeout $((20 + $4 / 20))s -timeout_error -trace_err -trace_counts \
      >call.screen 2>&1 </dev/null
  )
}

# A failed combination is the report's to tell, from what was counted; the others still run.
run_all_combinations() {
  local index family transport suite _
  while read -r index family transport suite _; do
    is_alive ue && is_alive pcscf || die "a gmespd ended before IPv$family $transport $suite"
    call "$index" "$family" "$transport" "$calls" 50 ||
      echo "  IPv$family $transport $suite: not every call succeeded"
  done <"$state/combinations"
}

# Two UEs with calls going on all the time register again: the new set beside the old one, requests
# and responses of both ends moving over, the old set gone after 64*T1. The table is of the first.
hand_over() {
  local table callers=() caller
  echo $moving_calls >"$state/moving-calls"
  move_registers first
  "$python" -B "$here/sip/handover.py" "$state/pcscf.sock" moving-udp@ims.example 60 &
  table=$!
  call 8 4 udp $moving_calls $moving_rate &
  callers+=($!)
  call 9 6 tcp $moving_calls $moving_rate &
  callers+=($!)
  sleep 2
  move_registers again
  for caller in "${callers[@]}"; do
    wait "$caller" || echo "  not every call succeeded"
  done
  wait_for_sets moving-udp state old
  wait_for_sets moving-tcp state old
  kill $table
  wait $table || true
}

move_registers() {
  order register moving-udp moving-tcp >>"$state/moving" || die "$1: $(cat "$state/moving")"
}

# wait_for_sets NAME [FILTER]...: until the P-CSCF's gmespd has none of them any more.
wait_for_sets() {
  local attempt name=$1
  shift
  for attempt in {1..150}; do
    engine pcscf -j ue list impi "$name@ims.example" "$@" | grep -q '"handle"' || return 0
    sleep 0.1
  done
  die "a set of $name is still there after $((attempt / 10)) seconds"
}

# drops_of END REASON
drops_of() {
  engine "$1" -j drops | jq --arg reason "$2" '.drops[] | select(.reason == $reason).count'
}

# fail_authentication NAME: a UE that the network must not let in.
fail_authentication() {
  local name=$1 before after said status
  before=$(drops_of pcscf icv_mismatch)
  said=$(order register "$name") && die "$name was registered: $said"
  after=$(drops_of pcscf icv_mismatch)
  status=$(cut -f 2 <<<"$said") # 0: none has come
  printf '  %s: answer %s; P-CSCF: %d packets dropped as icv_mismatch; its sets:\n' \
    "$name" "${status/#0/none}" $((after - before))
  engine pcscf ue list impi "$name@ims.example" | sed 's/^/    /'
  printf '%s\t%s\t%d\n' "$name" "$status" $((after - before)) >>"$state/refused"
  wait_for_sets "$name"
  echo "    and then none"
}
