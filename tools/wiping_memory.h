// SPDX-License-Identifier: BSD-3-Clause
// Keys pass through gmespctl and gmespd in memory of many owners: their own, CLI11's, rapidjson's,
// simdjson's. So that none of them leaves one behind, whatever way it goes, all memory of a program
// that links wiping_memory.cc is wiped when it is given back (operator delete there).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>

namespace gmesp {

// For rapidjson, which would take memory from malloc() and have realloc() leave copies.
struct WipingAllocator {
  static constexpr bool kNeedFree = true;
  static void* Malloc(size_t bytes) { return bytes == 0 ? nullptr : ::operator new(bytes); }
  static void* Realloc(void* old, size_t old_bytes, size_t bytes) {
    void* const memory = Malloc(bytes);
    if (memory != nullptr && old != nullptr) std::memcpy(memory, old, std::min(old_bytes, bytes));
    ::operator delete(old);
    return memory;
  }
  static void Free(void* memory) { ::operator delete(memory); }
};

}  // namespace gmesp
