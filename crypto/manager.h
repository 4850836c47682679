// SPDX-License-Identifier: BSD-3-Clause
// An IPsec-MB manager: the lanes and the code path of one thread. Each owner makes its own. Private
// to crypto/, but for InstructionSet.
#pragma once

#include <cstdint>
#include <memory>

struct IMB_MGR;

namespace gmesp {

// Code path of IPsec-MB: `best` for the CPU at hand; the others for tests.
enum class InstructionSet : uint8_t { best, sse, avx2, avx512 };

struct ManagerDeleter {
  void operator()(IMB_MGR* manager) const;
};
using Manager = std::unique_ptr<IMB_MGR, ManagerDeleter>;

// Throws std::runtime_error with what to do when the CPU lacks the instruction set.
Manager make_manager(InstructionSet instruction_set);

// For a handful of SHA-1 jobs: SHA instructions finish 2 at a time, where AVX-512 and AVX2 work for
// 16 or 8 whether they have them or not. Null when the given manager has that path already or the
// CPU lacks the instructions. HMAC states and round keys are the same for both.
Manager make_few_sha1_manager(const IMB_MGR& manager);

// "AVX512", "AVX2", "AVX", "SSE": the code path in use.
const char* instruction_set_name(const IMB_MGR& manager);

}  // namespace gmesp
