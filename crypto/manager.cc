// SPDX-License-Identifier: BSD-3-Clause
// Looks at the CPU before the library does, so that a lack is an error and not a crash.
#include "crypto/manager.h"

#include <intel-ipsec-mb.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace gmesp {
namespace {

static_assert(IMB_VERSION_NUM >= IMB_VERSION(1, 3, 0), "the burst calls begin with version 1.3");

struct Needed {
  const char* name;
  uint64_t cpu_flags;
};

// `best` needs what the smallest code path needs: the library would fall back to emulated AES-NI,
// ten times slower and with table look-ups that leak through the cache.
Needed needed(InstructionSet instruction_set) {
  switch (instruction_set) {
    case InstructionSet::avx512:
      return {"AVX-512 (F, DQ, CD, BW, VL)", IMB_CPUFLAGS_AVX512};
    case InstructionSet::avx2:
      return {"AVX2 and BMI2", IMB_CPUFLAGS_AVX2};
    case InstructionSet::best:
    case InstructionSet::sse:
      break;
  }
  return {"SSE4.2, AES-NI and PCLMULQDQ", IMB_CPUFLAGS_SSE};
}

void initialise(IMB_MGR* manager, InstructionSet instruction_set) {
  switch (instruction_set) {
    case InstructionSet::sse:
      return init_mb_mgr_sse(manager);
    case InstructionSet::avx2:
      return init_mb_mgr_avx2(manager);
    case InstructionSet::avx512:
      return init_mb_mgr_avx512(manager);
    case InstructionSet::best:
      return init_mb_mgr_auto(manager, nullptr);
  }
}

// As alloc_mb_mgr() does it, but on whole cache lines: the lanes end in the middle of a line, which
// is written for every packet, and malloc would give its other half to another thread.
IMB_MGR* allocate() {
  constexpr size_t kLineBytes = 64;
  const size_t lines = (imb_get_mb_mgr_size() + kLineBytes - 1) / kLineBytes;
  void* const memory = std::aligned_alloc(kLineBytes, lines * kLineBytes);
  return memory == nullptr ? nullptr : imb_set_pointers_mb_mgr(memory, 0, 1);
}

}  // namespace

void ManagerDeleter::operator()(IMB_MGR* manager) const { std::free(manager); }

Manager make_manager(InstructionSet instruction_set) {
  Manager manager(allocate());
  if (!manager) throw std::runtime_error("IPsec-MB: no memory for a manager; free some memory");
  // Looked at first: to initialise for instructions that the CPU lacks jumps to address 0.
  const auto [name, cpu_flags] = needed(instruction_set);
  if ((manager->features & cpu_flags) != cpu_flags) {
    throw std::runtime_error(std::string("this CPU lacks ") + name +
                             "; use a CPU that has them, or let the hypervisor pass them on "
                             "(QEMU: -cpu host)");
  }
  initialise(manager.get(), instruction_set);
  if (const int error = imb_get_errno(manager.get()); error != 0) {
    throw std::runtime_error(std::string("IPsec-MB: ") + imb_get_strerror(error));
  }
  return manager;
}

Manager make_few_sha1_manager(const IMB_MGR& manager) {
  const bool gains = manager.used_arch != IMB_ARCH_SSE && (manager.features & IMB_FEATURE_SHANI);
  return gains ? make_manager(InstructionSet::sse) : nullptr;
}

const char* instruction_set_name(const IMB_MGR& manager) {
  switch (manager.used_arch) {
    case IMB_ARCH_AVX512:
      return "AVX512";
    case IMB_ARCH_AVX2:
      return "AVX2";
    case IMB_ARCH_AVX:
      return "AVX";
    default:
      return "SSE";
  }
}

}  // namespace gmesp
