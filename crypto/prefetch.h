// SPDX-License-Identifier: BSD-3-Clause
// Asks for a cache line without waiting for it. Not __builtin_prefetch: g++ 12 takes a function
// that does nothing else for one without effect, and with link-time optimisation drops the call.
#pragma once

namespace gmesp {

inline void prefetch_to_read(const void* line) {
  asm volatile("prefetcht0 %0" : : "m"(*static_cast<const char*>(line)));
}

inline void prefetch_to_write(const void* line) {
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(line)));
}

}  // namespace gmesp
