// SPDX-License-Identifier: BSD-3-Clause
// gmespctl mkpcap: traffic of many UEs in capture files, with the commands that make an engine take
// it. Asks no gmespd.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/ue_traffic.h"

namespace gmesp {

inline constexpr const char* kMkpcapManual = R"(
  mkpcap ues N [packets M] [sa FILE] [peer FILE] [esp FILE] [plain FILE] [ue-plain FILE]
            [dir in|out|both] [ip 4|6] [bytes N] [alg A] [ealg E] [seed N] [seq N]
            [spi N] [window N] [ue ADDR] [pcscf ADDR] [ue-port N] [pcscf-port N]
            [ue-mac MAC] [pcscf-mac MAC]   traffic for benchmarks; no gmespd is asked

mkpcap writes: sa, commands (for -f) of a pair of SAs for each of N UEs, or of one
direction (dir), and peer, the same for an engine at the UEs' end; pcaps of M
packets, each round one of every UE in random order: esp, as it arrives from the
UEs, every sequence number once, from seq + 1 on; plain, UDP as the P-CSCF's host
sends it; ue-plain, as the UEs' host does. bytes: of the plain IP packet (256).
ue: the first UE's address. spi: the first of two ranges of N, from and to the UEs.
Keys follow from the seed: they protect nothing.
)";

// What to write, and where to: empty is not at all.
struct MkpcapRequest {
  TrafficPlan plan;
  bool in = true;   // ESP from the UEs has SAs
  bool out = true;  // to them
  std::string sa;
  std::string peer;
  std::string esp;
  std::string plain;
  std::string ue_plain;
};

// The words behind `mkpcap`. Throws UsageError.
MkpcapRequest mkpcap_request(const std::vector<std::string>& words);

// Writes the files; what was written, as JSON or for people. Throws OutputError.
std::string mkpcap(const MkpcapRequest& request, bool json);

}  // namespace gmesp
