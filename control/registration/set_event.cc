// SPDX-License-Identifier: BSD-3-Clause
#include "control/registration/set_event.h"

#include <array>

namespace gmesp {
namespace {

// In the order of the enumeration.
constexpr std::array<std::string_view, 9> kNames{"temporary_used",
                                                 "taken_into_use",
                                                 "retired",
                                                 "authentication_timeout",
                                                 "expired",
                                                 "deleted",
                                                 "sequence_soft_limit",
                                                 "sequence_exhausted",
                                                 "icv_failures"};
static_assert(kNames.size() == static_cast<size_t>(SetEventKind::kCount), "every event has a name");

}  // namespace

std::string_view name(SetEventKind kind) { return kNames[static_cast<size_t>(kind)]; }

}  // namespace gmesp
