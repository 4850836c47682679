// SPDX-License-Identifier: BSD-3-Clause
#include "tools/gmespctl_memory.h"

#include <malloc.h>

#include <cstdlib>

void* operator new(size_t bytes) {
  void* const memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void operator delete(void* memory) noexcept {
  if (memory != nullptr) explicit_bzero(memory, malloc_usable_size(memory));
  std::free(memory);
}

void operator delete(void* memory, size_t) noexcept { ::operator delete(memory); }
