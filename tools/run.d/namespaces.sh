# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Part of tools/run: namespaces, veths, the two gmespd and the capture; and their end.
# Variables of tools/run: name, state, BUILD.

namespaces='ue ue-esp pcscf-esp pcscf'
pcscf4=192.0.2.1 pcscf6=2001:db8::1
# The UEs' addresses are in networks of their own behind gm-ue, which takes all of them for its own.
ue_router4=192.0.2.11 ue_router6=2001:db8::11
ues4=198.18.0.0/15 ues6=2001:db8:1::/64
# Short enough to be watched: temporary sets live so long, old ones 64 times T1.
await_auth_s=4 t1_ms=100

in_ns() {
  local namespace=$1
  shift
  ip netns exec "$name-$namespace" "$@"
}

# start LABEL NAMESPACE COMMAND...: in the background, out of reach of the terminal's Ctrl-C, and
# before other work of the machine, which would make SIP's timers run out.
start() {
  local label=$1 namespace=$2
  shift 2
  ip netns exec "$name-$namespace" setsid nice -n -10 "$@" >"$state/$label.log" 2>&1 </dev/null &
  echo $! >"$state/pids/$label"
}

make_namespaces() {
  local namespace
  for namespace in $namespaces; do
    ip netns add "$name-$namespace"
    ip -n "$name-$namespace" link set lo up
  done
  # The kernel must not speak on interfaces that DPDK holds.
  for namespace in ue-esp pcscf-esp; do
    in_ns $namespace sh -c 'for scope in all default; do
      echo 1 >/proc/sys/net/ipv6/conf/$scope/disable_ipv6; done'
  done
  # A link-local address to ask neighbours from at once, not after two seconds.
  for namespace in ue pcscf; do
    in_ns $namespace sh -c 'echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad'
  done
  ip link add gm0 netns "$name-ue" type veth peer name host netns "$name-ue-esp"
  ip link add access netns "$name-ue-esp" type veth peer name access netns "$name-pcscf-esp"
  ip -n "$name-ue-esp" link set host up
  ip -n "$name-ue-esp" link set access up
  ip -n "$name-pcscf-esp" link set access up
  # A veth promises checksums and segmentation that nobody does on the way to a raw socket.
  in_ns ue ethtool -K gm0 tx off tso off gso off >/dev/null
  address_interface ue "$ue_router4" "$ue_router6"
  in_ns ue sh -c 'echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind' # IPv6 asks for more than the route
  ip -n "$name-ue" route add local "$ues4" dev lo
  ip -n "$name-ue" route add local "$ues6" dev lo
}

# address_interface NAMESPACE ADDRESS...: gm0 up, with these addresses.
address_interface() {
  local namespace=$1 address
  shift
  for address in "$@"; do
    case $address in
      *:*) ip -n "$name-$namespace" addr add "$address/64" dev gm0 nodad ;;
      *) ip -n "$name-$namespace" addr add "$address/24" dev gm0 ;;
    esac
  done
  ip -n "$name-$namespace" link set gm0 up
}

# configure ROLE CPU HOST_DEVICE SIDE_OF_5060: the unprotected SIP port is the P-CSCF's, so it is
# local at one end and remote at the other. All UEs of IPv6 are in one /64: one source, as the P-CSCF is for
# them. qdisc_bypass=0 lets tcpdump see also what gmespd sends.
configure() {
  cat >"$state/$1.toml" <<END
role = "$1"
[control]
socket = "$state/$1.sock"
[workers]
cpus = [$2]
[access]
device = "net_af_packet0,iface=access,qdisc_bypass=0"
[host]
device = "$3"
[ims]
await_auth_s = $await_auth_s
t1_ms = $t1_ms
[policy]
protected_ports = ["5062-5064"]
[[policy.rule]]
name = "arp"
match = "arp"
rate = 1000
rate_per_source = 50
[[policy.rule]]
name = "neighbour-discovery"
match = "nd"
rate = 2000
rate_per_source = 100
[[policy.rule]]
name = "ping"
match = "icmp-echo"
rate = 1000
rate_per_source = 50
[[policy.rule]]
name = "initial-register"
match = "udp"
$4 = [5060]
rate = 5000
rate_per_source = 5000
END
}

start_engines() {
  local allowed
  allowed=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
  configure ue "${allowed%%[-,]*}" "net_af_packet1,iface=host" remote_ports
  configure pcscf "${allowed##*[-,]}" "net_tap0,iface=gm0" local_ports
  start ue ue-esp "$BUILD/tools/gmespd" -c "$state/ue.toml"
  start pcscf pcscf-esp "$BUILD/tools/gmespd" -c "$state/pcscf.toml"
  wait_for_engine ue
  wait_for_engine pcscf
  ip -n "$name-pcscf-esp" link set gm0 netns "$name-pcscf"
  address_interface pcscf "$pcscf4" "$pcscf6"
  ip -n "$name-pcscf" route add "$ues4" via "$ue_router4"
  ip -n "$name-pcscf" route add "$ues6" via "$ue_router6"
}

engine() {
  local end=$1
  shift
  "$BUILD/tools/gmespctl" -s "$state/$end.sock" "$@"
}

is_alive() { kill -0 "$(cat "$state/pids/$1")" 2>/dev/null; }

wait_for_engine() {
  local attempt
  for attempt in {1..150}; do
    engine "$1" status >/dev/null 2>&1 && return
    is_alive "$1" || die "gmespd of the $1 end ended while starting"
    sleep 0.1
  done
  die "gmespd of the $1 end does not answer after $((attempt / 10)) seconds"
}

start_capture() {
  start tcpdump pcscf-esp tcpdump -i access -w "$state/wire.pcap" \
    -s 0 -B 65536 -U --immediate-mode -Z root
  local attempt
  for attempt in {1..50}; do
    grep -q 'listening on' "$state/tcpdump.log" && return
    sleep 0.1
  done
  die "tcpdump does not start after $((attempt / 10)) seconds"
}

# The engines' own counters are taken at the same quiet moment, so that they and the capture agree.
stop_capture() {
  local pid end
  pid=$(cat "$state/pids/tcpdump")
  sleep 0.5 # the last packets may still be on their way
  for end in ue pcscf; do
    engine $end -j stats >"$state/$end.stats"
    engine $end -j drops >"$state/$end.drops"
  done
  kill "$pid"
  wait "$pid" || true
}

processes() {
  local namespace
  for namespace in $namespaces; do
    ip netns pids "$name-$namespace" 2>/dev/null || true
  done
}

# Whatever runs in our namespaces is ours, a person's own look around included.
tear_down() {
  local attempt namespace left
  for attempt in {1..50}; do
    mapfile -t left < <(processes)
    [ ${#left[@]} -gt 0 ] || break
    case $attempt in
      1) kill "${left[@]}" 2>/dev/null || true ;;
      40) kill -9 "${left[@]}" 2>/dev/null || true ;;
    esac
    sleep 0.1
  done
  for namespace in $namespaces; do
    ip netns del "$name-$namespace" 2>/dev/null || true
  done
  rm -rf "$state"
}
