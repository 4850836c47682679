// SPDX-License-Identifier: BSD-3-Clause
// What the program takes from malloc while it counts. glibc only, as apart_test.cc; a sanitizer has
// a malloc of its own, and nothing is counted then. Included by one file of the program.
#pragma once

#include <mm_malloc.h>  // declares posix_memalign too, and not after its definition

#include <cstddef>

#include "tests/fake_port.h"

#ifdef GMESP_COUNTS_ALLOCATIONS

extern "C" {
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* block, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);
}

namespace gmesp {

constexpr bool kCountsAllocations = true;
inline bool counting = false;
inline size_t allocations = 0;
inline void* counted(void* block) {
  if (counting && !inside_fake_port()) ++allocations;
  return block;
}

}  // namespace gmesp

extern "C" {
void* malloc(size_t bytes) { return gmesp::counted(__libc_malloc(bytes)); }
void* calloc(size_t count, size_t bytes) { return gmesp::counted(__libc_calloc(count, bytes)); }
void* realloc(void* block, size_t bytes) { return gmesp::counted(__libc_realloc(block, bytes)); }
void* memalign(size_t alignment, size_t bytes) {
  return gmesp::counted(__libc_memalign(alignment, bytes));
}
void* aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }
int posix_memalign(void** block, size_t alignment, size_t bytes) {
  *block = memalign(alignment, bytes);
  return *block == nullptr ? 12 : 0;  // ENOMEM
}
}

#else

namespace gmesp {

constexpr bool kCountsAllocations = false;
inline bool counting = false;
inline size_t allocations = 0;

}  // namespace gmesp

#endif
