# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Part of tools/run: SIPp at both ends, and the SA sets that protect what it says.
# SIPp uses one UDP port and a random TCP port for each connection. So the UE's UDP port stands in
# the selectors and its TCP port is left out (any).

port_unprotected=5060 port_ps=5063 port_ue=5064
suites=(aes-sha1 null-md5)

random_hex() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }

# combinations CALLBACK: CALLBACK INDEX FAMILY TRANSPORT SUITE UE PCSCF for each of the eight.
combinations() {
  local index=0 family transport suite ue pcscf
  for family in 4 6; do
    for transport in udp tcp; do
      for suite in 0 1; do
        [ $family = 4 ] && ue=${ue4[suite]} pcscf=$pcscf4 || ue=${ue6[suite]} pcscf=$pcscf6
        "$1" $index $family $transport "${suites[suite]}" "$ue" "$pcscf"
        index=$((index + 1))
      done
    done
  done
}

# Keys live in shell variables and in files of the root-only folder, never in an argument list.
prepare_combination() {
  local index=$1 family=$2 transport=$3 suite=$4 ue=$5 pcscf=$6
  local up=$((0x1001 + index)) down=$((0x2001 + index)) algorithms shark spi auth_key enc_key
  printf '%s\t' "$index" "$family" "$transport" "$suite" "$up" "$down" >>"$state/combinations"
  printf '%s\n' "$calls" >>"$state/combinations"
  local up_ports="dport $port_ps" down_ports="sport $port_ps"
  [ "$transport" = tcp ] || { up_ports+=" sport $port_ue" down_ports+=" dport $port_ue"; }
  for spi in "$up" "$down"; do
    case $suite in
      aes-sha1)
        auth_key=$(random_hex 20) enc_key=$(random_hex 16)
        algorithms="alg hmac-sha-1-96 auth-key $auth_key ealg aes-cbc enc-key $enc_key"
        shark="\"AES-CBC [RFC3602]\",\"0x$enc_key\",\"HMAC-SHA-1-96 [RFC2404]\",\"0x$auth_key\""
        ;;
      null-md5)
        auth_key=$(random_hex 16)
        algorithms="alg hmac-md5-96 auth-key $auth_key ealg null"
        shark="\"NULL\",\"\",\"HMAC-MD5-96 [RFC2403]\",\"0x$auth_key\""
        ;;
    esac
    if [ "$spi" = "$up" ]; then
      write_sa out in "$spi" "$ue" "$pcscf" "$transport $up_ports $algorithms"
      printf '"IPv%s","%s","%s","0x%08x",%s\n' "$family" "$ue" "$pcscf" "$spi" "$shark"
    else
      write_sa in out "$spi" "$pcscf" "$ue" "$transport $down_ports $algorithms"
      printf '"IPv%s","%s","%s","0x%08x",%s\n' "$family" "$pcscf" "$ue" "$spi" "$shark"
    fi >>"$state/wireshark/esp_sa"
  done
}

# write_sa DIRECTION_AT_UE DIRECTION_AT_PCSCF SPI SRC DST REST: the same SA, once for each end.
write_sa() {
  echo "sa add dir $1 spi $3 src $4 dst $5 proto $6" >>"$state/ue.sas"
  echo "sa add dir $2 spi $3 src $4 dst $5 proto $6" >>"$state/pcscf.sas"
}

install_sas() {
  combinations prepare_combination
  local end
  for end in ue pcscf; do
    engine $end -f - <"$state/$end.sas" >"$state/$end-install.log" 2>&1 ||
      die "gmespctl refused SAs of the $end end"
    rm "$state/$end.sas"
  done
}

bracketed() { case $1 in *:*) echo "[$1]" ;; *) echo "$1" ;; esac; }

start_sip_servers() {
  local family transport address
  for family in 4 6; do
    [ $family = 4 ] && address=$pcscf4 || address=$pcscf6
    for transport in udp tcp; do
      start "sip-server-$transport-$family" pcscf sipp -sf "$here/pcscf.xml" \
        -i "$address" -p $port_ps -t "${transport:0:1}1" -nostdin -bind_local
    done
    start "sip-server-clear-$family" pcscf sipp -sf "$here/pcscf-clear.xml" -i "$address" \
      -p $port_unprotected -t u1 -nostdin -bind_local -key security "$(security_header 0)"
  done
  sleep 0.5 # SIPp says nothing when it listens
}

# The agreement that stands in Security-Client, -Server and -Verify (RFC 3329, TS 33.203 annex H).
security_header() {
  local alg=hmac-sha-1-96 ealg=aes-cbc
  [ $(($1 % 2)) = 0 ] || alg=hmac-md5-96 ealg=null
  printf 'ipsec-3gpp;alg=%s;ealg=%s;spi-c=%010d;spi-s=%010d;port-c=5062;port-s=%d' \
    $alg $ealg $((0x1001 + $1)) $((0x1001 + $1)) $port_ps
}

# call_server LABEL SCENARIO COUNT TRANSPORT PORT_OF_UE PORT_OF_PCSCF UE PCSCF SECURITY
call_server() {
  local folder=$state/sipp/$1
  mkdir -p "$folder"
  (
    cd "$folder"
    in_ns ue sipp "$(bracketed "$8"):$6" -sf "$here/$2.xml" -m "$3" -r 50 -t "${4:0:1}1" \
      -i "$7" -p "$5" -bind_local -key security "$9" -timeout $((10 + $3 / 25))s -timeout_error \
      -nostdin -trace_err -trace_counts >"$2.screen" 2>&1 </dev/null
  )
}

register_in_clear() {
  challenge 4 "${ue4[0]}" "$pcscf4" 0
  challenge 6 "${ue6[0]}" "$pcscf6" 4
}

# challenge FAMILY UE PCSCF COMBINATION
challenge() {
  call_server "clear-$1" register-clear 1 udp $port_unprotected $port_unprotected "$2" "$3" \
    "$(security_header "$4")" || die "no answer to the REGISTER in clear over IPv$1"
}

# A failed combination is the report's to tell, from what was counted; the others still run.
run_combination() {
  local index=$1 transport=$3 ue=$5 pcscf=$6 scenario
  is_alive ue && is_alive pcscf || die "a gmespd ended before IPv$2 $3 $4"
  for scenario in register call; do
    call_server "$index" $scenario "$calls" "$transport" $port_ue $port_ps "$ue" "$pcscf" \
      "$(security_header "$index")" || echo "  IPv$2 $3 $4: $scenario did not succeed"
  done
}

run_all_combinations() { combinations run_combination; }
