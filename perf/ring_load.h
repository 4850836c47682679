// SPDX-License-Identifier: BSD-3-Clause
// A SIP server that does nothing but register, through libgmesp, in a process of its own.
#pragma once

#include <array>
#include <cstdint>
#include <ctime>
#include <string>
#include <vector>

namespace gmesp {

enum class Life : uint8_t {
  challenged,   // register, challenge: the 401 may leave
  established,  // and response, ok: the 200 may leave
};

// Plain: it comes through a pipe.
struct RingFigures {
  double seconds = 0;
  double client_cpu_s = 0;
  double control_cpu_s = 0;
  double bytes = 0;       // of the engine, a registration with its SAs
  uint64_t live_sas = 0;  // at the end, by the word of `sa count`
  uint64_t refused = 0;
  char refusal[32] = {};
};

// The texts of one UE as a SIP server has them out of a REGISTER.
struct Ue {
  std::string address, impi, impu, client, server;
  std::array<const char*, 1> impus{};
  uint64_t handle = 0;
};

std::vector<Ue> make_ues(uint32_t count);

double cpu_seconds(clockid_t clock);

// Everything but control_cpu_s and bytes, with gmespd's socket at this path. Throws
// std::runtime_error.
RingFigures register_all(const std::string& path, Life life, std::vector<Ue>& ues);

}  // namespace gmesp
